"""From estimate, standard error and degrees of freedom to interval, test, equivalence, verdict.

References: Schuirmann, J Pharmacokinet Biopharm 15:657 (1987) and Lakens (2017) for the two
one-sided tests; Holm (1979). ``df=None`` means the normal distribution.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isinf, sqrt
from typing import Literal

import numpy as np
from scipy import stats
from scipy.special import ndtr, ndtri, stdtr, stdtrit  # a hundred times quicker than stats.t.ppf
from statsmodels.stats.multitest import multipletests

from readerstudy.analysis.stats.types import FloatArray, Interval

VerdictCode = Literal[
    "different", "equivalent", "different_within_margin", "inconclusive", "undefined"
]
#: A standard error of this size is the rounding of sums that should cancel.
NO_SPREAD = 1e-12
_ADJUST = {
    "holm": "holm",
    "hochberg": "simes-hochberg",
    "hommel": "hommel",
    "bonferroni": "bonferroni",
    "BH": "fdr_bh",
    "BY": "fdr_by",
}


@dataclass(frozen=True)
class Tost:
    """Two one-sided tests of ``null - margin < true value < null + margin``."""

    null: float
    margin: float
    p_lower: float | None
    p_upper: float | None
    p: float | None
    ci90: Interval | None
    equivalent: bool | None
    alpha: float = 0.05
    reason: str | None = None
    method: str = "two one-sided tests"


@dataclass(frozen=True)
class Inference:
    """One estimate with its interval, its test against ``null`` and its equivalence tests."""

    method: str
    estimate: float | None
    se: float | None
    df: float | None
    distribution: Literal["t", "normal"]
    ci95: Interval | None
    ci90: Interval | None
    null: float
    statistic: float | None
    p: float | None
    tost: tuple[Tost, ...]
    reason: str | None = None


@dataclass(frozen=True)
class Verdict:
    """One of four answers, and the numbers it rests on."""

    code: VerdictCode
    p_different: float | None
    p_equivalent: float | None
    margin: float
    above_null: bool | None
    reason: str | None = None


def infer(
    estimate: float | None,
    se: float | None,
    df: float | None,
    *,
    method: str,
    null: float = 0.5,
    margins: tuple[float, ...] = (),
    reason: str | None = None,
) -> Inference:
    """Interval and tests for ``estimate``; every part None with a reason when SE is unusable."""
    if df is not None and isinf(df):
        df = None
    distribution: Literal["t", "normal"] = "normal" if df is None else "t"
    if reason is None and estimate is None:
        reason = "the statistic is undefined"
    if reason is None and se is None:
        reason = "the standard error cannot be estimated"
    if reason is None and se is not None and se <= NO_SPREAD:
        reason = "no variation between readers or cases: the standard error is zero"
    if reason is None and df is not None and df <= 0:
        reason = "no degrees of freedom: a single reader or case carries the estimate"
    if reason is not None or estimate is None or se is None:
        tests = tuple(
            tost(estimate, None, None, null=null, margin=m, reason=reason) for m in margins
        )
        return Inference(
            method, estimate, se, df, distribution, None, None, null, None, None, tests, reason
        )
    statistic = (estimate - null) / se
    return Inference(
        method,
        estimate,
        se,
        df,
        distribution,
        interval(estimate, se, df, 0.95),
        interval(estimate, se, df, 0.90),
        null,
        statistic,
        2 * _sf(abs(statistic), df),
        tuple(tost(estimate, se, df, null=null, margin=m) for m in margins),
    )


def interval(estimate: float, se: float, df: float | None, conf: float) -> Interval:
    """Symmetric t (or normal) interval; not truncated to the range of the statistic."""
    q = (1 + conf) / 2
    half = float(ndtri(q) if df is None else stdtrit(df, q)) * se
    return estimate - half, estimate + half


def tost(
    estimate: float | None,
    se: float | None,
    df: float | None,
    *,
    null: float = 0.5,
    margin: float,
    alpha: float = 0.05,
    reason: str | None = None,
) -> Tost:
    """Equivalence at level ``alpha``: the (1 - 2 alpha) interval lies inside the margin."""
    if reason is None and (estimate is None or se is None or se <= 0):
        reason = "the standard error cannot be estimated"
    if reason is not None or estimate is None or se is None:
        return Tost(null, margin, None, None, None, None, None, alpha, reason)
    p_lower = _sf((estimate - (null - margin)) / se, df)
    p_upper = _sf(((null + margin) - estimate) / se, df)
    p = max(p_lower, p_upper)
    return Tost(
        null,
        margin,
        p_lower,
        p_upper,
        p,
        interval(estimate, se, df, 1 - 2 * alpha),
        bool(p < alpha),
        alpha,
    )


def tost_one_sample(x: FloatArray, low: float, high: float, *, alpha: float = 0.05) -> Tost:
    """Equivalence of a mean over readers, cases fixed (t with J - 1 df)."""
    n = len(x)
    centre, margin = (low + high) / 2, (high - low) / 2
    if n < 2:
        return tost(
            None,
            None,
            None,
            null=centre,
            margin=margin,
            alpha=alpha,
            reason="one reader: the spread between readers cannot be estimated",
        )
    se = float(np.std(x, ddof=1) / sqrt(n))
    return tost(float(np.mean(x)), se, n - 1, null=centre, margin=margin, alpha=alpha)


def tost_binomial(x: int, n: int, low: float, high: float) -> dict[str, tuple[float, float]]:
    """(p_lower, p_upper) of one proportion: exact, Wald z and score z. One reader only."""
    rate = x / n
    wald = sqrt(rate * (1 - rate) / n)
    return {
        "exact": (
            float(stats.binomtest(x, n, low, alternative="greater").pvalue),
            float(stats.binomtest(x, n, high, alternative="less").pvalue),
        ),
        "wald_z": (
            float(stats.norm.sf((rate - low) / wald)),
            float(stats.norm.cdf((rate - high) / wald)),
        ),
        "score_z": (
            float(stats.norm.sf((rate - low) / sqrt(low * (1 - low) / n))),
            float(stats.norm.cdf((rate - high) / sqrt(high * (1 - high) / n))),
        ),
    }


def verdict(result: Inference, margin: float, *, alpha: float = 0.05) -> Verdict:
    """The four answers of a trial that tests difference and equivalence together."""
    if result.p is None or result.estimate is None:
        return Verdict("undefined", None, None, margin, None, result.reason)
    equal = tost(
        result.estimate, result.se, result.df, null=result.null, margin=margin, alpha=alpha
    )
    different = result.p < alpha
    code: VerdictCode
    if equal.equivalent:
        code = "different_within_margin" if different else "equivalent"
    else:
        code = "different" if different else "inconclusive"
    return Verdict(code, result.p, equal.p, margin, result.estimate > result.null)


def adjust(p: list[float], method: str = "holm") -> list[float]:
    """p values adjusted for multiplicity: holm, hochberg, hommel, bonferroni, BH, BY."""
    if method not in _ADJUST:
        raise ValueError(f"unknown adjustment {method!r}; one of {', '.join(_ADJUST)}")
    if not p:
        return []
    if method == "holm":
        return _holm(p)
    return [float(value) for value in multipletests(p, method=_ADJUST[method])[1]]


def _holm(p: list[float]) -> list[float]:
    # By hand because it is called in every table and statsmodels runs a full garbage collection
    # (a tenth of a second) in each call.
    order = np.argsort(p, kind="stable")
    factor = np.arange(len(p), 0, -1)
    stepped = np.minimum(1.0, np.maximum.accumulate(factor * np.asarray(p)[order]))
    out = np.empty(len(p))
    out[order] = stepped
    return [float(value) for value in out]


def f_tail(statistic: float, df1: float, df2: float | None) -> float:
    """Upper tail of F. ``df2`` None is infinite, for which scipy gives NaN: a chi-squared then."""
    if df2 is None or isinf(df2):
        return float(stats.chi2.sf(df1 * statistic, df1))
    return float(stats.f.sf(statistic, df1, df2))


def holm(p: list[float | None]) -> list[float | None]:
    """Holm over the defined p values; undefined ones stay undefined and do not count."""
    known = [value for value in p if value is not None]
    adjusted = iter(adjust(known))
    return [None if value is None else next(adjusted) for value in p]


def _sf(statistic: float, df: float | None) -> float:
    return float(ndtr(-statistic) if df is None else stdtr(df, -statistic))
