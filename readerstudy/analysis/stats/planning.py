"""Power of a trial before it starts, in closed form.

One condition against guessing, or equivalent to it:

    MS(R) = VarR + (K*/K) (Var - Cov2)
    SE^2  = MS(R) / J + (K*/K) max(Cov2, 0)

with the components known from K* cases; degrees of freedom as in the analysis (Hillis). The
difference test has noncentral-t power; equivalence integrates over the estimated SE (Owen,
Biometrika 52:437, 1965). Two conditions: Hillis, Obuchowski, Berbaum, Acad Radiol 18:129 (2011).

All of it supposes that the planned trial has the mix of classes the components come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, sqrt
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import stats
from scipy.special import gammaln, ndtr, stdtrit  # far quicker than scipy.stats' wrappers

if TYPE_CHECKING:  # the planning page of the web process needs no regression library
    from readerstudy.analysis.stats.mrmc import OrSingle

Generalize = Literal["both", "cases", "readers"]
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(256)


@dataclass(frozen=True)
class Components:
    """What decides precision: variances as estimated on ``n_cases`` cases.

    Attributes:
        var_reader: variance between readers of their true values.
        var_error, cov2: error variance of one reader, and covariance of two readers.
        source: where they come from, for the text of a sample-size justification.
    """

    var_reader: float
    var_error: float
    cov2: float
    n_cases: int
    source: str = ""

    @classmethod
    def from_trial(cls, done: OrSingle, n_cases: int, source: str = "") -> Components | None:
        """Components of a finished trial; None when it could not estimate them.

        MS(R) estimates VarR + Var - Cov2, so VarR is what is left of it, at least zero.
        """
        if done.ms_r is None or done.var_error is None or done.cov2 is None:
            return None
        between = done.ms_r - done.var_error + done.cov2
        return cls(max(between, 0.0), done.var_error, done.cov2, n_cases, source)


@dataclass(frozen=True)
class PowerSingle:
    """Precision and power of J readers on K cases when the true mean is ``theta``.

    ``half_width95`` and ``half_width90`` are half the expected 95 % and 90 % intervals.
    """

    n_readers: int
    n_cases: int
    theta: float
    margin: float
    se: float
    df: float
    power_two_sided: float
    power_tost: float
    half_width95: float
    half_width90: float
    method: str = "noncentral t; equivalence integrated over the estimated standard error"


@dataclass(frozen=True)
class PowerTwo:
    """Power to find a difference of ``effect`` between two conditions read by the same readers.

    ``df2`` is None where the test is a chi-squared one (readers fixed).
    """

    n_readers: int
    n_cases: int
    effect: float
    alpha: float
    generalize: Generalize
    se: float
    ncp: float
    df1: int
    df2: float | None
    power: float
    method: str = "noncentral F, or chi-squared for these readers"


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
    two_sided = _two_sided((theta - null) / se, df, alpha)
    return PowerSingle(
        n_readers, n_cases, theta, margin, se, df, two_sided,
        _tost_power(theta - null, margin, se, df, alpha),
        se * float(stdtrit(df, 0.975)), se * float(stdtrit(df, 0.95)),
    )  # fmt: skip


def power_two_modalities(
    n_readers: int,
    n_cases: int,
    *,
    effect: float,
    var_tr: float,
    var_error: float,
    cov1: float,
    cov2: float,
    cov3: float,
    pilot_cases: int,
    alpha: float = 0.05,
    generalize: Generalize = "both",
) -> PowerTwo:
    """Power of the test that two conditions are equal, each reader reading each case in both.

    Hillis, Obuchowski, Berbaum, Acad Radiol 18:129 (2011), section "OR method": noncentral F for
    random readers, noncentral chi-squared for these readers only (``generalize="cases"``). A
    negative ``var_tr`` counts as zero.

    Raises:
        ValueError: fewer than two readers, no cases, or components that give no variance.
    """
    if n_readers < 2 or n_cases < 2 or pilot_cases < 2:
        raise ValueError("power needs at least two readers and two cases")
    if generalize not in ("both", "cases", "readers"):
        raise ValueError("the result generalizes to both, cases or readers")
    shrink = pilot_cases / n_cases
    apart = max(cov2 - cov3, 0.0)
    alone = max(var_tr, 0.0) + shrink * (var_error - cov1 - apart)
    by_case = shrink * (var_error - cov1 + (n_readers - 1) * apart)
    spread = {"both": alone + n_readers * shrink * apart, "cases": by_case, "readers": alone}
    denominator = spread[generalize]
    if denominator <= 0 or (alone <= 0 and generalize != "cases"):
        raise ValueError("these variance components leave no variation")
    ncp = n_readers * effect**2 / (2 * denominator)
    df2: float | None = None
    if generalize == "cases":
        power = float(stats.ncx2.sf(stats.chi2.ppf(1 - alpha, 1), 1, ncp))
    else:
        df2 = float(n_readers - 1)
        if generalize == "both":
            df2 *= (denominator / alone) ** 2
        power = _two_sided(sqrt(ncp), df2, alpha)  # F with one degree of freedom is t squared
    se = sqrt(2 * denominator / n_readers)
    return PowerTwo(n_readers, n_cases, effect, alpha, generalize, se, ncp, 1, df2, power)


def _two_sided(shift: float, df: float, alpha: float) -> float:
    """Chance that a t statistic, noncentral by ``shift``, leaves its acceptance region."""
    critical = float(stdtrit(df, 1 - alpha / 2))
    near = float(stats.nct.sf(critical, df, abs(shift)))
    far = float(stats.nct.cdf(-critical, df, abs(shift)))
    # Where the far tail is too small to compute, scipy gives NaN instead of zero.
    return min(1.0, near + (far if isfinite(far) else 0.0))


def _tost_power(offset: float, margin: float, se: float, df: float, alpha: float) -> float:
    """P(both one-sided tests reject), over the distribution of the estimated standard error."""
    critical = float(stdtrit(df, 1 - alpha))
    upper, lower = (margin - offset) / se, (-margin - offset) / se
    longest = margin / (se * critical)  # a larger SE estimate never claims equivalence

    spread = 12 / np.sqrt(2 * df)
    low, high = max(0.0, 1 - spread), min(longest, 1 + spread)
    if high <= low:
        return 0.0
    # Smooth between the ends: as good as an adaptive rule and a hundred times quicker.
    s = (high + low) / 2 + (high - low) / 2 * _NODES
    inside = ndtr(upper - critical * s) - ndtr(lower + critical * s)
    # chi-squared density at df s^2, written out
    log_density = (df / 2 - 1) * np.log(df * s * s / 2) - df * s * s / 2 - gammaln(df / 2)
    density = df * s * np.exp(log_density)
    return min(1.0, float((high - low) / 2 * (_WEIGHTS @ (np.maximum(inside, 0.0) * density))))
