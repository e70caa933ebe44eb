"""Binormal ROC curve by maximum likelihood from ordered ratings.

Ratings of real and of synthetic cases are cuts of two normal distributions, N(0, 1) and
N(a / b, 1 / b^2); then TPR = Phi(a + b Phi^-1(FPR)) and AUC = Phi(a / sqrt(1 + b^2)). Reference:
Dorfman and Alf, J Math Psychol 6:487 (1969); d_a after Simpson and Fitter, Psychol Bull 80:481
(1973). Standard errors come from the observed information.

A reader whose classes do not overlap, or who used two ratings only, has no maximum: the curve is
left undefined and the empirical area stands beside the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import pi, sqrt

import numpy as np
from scipy import optimize
from scipy.special import ndtr
from scipy.stats import norm

from readerstudy.analysis.stats.roc import RocCurve, auc
from readerstudy.analysis.stats.types import FloatArray, Interval

METHOD = "binormal model, maximum likelihood on ordered categories"
#: More different scores than this are grouped into so many categories of equal size.
MOST_CATEGORIES = 20
#: Beyond these the likelihood is climbing towards a degenerate curve.
_LARGEST_A, _B_RANGE = 8.0, (0.02, 50.0)


@dataclass(frozen=True)
class Binormal:
    """Fitted curve of one reader.

    Attributes:
        a, b: intercept and slope of the line in normal deviates.
        auc: area under the fitted curve, with delta-method ``se_auc`` and ``ci95``.
        d_a: a sqrt(2 / (1 + b^2)), the distance in the mean standard deviation.
        cutoffs: thresholds on the scale of the negatives, lowest first.
        empirical_auc: area under the empirical curve, defined even without a fit.
    """

    positive: str
    n_positive: int
    n_negative: int
    n_categories: int
    a: float | None
    b: float | None
    auc: float | None
    se_auc: float | None
    ci95: Interval | None
    d_a: float | None
    cutoffs: tuple[float, ...]
    loglik: float | None
    empirical_auc: float | None
    method: str = METHOD
    reason: str | None = None

    def curve(self, points: int = 101) -> RocCurve | None:
        """The fitted curve on an even grid of false-positive rates; None without a fit."""
        if self.a is None or self.b is None:
            return None
        fpr = np.linspace(0.0, 1.0, points)
        tpr = norm.cdf(self.a + self.b * norm.ppf(fpr))
        return RocCurve(tuple(fpr.tolist()), tuple(tpr.tolist()), tuple([None] * points))


def binormal_ml(
    positives: FloatArray, negatives: FloatArray, *, positive: str = "synthetic"
) -> Binormal:
    """Fit the curve of one reader to the scores of the two classes."""
    n1, n0 = len(positives), len(negatives)
    empirical = auc(positives, negatives)

    def none(reason: str, categories: int = 0) -> Binormal:
        return Binormal(positive, n1, n0, categories, None, None, None, None, None, None, (),
                        None, empirical, METHOD, reason)  # fmt: skip

    if n1 == 0 or n0 == 0:
        return none(f"no {'positive' if n1 == 0 else 'negative'} cases were read")
    counts1, counts0 = collapse(*_categories(positives, negatives))
    m = len(counts1)
    if m < 2:
        return none("all scores tied: one rating holds every case", m)
    if empirical in (0.0, 1.0):
        return none("perfect separation: the likelihood has no maximum", m)
    if m < 3:
        return none("two ratings give one operating point: no curve can be fitted", m)
    if not _has_inner_point(counts1, counts0):
        return none("no operating point lies inside the square: the fit would be degenerate", m)
    found = _fit(counts1, counts0)
    if found is None:
        return none("the likelihood has no maximum: the fitted curve is degenerate", m)
    x, loglik, covariance = found
    a, b = float(x[0]), float(np.exp(x[1]))
    scale = sqrt(1 + b * b)
    area = float(norm.cdf(a / scale))
    density = float(norm.pdf(a / scale))
    # By a and by log b.
    gradient = np.array([density / scale, -density * a * b * b / scale**3])
    variance = float(gradient @ covariance[:2, :2] @ gradient)
    se = sqrt(variance) if variance > 0 else None
    ci = None if se is None else (area - 1.959963984540054 * se, area + 1.959963984540054 * se)
    return Binormal(
        positive, n1, n0, m, a, b, area, se, ci, a * sqrt(2) / scale,
        tuple(_cuts(x).tolist()), loglik, empirical,
    )  # fmt: skip


def _categories(positives: FloatArray, negatives: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Counts of both classes per ordered category."""
    everything = np.concatenate([positives, negatives])
    levels = np.unique(everything)
    if len(levels) > MOST_CATEGORIES:
        share = np.arange(1, MOST_CATEGORIES) / MOST_CATEGORIES
        levels = np.unique(np.append(levels[0], np.quantile(everything, share, method="lower")))
    m = len(levels)

    def count(scores: FloatArray) -> FloatArray:
        at = np.searchsorted(levels, scores, side="right") - 1
        return np.bincount(at, minlength=m).astype(np.float64)

    return count(positives), count(negatives)


def collapse(counts1: FloatArray, counts0: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Join neighbours that only one and the same class uses: their cut is not identified."""
    one, zero = [counts1[0]], [counts0[0]]
    for x, y in zip(counts1[1:], counts0[1:]):
        if (x == 0 and one[-1] == 0) or (y == 0 and zero[-1] == 0):
            one[-1] += x
            zero[-1] += y
        else:
            one.append(x)
            zero.append(y)
    return np.array(one), np.array(zero)


def _has_inner_point(counts1: FloatArray, counts0: FloatArray) -> bool:
    """Whether some threshold leaves cases of both classes on both of its sides."""
    above1, above0 = np.cumsum(counts1[:0:-1]), np.cumsum(counts0[:0:-1])
    inside = (above1 > 0) & (above1 < counts1.sum()) & (above0 > 0) & (above0 < counts0.sum())
    return bool(inside.any())


def _cuts(x: FloatArray) -> FloatArray:
    """First cut and the logarithms of the steps to the next ones."""
    cuts: FloatArray = np.cumsum(np.concatenate([x[2:3], np.exp(x[3:])]))
    return cuts


def _minus_loglik(
    x: FloatArray, counts1: FloatArray, counts0: FloatArray
) -> tuple[float, FloatArray]:
    """Minus the log-likelihood of (a, log b, first cut, log steps), and its gradient."""
    cuts, b = _cuts(x), float(np.exp(x[1]))
    edges1 = b * cuts - x[0]
    cells1, cells0 = _between(edges1), _between(cuts)
    value = -float(counts1 @ np.log(cells1) + counts0 @ np.log(cells0))
    share1, share0 = counts1 / cells1, counts0 / cells0
    # What moving each cut gives, through either class.
    by_one = _density(edges1) * (share1[:-1] - share1[1:])
    by_cut = b * by_one + _density(cuts) * (share0[:-1] - share0[1:])
    tail = np.cumsum(by_cut[::-1])[::-1]
    gradient = np.concatenate(
        [[-by_one.sum(), b * float(cuts @ by_one), tail[0]], np.exp(x[3:]) * tail[1:]]
    )
    return value, -gradient


def _density(z: FloatArray) -> FloatArray:
    height: FloatArray = np.exp(-z * z / 2) / sqrt(2 * pi)
    return height


def _between(cuts: FloatArray) -> FloatArray:
    """Normal probability of the cells between cuts, from the tail that keeps the digits."""
    edges = np.concatenate([[-np.inf], cuts, [np.inf]])
    low, high = edges[:-1], edges[1:]
    mirror = low > 0
    cells: FloatArray = ndtr(np.where(mirror, -low, high)) - ndtr(np.where(mirror, -high, low))
    return np.maximum(cells, 1e-300)


def _fit(counts1: FloatArray, counts0: FloatArray) -> tuple[FloatArray, float, FloatArray] | None:
    """Maximum, log-likelihood and covariance of (a, log b, cuts); None where it runs away."""
    n1, n0 = counts1.sum(), counts0.sum()
    # Start from the line through the corrected operating points.
    fpr = (np.cumsum(counts0[::-1])[::-1][1:] + 0.5) / (n0 + 1)
    tpr = (np.cumsum(counts1[::-1])[::-1][1:] + 0.5) / (n1 + 1)
    zf, zt = norm.ppf(fpr), norm.ppf(tpr)
    slope = np.polyfit(zf, zt, 1) if np.ptp(zf) > 0 else np.array([1.0, float((zt - zf).mean())])
    b, a = float(np.clip(slope[0], 0.2, 5.0)), float(slope[1])
    steps = np.maximum(np.diff(-zf), 1e-3)
    start = np.concatenate([[a, np.log(b), -zf[0]], np.log(steps)])

    def minus(x: FloatArray) -> tuple[float, FloatArray]:
        with np.errstate(over="ignore", invalid="ignore"):  # a wild step is taken back
            return _minus_loglik(x, counts1, counts0)

    done = optimize.minimize(
        minus, start, jac=True, method="BFGS", options={"gtol": 1e-6, "maxiter": 500}
    )
    x: FloatArray = done.x
    if not np.isfinite(x).all() or abs(x[0]) > _LARGEST_A:
        return None
    if not _B_RANGE[0] < float(np.exp(x[1])) < _B_RANGE[1]:
        return None
    hessian = _hessian(minus, x)
    try:
        covariance: FloatArray = np.asarray(np.linalg.inv(hessian), dtype=np.float64)
    except np.linalg.LinAlgError:
        return None
    if not np.isfinite(covariance).all() or covariance[0, 0] <= 0 or covariance[1, 1] <= 0:
        return None
    if np.linalg.cond(hessian) > 1e10:
        return None
    return x, -float(done.fun), covariance


def _hessian(
    f: Callable[[FloatArray], tuple[float, FloatArray]], x: FloatArray, step: float = 1e-5
) -> FloatArray:
    """Central differences of the gradient, made symmetric."""
    rows = [
        (f(x + unit)[1] - f(x - unit)[1]) / (2 * step) for unit in np.eye(len(x)) * step
    ]  # fmt: skip
    found = np.array(rows)
    return (found + found.T) / 2
