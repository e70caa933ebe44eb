"""Power of a trial with one condition, before it starts.

    MS(R) = VarR + (K*/K) (Var - Cov2)
    SE^2  = MS(R) / J + (K*/K) max(Cov2, 0)

with the components known from K* cases; degrees of freedom as in the analysis (Hillis). The
difference test has noncentral-t power; equivalence integrates over the estimated SE (Owen).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy import integrate, stats


@dataclass(frozen=True)
class PowerSingle:
    """Precision and power of J readers on K cases when the true mean is ``theta``."""

    n_readers: int
    n_cases: int
    theta: float
    margin: float
    se: float
    df: float
    power_two_sided: float
    power_tost: float


def power_single(
    n_readers: int,
    n_cases: int,
    *,
    var_reader: float,
    var_error: float,
    cov2: float,
    pilot_cases: int,
    theta: float,
    margin: float = 0.10,
    null: float = 0.5,
    alpha: float = 0.05,
) -> PowerSingle:
    """Power against ``null`` and for equivalence to it.

    Args:
        var_reader: variance between readers of their true values.
        var_error, cov2: error variance and covariance as estimated on ``pilot_cases`` cases.

    Raises:
        ValueError: fewer than two readers, no cases, or components that give no variance.
    """
    if n_readers < 2 or n_cases < 2 or pilot_cases < 2:
        raise ValueError("power needs at least two readers and two cases")
    shrink = pilot_cases / n_cases
    shared = shrink * max(cov2, 0.0)
    ms_r = var_reader + shrink * (var_error - cov2)
    if ms_r <= 0:
        raise ValueError("these variance components leave no variation between readers")
    se = sqrt(ms_r / n_readers + shared)
    df = (ms_r + n_readers * shared) ** 2 / (ms_r**2 / (n_readers - 1))
    critical = float(stats.t.ppf(1 - alpha / 2, df))
    shift = (theta - null) / se
    two_sided = float(stats.nct.sf(critical, df, shift) + stats.nct.cdf(-critical, df, shift))
    return PowerSingle(n_readers, n_cases, theta, margin, se, df, two_sided,
                       _tost_power(theta - null, margin, se, df, alpha))  # fmt: skip


def _tost_power(offset: float, margin: float, se: float, df: float, alpha: float) -> float:
    """P(both one-sided tests reject), over the distribution of the estimated standard error."""
    critical = float(stats.t.ppf(1 - alpha, df))
    upper, lower = (margin - offset) / se, (-margin - offset) / se
    longest = margin / (se * critical)  # a larger SE estimate never claims equivalence

    def integrand(s: float) -> float:
        inside = stats.norm.cdf(upper - critical * s) - stats.norm.cdf(lower + critical * s)
        density = 2 * df * s * stats.chi2.pdf(df * s * s, df)
        return float(max(inside, 0.0) * density)

    spread = 12 / np.sqrt(2 * df)
    low, high = max(0.0, 1 - spread), min(longest, 1 + spread)
    if high <= low:
        return 0.0
    value, _ = integrate.quad(integrand, low, high, epsabs=1e-12, epsrel=1e-10, limit=400)
    return float(value)
