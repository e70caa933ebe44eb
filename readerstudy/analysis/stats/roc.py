"""Empirical ROC curves: area (Mann-Whitney, ties one half), DeLong variance, points, average.

References: Bamber (1975); DeLong, DeLong, Clarke-Pearson, Biometrics 44:837 (1988); McClish,
Med Decis Making 9:190 (1989) for the partial area.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import norm

from readerstudy.analysis.stats.types import FloatArray, Interval


@dataclass(frozen=True)
class Auc:
    """Area under one empirical ROC curve; variance and interval after DeLong."""

    positive: str
    n_positive: int
    n_negative: int
    estimate: float | None
    variance: float | None
    se: float | None
    ci: Interval | None
    conf: float = 0.95
    method: str = "Mann-Whitney, ties one half; DeLong variance"
    reason: str | None = None


@dataclass(frozen=True)
class PairedAuc:
    """Two AUCs on the same cases, compared after DeLong."""

    n_positive: int
    n_negative: int
    difference: float | None
    covariance: float | None
    z: float | None
    p: float | None
    ci: Interval | None
    reason: str | None = None
    method: str = "difference of two areas, DeLong covariance, normal"


@dataclass(frozen=True)
class RocCurve:
    """Operating points from the strictest threshold (0, 0) to the laxest (1, 1)."""

    fpr: tuple[float, ...]
    tpr: tuple[float, ...]
    thresholds: tuple[float | None, ...]


@dataclass(frozen=True)
class PartialAuc:
    """Area under part of one empirical curve, plain and after McClish's correction.

    ``corrected`` is None where guessing and perfection give the same area; ``ci95`` is that of
    ``estimate``.
    """

    positive: str
    n_positive: int
    n_negative: int
    over: str
    low: float
    high: float
    estimate: float | None
    corrected: float | None
    se: float | None
    ci95: Interval | None
    method: str = "trapezoids under the empirical curve, jackknife over cases; McClish correction"
    reason: str | None = None


def placements(positives: FloatArray, negatives: FloatArray) -> tuple[FloatArray, FloatArray]:
    """DeLong structural components.

    Returns:
        For each positive, the share of negatives it beats (ties one half); for each negative,
        the share of positives that beat it. Shapes (n1,) and (n0,).
    """
    n1, n0 = len(positives), len(negatives)
    low, high = np.sort(negatives), np.sort(positives)
    beaten = np.searchsorted(low, positives, "left") + np.searchsorted(low, positives, "right")
    beating = np.searchsorted(high, negatives, "left") + np.searchsorted(high, negatives, "right")
    return beaten / (2.0 * n0), 1.0 - beating / (2.0 * n1)


def auc(positives: FloatArray, negatives: FloatArray) -> float | None:
    """P(score of a positive > score of a negative) + half P(tie); None without both classes."""
    if len(positives) == 0 or len(negatives) == 0:
        return None
    return float(placements(positives, negatives)[0].mean())


def delong(
    positives: FloatArray,
    negatives: FloatArray,
    *,
    positive: str = "synthetic",
    conf: float = 0.95,
) -> Auc:
    """AUC with DeLong variance and a normal interval (not truncated to [0, 1])."""
    n1, n0 = len(positives), len(negatives)
    if n1 == 0 or n0 == 0:
        missing = "positive" if n1 == 0 else "negative"
        return Auc(
            positive, n1, n0, None, None, None, None, conf, reason=f"no {missing} cases were read"
        )
    v10, v01 = placements(positives, negatives)
    estimate = float(v10.mean())
    if n1 < 2 or n0 < 2:
        return Auc(
            positive,
            n1,
            n0,
            estimate,
            None,
            None,
            None,
            conf,
            reason="one case of a class: the variance cannot be estimated",
        )
    variance = float(v10.var(ddof=1) / n1 + v01.var(ddof=1) / n0)
    se = float(np.sqrt(variance))
    if se == 0.0:
        why = "perfect separation" if estimate in (0.0, 1.0) else "all scores tied"
        return Auc(
            positive,
            n1,
            n0,
            estimate,
            variance,
            se,
            None,
            conf,
            reason=f"{why}: the estimated variance is zero, so no interval is given",
        )
    half = float(norm.ppf((1 + conf) / 2)) * se
    return Auc(positive, n1, n0, estimate, variance, se, (estimate - half, estimate + half), conf)


def delong_paired(
    a_positives: FloatArray,
    a_negatives: FloatArray,
    b_positives: FloatArray,
    b_negatives: FloatArray,
    *,
    conf: float = 0.95,
) -> PairedAuc:
    """Difference AUC(a) - AUC(b) of two scores on the same cases (same order in each array)."""
    n1, n0 = len(a_positives), len(a_negatives)
    if n1 != len(b_positives) or n0 != len(b_negatives):
        raise ValueError("the two scores must be given for the same cases")
    if n1 < 2 or n0 < 2:
        return PairedAuc(n1, n0, None, None, None, None, None, "needs two cases of each class")
    a10, a01 = placements(a_positives, a_negatives)
    b10, b01 = placements(b_positives, b_negatives)
    cov10, cov01 = np.cov(a10, b10), np.cov(a01, b01)
    covariance = cov10 / n1 + cov01 / n0
    difference = float(a10.mean() - b10.mean())
    cross = float(covariance[0, 1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * cross)
    if variance <= 0:
        return PairedAuc(n1, n0, difference, cross, None, None, None, "the two scores rank alike")
    se = float(np.sqrt(variance))
    half = float(norm.ppf((1 + conf) / 2)) * se
    z = difference / se
    return PairedAuc(
        n1, n0, difference, cross, z, float(2 * norm.sf(abs(z))),
        (difference - half, difference + half),
    )  # fmt: skip


def roc_points(positives: FloatArray, negatives: FloatArray) -> RocCurve | None:
    """Operating points "call positive when score >= threshold"; None without both classes."""
    n1, n0 = len(positives), len(negatives)
    if n1 == 0 or n0 == 0:
        return None
    cuts = np.unique(np.concatenate([positives, negatives]))[::-1]
    low, high = np.sort(negatives), np.sort(positives)
    tpr = (n1 - np.searchsorted(high, cuts, "left")) / n1
    fpr = (n0 - np.searchsorted(low, cuts, "left")) / n0
    return RocCurve((0.0, *fpr.tolist()), (0.0, *tpr.tolist()), (None, *(float(c) for c in cuts)))


def average_roc(
    curves: list[RocCurve], points: int = 101, *, kind: Literal["vertical", "diagonal"] = "vertical"
) -> RocCurve | None:
    """Average curve of several readers (Chen and Samuelson, Br J Radiol 87:20140016, 2014).

    "vertical" averages the true-positive rate at each false-positive rate; "diagonal" averages
    the distance from the upper left corner along lines of equal sensitivity minus specificity,
    which treats the two classes alike. Either has the mean of the readers' areas as its own, up
    to the grid of ``points`` steps.
    """
    if not curves:
        return None
    if kind not in ("vertical", "diagonal"):
        raise ValueError(f"unknown average {kind!r}; one of vertical, diagonal")
    fpr = np.linspace(0.0, 1.0, points)
    if kind == "vertical":
        lines = [np.interp(fpr, curve.fpr, curve.tpr) for curve in curves]
        tpr = np.mean(lines, axis=0)
        # Where curves rise straight from (0, 0), interpolation took their highest point.
        tpr[0] = 0.0
    else:
        # Rotated by 45 degrees: place along the chance line, height above it.
        place = np.linspace(0.0, 2.0, points)
        lines = []
        for curve in curves:
            x, y = np.asarray(curve.fpr), np.asarray(curve.tpr)
            lines.append(np.interp(place, x + y, y - x))
        height = np.mean(lines, axis=0)
        fpr = np.clip((place - height) / 2, 0.0, 1.0)
        tpr = np.clip((place + height) / 2, 0.0, 1.0)
    return RocCurve(tuple(fpr.tolist()), tuple(tpr.tolist()), tuple([None] * points))


def pauc(
    positives: FloatArray, negatives: FloatArray, *, spec_from: float
) -> tuple[float, float] | None:
    """Area over specificity ``spec_from``..1 and McClish's version of it, rescaled to 0.5..1."""
    found = partial_auc(positives, negatives, low=spec_from)
    if found.estimate is None or found.corrected is None:
        return None
    return found.estimate, found.corrected


def partial_auc(
    positives: FloatArray,
    negatives: FloatArray,
    *,
    low: float = 0.9,
    high: float = 1.0,
    over: Literal["specificity", "sensitivity"] = "specificity",
    positive: str = "synthetic",
) -> PartialAuc:
    """Area under the part of the empirical curve where ``over`` runs from ``low`` to ``high``.

    McClish's correction rescales it so that guessing gives 0.5 and perfection 1 (Med Decis Making
    9:190, 1989).

    Raises:
        ValueError: not 0 <= low < high <= 1, or another ``over``.
    """
    if not 0 <= low < high <= 1:
        raise ValueError("a partial area needs 0 <= low < high <= 1")
    if over not in ("specificity", "sensitivity"):
        raise ValueError(f"unknown axis {over!r}; one of specificity, sensitivity")
    n1, n0 = len(positives), len(negatives)
    area = _partial(positives, negatives, low, high, over)
    if area is None:
        missing = "positive" if n1 == 0 else "negative"
        return PartialAuc(positive, n1, n0, over, low, high, None, None, None, None,
                          reason=f"no {missing} cases were read")  # fmt: skip
    start, stop = 1 - high, 1 - low
    least, most = (stop**2 - start**2) / 2, stop - start
    corrected = (1 + (area - least) / (most - least)) / 2 if most > least else None
    se = ci = reason = None
    if n1 < 2 or n0 < 2:
        reason = "one case of a class: the variance cannot be estimated"
    else:
        without = (
            [_partial(np.delete(positives, i), negatives, low, high, over) for i in range(n1)],
            [_partial(positives, np.delete(negatives, i), low, high, over) for i in range(n0)],
        )
        parts = [np.asarray(left, dtype=np.float64) for left in without]
        se = float(np.sqrt(sum((len(left) - 1) * left.var() for left in parts)))
        half = float(norm.ppf(0.975)) * se
        ci = (area - half, area + half) if se > 1e-12 else None
        reason = None if ci else "no case changes the area: the standard error is zero"
    return PartialAuc(positive, n1, n0, over, low, high, area, corrected, se, ci, reason=reason)


def _partial(
    positives: FloatArray, negatives: FloatArray, low: float, high: float, over: str
) -> float | None:
    curve = roc_points(positives, negatives)
    if curve is None:
        return None
    # Either way: how far the one rate gets while the other error runs from 1 - high to 1 - low.
    if over == "specificity":
        x, y = np.asarray(curve.fpr), np.asarray(curve.tpr)
    else:
        x, y = 1 - np.asarray(curve.tpr[::-1]), 1 - np.asarray(curve.fpr[::-1])
    start, stop = 1 - high, 1 - low
    inner = x[(x > start) & (x < stop)]
    grid = np.concatenate([[start], inner, [stop]])
    # A step of the curve stands at one x with several y: walk along it, do not interpolate.
    height_in = np.concatenate([[_height(x, y, start, last=True)], y[(x > start) & (x < stop)],
                                [_height(x, y, stop, last=False)]])  # fmt: skip
    return float(np.trapezoid(height_in, grid))


def _height(x: FloatArray, y: FloatArray, at: float, *, last: bool) -> float:
    """The curve at ``at``: the top of a step there when ``last``, else its foot."""
    here = np.flatnonzero(x == at)
    if len(here):
        return float(y[here[-1 if last else 0]])
    return float(np.interp(at, x, y))
