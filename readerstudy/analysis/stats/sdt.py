"""Signal detection: d', criterion and their relatives for one 2 x 2 table.

Sign of the criterion: c > 0 means the reader hesitates to call a case positive (leans "real"
when the positive class is synthetic). References: Macmillan and Creelman, Detection Theory
(2005); Stanislaw and Todorov, Behav Res Methods 31:137 (1999); Hautus, Behav Res Methods 27:46
(1995) for the log-linear correction; Gourevitch and Galanter, Psychometrika 32:25 (1967) for the
variance of d'.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, sqrt
from typing import Literal

from scipy.stats import norm

from readerstudy.analysis.stats.types import Interval

Correction = Literal["loglinear", "none"]


@dataclass(frozen=True)
class SignalDetection:
    """Signal-detection indices; None with ``reason`` where the table leaves them undefined."""

    positive: str
    correction: str
    n_positive: int
    n_negative: int
    hit_rate: float | None
    fa_rate: float | None
    dprime: float | None
    criterion: float | None
    ln_beta: float | None
    beta: float | None
    c_prime: float | None
    a_prime: float | None
    b_second: float | None
    auc_equal_variance: float | None
    se_dprime: float | None
    ci95_dprime: Interval | None
    reason: str | None = None
    method: str = "equal-variance signal detection, normal interval"


def sdt(
    hits: int,
    misses: int,
    false_alarms: int,
    correct_rejections: int,
    *,
    positive: str = "synthetic",
    correction: Correction = "loglinear",
) -> SignalDetection:
    """Signal-detection indices of one reader.

    The log-linear correction adds 0.5 to the hits and false alarms and 1 to their totals. It is
    applied to every reader, not only to perfect ones, because mixing corrected and uncorrected
    readers biases their mean.
    """
    n1, n0 = hits + misses, false_alarms + correct_rejections
    if n1 == 0 or n0 == 0:
        missing = "positive" if n1 == 0 else "negative"
        return _undefined(positive, correction, n1, n0, f"no {missing} cases were read")
    if correction == "loglinear":
        hit_rate, fa_rate = (hits + 0.5) / (n1 + 1), (false_alarms + 0.5) / (n0 + 1)
    else:
        hit_rate, fa_rate = hits / n1, false_alarms / n0
        if not (0 < hit_rate < 1 and 0 < fa_rate < 1):
            return _undefined(
                positive,
                correction,
                n1,
                n0,
                "a rate of 0 or 1 has no normal deviate; use the log-linear correction",
                hit_rate,
                fa_rate,
            )
    z_hit, z_fa = float(norm.ppf(hit_rate)), float(norm.ppf(fa_rate))
    dprime, criterion = z_hit - z_fa, -(z_hit + z_fa) / 2
    ln_beta = (z_fa**2 - z_hit**2) / 2
    variance = hit_rate * (1 - hit_rate) / (n1 * float(norm.pdf(z_hit)) ** 2)
    variance += fa_rate * (1 - fa_rate) / (n0 * float(norm.pdf(z_fa)) ** 2)
    se = sqrt(variance)
    half = float(norm.ppf(0.975)) * se
    return SignalDetection(
        positive,
        correction,
        n1,
        n0,
        hit_rate,
        fa_rate,
        dprime,
        criterion,
        ln_beta,
        exp(ln_beta),
        criterion / dprime if dprime != 0 else None,
        _a_prime(hit_rate, fa_rate),
        _b_second(hit_rate, fa_rate),
        float(norm.cdf(dprime / sqrt(2))),
        se,
        (dprime - half, dprime + half),
    )


def _undefined(
    positive: str,
    correction: str,
    n1: int,
    n0: int,
    reason: str,
    hit_rate: float | None = None,
    fa_rate: float | None = None,
) -> SignalDetection:
    return SignalDetection(
        positive,
        correction,
        n1,
        n0,
        hit_rate,
        fa_rate,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        reason,
    )


def _a_prime(h: float, f: float) -> float:
    if h == f:
        return 0.5
    sign = 1 if h > f else -1
    return 0.5 + sign * ((h - f) ** 2 + abs(h - f)) / (4 * max(h, f) - 4 * h * f)


def _b_second(h: float, f: float) -> float | None:
    """Grier's (1971) bias index."""
    spread_h, spread_f = h * (1 - h), f * (1 - f)
    return (spread_h - spread_f) / (spread_h + spread_f) if spread_h + spread_f else None
