"""Empirical ROC curves: area (Mann-Whitney, ties one half), DeLong variance, points, average.

References: Bamber (1975); DeLong, DeLong, Clarke-Pearson, Biometrics 44:837 (1988); McClish,
Med Decis Making 9:190 (1989) for the partial area.
"""

from __future__ import annotations

from dataclasses import dataclass

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

    difference: float | None
    covariance: float | None
    z: float | None
    p: float | None
    ci: Interval | None
    reason: str | None = None


@dataclass(frozen=True)
class RocCurve:
    """Operating points from the strictest threshold (0, 0) to the laxest (1, 1)."""

    fpr: tuple[float, ...]
    tpr: tuple[float, ...]
    thresholds: tuple[float | None, ...]


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
        return PairedAuc(None, None, None, None, None, "needs two cases of each class")
    a10, a01 = placements(a_positives, a_negatives)
    b10, b01 = placements(b_positives, b_negatives)
    cov10, cov01 = np.cov(a10, b10), np.cov(a01, b01)
    covariance = cov10 / n1 + cov01 / n0
    difference = float(a10.mean() - b10.mean())
    cross = float(covariance[0, 1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * cross)
    if variance <= 0:
        return PairedAuc(difference, cross, None, None, None, "the two scores rank alike")
    se = float(np.sqrt(variance))
    half = float(norm.ppf((1 + conf) / 2)) * se
    z = difference / se
    return PairedAuc(
        difference, cross, z, float(2 * norm.sf(abs(z))), (difference - half, difference + half)
    )


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


def average_roc(curves: list[RocCurve], points: int = 101) -> RocCurve | None:
    """Vertical average: mean true-positive rate at each false-positive rate.

    Its area equals the mean of the readers' areas up to the grid of ``points`` steps.
    """
    if not curves:
        return None
    grid = np.linspace(0.0, 1.0, points)
    lines = []
    for curve in curves:
        line = np.interp(grid, curve.fpr, curve.tpr)
        line[0] = 0.0
        lines.append(line)
    mean = np.mean(lines, axis=0)
    return RocCurve(tuple(grid.tolist()), tuple(mean.tolist()), tuple([None] * points))


def pauc(
    positives: FloatArray, negatives: FloatArray, *, spec_from: float
) -> tuple[float, float] | None:
    """Area over specificity ``spec_from``..1 and McClish's version of it, rescaled to 0.5..1."""
    curve = roc_points(positives, negatives)
    if curve is None or not 0 <= spec_from < 1:
        return None
    top = 1.0 - spec_from
    fpr, tpr = np.asarray(curve.fpr), np.asarray(curve.tpr)
    inside = fpr <= top
    edge = float(np.interp(top, fpr, tpr))
    x = np.append(fpr[inside], top)
    y = np.append(tpr[inside], edge)
    area = float(np.trapezoid(y, x))
    lowest, highest = top * top / 2, top
    return area, (1 + (area - lowest) / (highest - lowest)) / 2
