"""One-shot U-statistic analysis of AUC for readers and cases in any design, missing readings too.

References: Gallas, Acad Radiol 13:353 (2006); Gallas, Bandos, Samuelson, Wagner, Commun Stat
Theory 38:2586 (2009). For binary verdicts the same analysis gives the balanced accuracy (Gallas,
Pennello, Myers, J Opt Soc Am A 24:B70, 2007).

With eight moments M of products of success kernels (same or different positive case, negative
case, reader) the variance of the average AUC is sum c_k M_k. Readers weigh by their case pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import floor, sqrt
from typing import Literal

import numpy as np

from readerstudy.analysis.stats.conditions import Conditions
from readerstudy.analysis.stats.covariance import Moments, u_moments
from readerstudy.analysis.stats.inference import Inference, holm, infer
from readerstudy.analysis.stats.readings import Readings
from readerstudy.analysis.stats.types import FloatArray

METHOD = "U-statistic (iMRMC), readers and cases random, BDG df"
DfRule = Literal["floor", "exact"]
_ORDER = ("same", "same_positive", "same_negative", "different")
#: From the eight moments to the variance components of negatives, positives and readers.
_COMPONENTS = np.array(
    [[0, 0, 0, 0, 0, 0, 1, -1], [0, 0, 0, 0, 0, 1, 0, -1], [0, 0, 0, 1, 0, 0, 0, -1]], dtype=float
)
#: Which coefficients add up to the coefficient of each component.
_WEIGHTS = np.array(
    [[1, 0, 1, 0, 1, 0, 1, 0], [1, 1, 0, 0, 1, 1, 0, 0], [1, 1, 1, 1, 0, 0, 0, 0]], dtype=float
)

#: Eight moments of size 1 at most, added and subtracted, are exact to about this.
_ROUNDING = 1e-14


@dataclass(frozen=True, eq=False)
class Product:
    """Moments of one condition with itself, or of two with each other.

    ``variance`` is the unbiased estimate (it can be negative), ``v_variance`` the biased one of
    the ideal two-way bootstrap, which cannot. ``sizes`` counts readers, positive and negative
    cases.
    """

    sizes: tuple[int, int, int]
    estimates: tuple[float, float]
    variance: float
    v_variance: float
    moments: FloatArray
    v_moments: FloatArray
    coefficients: FloatArray
    components: FloatArray
    steps: FloatArray


@dataclass(frozen=True)
class Imrmc:
    """One condition against guessing, with both variances; ``v_result`` is the conservative one."""

    n_readers: int
    n_positive: int
    n_negative: int
    df_bdg: float | None
    df_bdg_v: float | None
    result: Inference
    v_result: Inference
    normal: Inference


@dataclass(frozen=True)
class ImrmcDifference:
    """AUC of the first condition minus that of the second, same readers and cases."""

    n_readers: int
    n_positive: int
    n_negative: int
    estimate: float
    variance: float
    v_variance: float
    df_bdg: float | None
    df_bdg_v: float | None
    result: Inference
    v_result: Inference
    normal: Inference


@dataclass(frozen=True)
class ImrmcPair:
    """Two conditions compared; ``p_holm`` is adjusted over all pairs."""

    first: str
    second: str
    difference: ImrmcDifference | None
    p_holm: float | None
    reason: str | None = None


@dataclass(frozen=True)
class ImrmcMulti:
    """Every condition against guessing, and every pair of conditions against each other."""

    metric: str
    positive: str
    n_readers: int
    each: tuple[tuple[str, Imrmc], ...]
    pairs: tuple[ImrmcPair, ...]


def imrmc(
    readings: Readings,
    metric: Literal["auc", "balanced_accuracy"] = "auc",
    *,
    df_rule: DfRule = "exact",
    margins: tuple[float, ...] = (),
) -> Imrmc:
    """U-statistic estimate of the average AUC (or balanced accuracy) and its tests.

    Args:
        df_rule: "exact" uses the BDG degrees of freedom as they are; "floor" does as the iMRMC
            program: floor(df), and the normal distribution above 50.
    """
    scored = readings.score if metric == "auc" else readings.call
    found = product(u_moments(readings, scored))
    clustered = readings.n_units < readings.n_cases
    if found is None or clustered:
        reason = "needs two readers and two cases of each class"
        if clustered:
            reason = f"several cases per {readings.unit_name}: use the jackknife"
        none = infer(None, None, None, method=METHOD, margins=margins, reason=reason)
        sizes = (readings.n_readers, readings.n_positive, readings.n_negative)
        return Imrmc(*sizes, None, None, none, none, none)
    return single(found, df_rule=df_rule, margins=margins)


def single(found: Product, *, df_rule: DfRule = "exact", margins: tuple[float, ...] = ()) -> Imrmc:
    """Test one condition against 0.5 from its product moments."""
    df, df_v = bdg_df(found, found.variance), bdg_df(found, found.v_variance)
    mean = found.estimates[0]
    return Imrmc(
        *found.sizes, df, df_v,
        _infer(mean, found.variance, df, df_rule, 0.5, margins),
        _infer(mean, found.v_variance, df_v, df_rule, 0.5, margins),
        _infer(mean, found.variance, None, df_rule, 0.5, margins),
    )  # fmt: skip


def difference(
    first: Product, second: Product, cross: Product, *, df_rule: DfRule = "exact"
) -> ImrmcDifference:
    """Compare two conditions from the products of each with itself and with the other."""
    variance = _settled(first.variance + second.variance - 2 * cross.variance)
    v_variance = _settled(first.v_variance + second.v_variance - 2 * cross.v_variance)
    components = first.components + second.components - 2 * cross.components
    steps = np.minimum(first.steps, second.steps)
    df, df_v = _bdg(components, steps, variance), _bdg(components, steps, v_variance)
    gap = first.estimates[0] - second.estimates[0]
    return ImrmcDifference(
        *cross.sizes, gap, variance, v_variance, df, df_v,
        _infer(gap, variance, df, df_rule, 0.0, ()),
        _infer(gap, v_variance, df_v, df_rule, 0.0, ()),
        _infer(gap, variance, None, df_rule, 0.0, ()),
    )  # fmt: skip


def imrmc_multi(
    conditions: Conditions,
    metric: Literal["auc", "balanced_accuracy"] = "auc",
    *,
    df_rule: DfRule = "exact",
    margins: tuple[float, ...] = (),
) -> ImrmcMulti:
    """Compare conditions that share readers, and all, some or none of their cases."""
    each = tuple(
        (name, imrmc(own, metric, df_rule=df_rule, margins=margins))
        for name, own in zip(conditions.names, conditions.each, strict=True)
    )
    found = []
    for a, b in combinations(range(conditions.n_conditions), 2):
        one, two = conditions.each[a], conditions.each[b]
        gap = _difference(one, two, metric, df_rule)
        reason = None
        if gap is None:
            reason = "needs two readers and two cases of each class in both conditions"
            if one.n_units < one.n_cases:
                reason = f"several cases per {one.unit_name}: use the jackknife"
        found.append((conditions.names[a], conditions.names[b], gap, reason))
    adjusted = holm([None if gap is None else gap.result.p for _, _, gap, _ in found])
    pairs = tuple(
        ImrmcPair(first, second, gap, p, reason)
        for (first, second, gap, reason), p in zip(found, adjusted, strict=True)
    )
    return ImrmcMulti(metric, conditions.each[0].positive, conditions.n_readers, each, pairs)


def _difference(
    one: Readings, two: Readings, metric: str, df_rule: DfRule
) -> ImrmcDifference | None:
    if one.n_units < one.n_cases:
        return None
    a, b = (own.score if metric == "auc" else own.call for own in (one, two))
    own_a, own_b = product(u_moments(one, a)), product(u_moments(two, b))
    cross = product(u_moments(one, a, b))
    if own_a is None or own_b is None or cross is None:
        return None
    return difference(own_a, own_b, cross, df_rule=df_rule)


def product(moments: Moments) -> Product | None:
    """Sum the pairs of readers into eight moments; None without a pair that shares nothing.

    Another moment without a pair (conditions with cases of their own, readers with cases of their
    own) has the coefficient zero and is given as zero.
    """
    same = np.array([np.trace(moments.sums[k]) for k in _ORDER])
    every = np.array([moments.sums[k].sum() for k in _ORDER])
    n_same = np.array([np.trace(moments.counts[k]) for k in _ORDER])
    n_every = np.array([moments.counts[k].sum() for k in _ORDER])
    sums, counts = np.concatenate([same, every - same]), np.concatenate([n_same, n_every - n_same])
    if counts[7] <= 0:
        return None
    # The biased moments count a pair in every group it could also belong to.
    wide, n_wide = _cumulated(same, every), _cumulated(n_same, n_every)
    coefficients = counts / n_wide[7]
    coefficients[7] -= 1
    m, v = np.zeros(8), np.full(8, wide[7] / n_wide[7])
    np.divide(sums, counts, out=m, where=counts > 0)
    # Nothing shared: no covariance from there, so the product of the means stands in.
    np.divide(wide, n_wide, out=v, where=n_wide > 0)
    with np.errstate(divide="ignore"):
        steps = np.round(1 / (_WEIGHTS @ coefficients) - 1)
    estimate = (_weighted(moments, moments.theta, 1), _weighted(moments, moments.other_theta, 0))
    return Product(
        moments.sizes, estimate, _settled(coefficients @ m), _settled(coefficients @ v), m, v,
        coefficients, _COMPONENTS @ v, steps,
    )  # fmt: skip


def _settled(variance: float) -> float:
    """A variance that is rounding of moments between 0 and 1 is none: it has no df either."""
    return 0.0 if abs(variance) < _ROUNDING else float(variance)


def bdg_df(found: Product, variance: float) -> float | None:
    """BDG degrees of freedom, not below the smallest of the three sample sizes less one."""
    return _bdg(found.components, found.steps, variance)


def _bdg(components: FloatArray, steps: FloatArray, variance: float) -> float | None:
    if variance < 0:
        return None
    least = float(steps.min())
    if least <= 0:
        return 0.0  # a single reader or case carries the estimate: `infer` says so
    spread = float((components**2 / steps**3).sum())
    return max(variance**2 / spread, least) if spread > 0 else least


def _cumulated(same: FloatArray, every: FloatArray) -> FloatArray:
    def widen(part: FloatArray) -> FloatArray:
        one, positive, negative, different = part
        return np.array(
            [one, positive + one, negative + one, different + positive + negative + one]
        )

    return np.concatenate([widen(same), widen(every)])


def _weighted(moments: Moments, theta: FloatArray, axis: int) -> float:
    """Average AUC with readers weighted by their case pairs."""
    weights = sum(moments.counts[k] for k in _ORDER).sum(axis=axis)  # type: ignore[union-attr]
    ok = weights > 0
    return float((weights[ok] * theta[ok]).sum() / weights[ok].sum())


def _infer(
    estimate: float, variance: float, df: float | None, rule: DfRule, null: float,
    margins: tuple[float, ...],
) -> Inference:  # fmt: skip
    if variance < 0:
        return infer(estimate, None, None, method=METHOD, null=null, margins=margins,
                     reason="the unbiased variance estimate is negative")  # fmt: skip
    if df is not None and rule == "floor":
        df = None if df > 50 else float(floor(df))
    return infer(estimate, sqrt(variance), df, method=METHOD, null=null,
                 margins=margins)  # fmt: skip
