"""Do probabilities mean what they say, and does confidence go with being right?

Calibration needs a stated probability for every reading (``p_synthetic_pct``); readers who only
give a rating have none, and :func:`confidence` is for them. References: Brier, Mon Weather Rev
78:1 (1950); Cox, Biometrika 45:562 (1958) for slope and intercept; Spiegelhalter, Stat Med 5:421
(1986); Naeini, Cooper, Hauskrecht, AAAI 29:2901 (2015) for the binned error; Galvin et al.,
Psychon Bull Rev 10:843 (2003) for the type-2 area. Intervals: readers and cases resampled
independently.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import expit

from readerstudy.analysis.stats import metrics
from readerstudy.analysis.stats.contrast import jackknife_mean
from readerstudy.analysis.stats.inference import Inference
from readerstudy.analysis.stats.proportions import Proportion, rate_ci
from readerstudy.analysis.stats.readings import Readings
from readerstudy.analysis.stats.timing import mean_over_readers
from readerstudy.analysis.stats.types import SYNTHETIC, FloatArray, Interval

METHOD = "percentile bootstrap over readers and cases"
#: A stated 0 % or 100 % would make the logarithm infinite: moved to 1 % and 99 % there.
CLIP = 0.01
_NUMBERS = (
    "brier", "brier_reference", "brier_skill", "log_loss", "in_the_large", "slope", "intercept",
    "ece",
)  # fmt: skip


@dataclass(frozen=True)
class CalibrationBin:
    """Readings with a stated probability from ``low`` to ``high``; the interval is naive."""

    low: float
    high: float
    n: int
    mean_p: float | None
    rate: Proportion


@dataclass(frozen=True)
class Calibration:
    """Stated probability of the positive class against truth, all first readings.

    Attributes:
        brier, brier_reference, brier_skill: mean squared error, the same for the share of
            positives as a constant answer, and 1 - their ratio (1 perfect, 0 no better).
        in_the_large: logit by which all probabilities would have to shift (0 = right on average).
        slope, intercept: logistic recalibration (1 and 0 = right; slope < 1 = too extreme).
        ece: mean distance of stated and seen over ``bins``, weighted by readings.
        spiegelhalter_z, spiegelhalter_p: test of calibration; ignores clustering.
        ci95: by name of the number; None where a replicate has none.
    """

    method: str
    positive: str
    n: int
    n_without: int
    brier: float | None = None
    brier_reference: float | None = None
    brier_skill: float | None = None
    log_loss: float | None = None
    in_the_large: float | None = None
    slope: float | None = None
    intercept: float | None = None
    ece: float | None = None
    spiegelhalter_z: float | None = None
    spiegelhalter_p: float | None = None
    ci95: dict[str, Interval | None] | None = None
    bins: tuple[CalibrationBin, ...] = ()
    reason: str | None = None


@dataclass(frozen=True)
class ConfidenceLevel:
    """Readings given with one confidence: how many, and how often right.

    ``naive`` pools them; ``mean`` and ``ci95`` are over the readers who used the level.
    """

    level: float
    n: int
    share: float
    naive: Proportion
    n_readers: int
    mean: float | None
    ci95: Interval | None
    reason: str | None = None


@dataclass(frozen=True)
class Confidence:
    """Does higher confidence go with being right?

    ``type2_auc`` is the chance that a right verdict was given with more confidence than a wrong
    one of the same reader, ties one half; 0.5 = confidence says nothing. Readers who were always
    right, or always wrong, have none and are left out.
    """

    levels: tuple[ConfidenceLevel, ...]
    n_readers: int
    type2_auc: Inference
    reason: str | None = None


def calibration(
    first: pd.DataFrame,
    *,
    positive: str = "synthetic",
    bins: int = 10,
    replicates: int = 1000,
    rng: np.random.Generator | None = None,
    unit: str = "case_id",
) -> Calibration:
    """Calibration of the stated probabilities.

    Args:
        first: first readings: reader_id, case_id, truth, p_synthetic_pct (percent, 0 to 100,
            of the class "synthetic" whatever ``positive`` is; of ``positive`` in a study
            without that class).
        bins: bins of equal width over the percent, for ``ece`` and the reliability diagram.
        replicates: bootstrap replicates behind ``ci95``; none when 0.
        unit: column of what is resampled besides the reader (case_id or patient_id).

    Raises:
        ValueError: replicates without a generator.
    """
    known = first["p_synthetic_pct"].notna() if "p_synthetic_pct" in first else None
    rows = first.iloc[:0] if known is None else first[known]
    n, without = len(rows), len(first) - len(rows)
    truth = (rows["truth"] == positive).to_numpy(dtype=np.float64)
    if n == 0 or truth.min() == truth.max():
        reason = "no probabilities were stated" if n == 0 else "needs cases of both classes"
        return Calibration(METHOD, positive, n, without, reason=reason)
    percent = rows["p_synthetic_pct"].to_numpy(dtype=np.float64)
    if positive != SYNTHETIC and (rows["truth"] == SYNTHETIC).any():
        percent = 100 - percent
    values, code = np.unique(percent, return_inverse=True)
    slot = 2 * code + truth.astype(np.int64)
    table = np.bincount(slot, minlength=2 * len(values)).astype(np.float64)
    numbers = {k: float(v[0]) for k, v in _numbers(table[None, :], values, bins).items()}
    found = {k: v if np.isfinite(v) else None for k, v in numbers.items()}
    z, p = _spiegelhalter(percent / 100, truth)
    intervals = None
    if replicates:
        if rng is None:
            raise ValueError("a bootstrap needs a random generator")
        drawn = _tables(rows, unit, truth, slot, 2 * len(values), replicates, rng)
        intervals = {k: _interval(v) for k, v in _numbers(drawn, values, bins).items()}
    flat = None
    if found["slope"] is None:
        flat = "the stated probabilities do not vary, or separate the classes: no slope"
    return Calibration(
        METHOD, positive, n, without, **found, spiegelhalter_z=z, spiegelhalter_p=p,
        ci95=intervals, bins=_bins(table, values, bins), reason=flat,
    )  # fmt: skip


def confidence(readings: Readings) -> Confidence:
    """Accuracy by confidence (the size of the score), and the type-2 area."""
    seen = readings.read
    right = ((readings.call == 1) == readings.is_positive[None, :]) & seen
    size = np.abs(readings.score)
    total = int(seen.sum())
    levels = []
    for level in np.unique(size[seen]):
        here = seen & (size == level)
        per_reader = here.sum(axis=1)
        used = per_reader > 0
        own = (right & here).sum(axis=1)[used] / per_reader[used]
        mean, ci, why = mean_over_readers(own)
        n = int(here.sum())
        naive = rate_ci(int((right & here).sum()), n)
        levels.append(
            ConfidenceLevel(float(level), n, n / total, naive, int(used.sum()), mean, ci, why)
        )
    values = np.full(readings.n_readers, np.nan)
    left = np.full((readings.n_readers, readings.n_units), np.nan)
    for j, name in enumerate(readings.readers):
        alone = replace(readings, readers=(name,), is_positive=right[j], score=size[j : j + 1],
                        call=readings.call[j : j + 1])  # fmt: skip
        values[j] = metrics.values(alone, "auc")[0]
        left[j] = metrics.leave_one_out(alone, "auc")[0]
    # A reader with one wrong verdict has no area without it; she cannot be jackknifed.
    values[np.isnan(left).any(axis=1)] = np.nan
    area = jackknife_mean(values, left, null=0.5, unit=readings.unit_name).rrrc
    reason = None if total else "no readings"
    return Confidence(tuple(levels), int((~np.isnan(values)).sum()), area, reason)


# -------------------------------------------------------------------------------------- details


def _numbers(tables: FloatArray, percent: FloatArray, bins: int) -> dict[str, FloatArray]:
    """Every number for B tables (B, 2 V): counts by (stated value, truth)."""
    negative, positive = tables[:, 0::2], tables[:, 1::2]
    count = negative + positive
    n = count.sum(axis=1)
    p = percent / 100
    clipped = np.clip(p, CLIP, 1 - CLIP)
    x = np.log(clipped / (1 - clipped))
    # A replicate can be empty, or have one class: its numbers are NaN and do not count.
    with np.errstate(invalid="ignore", divide="ignore"):
        base = positive.sum(axis=1) / n
        brier = (positive @ (1 - p) ** 2 + negative @ p**2) / n
        reference = base * (1 - base)
        loss = -(positive @ np.log(clipped) + negative @ np.log(1 - clipped)) / n
        slope, intercept = _logistic(positive, count, x)
        large, _ = _logistic(positive, count, x, fixed_slope=True)
        member = (_bin_of(percent, bins)[:, None] == np.arange(bins)[None, :]).astype(np.float64)
        gap = np.abs(positive @ member - (count * p) @ member).sum(axis=1) / n
        skill = 1 - brier / reference
    return dict(
        zip(_NUMBERS, (brier, reference, skill, loss, large, slope, intercept, gap), strict=True)
    )


def _logistic(
    positive: FloatArray, count: FloatArray, x: FloatArray, *, fixed_slope: bool = False
) -> tuple[FloatArray, FloatArray]:
    """Newton's method for B logistic regressions at once; NaN where it does not converge.

    Returns (slope, intercept), or (intercept, slope = 1) with ``fixed_slope``.
    """
    a = np.zeros(len(count))
    b = np.full(len(count), 1.0 if fixed_slope else 0.0)
    step = np.full(len(count), np.inf)
    for _ in range(50):
        mu = expit(a[:, None] + b[:, None] * x)
        residual, weight = positive - count * mu, count * mu * (1 - mu)
        g0, h00 = residual.sum(axis=1), weight.sum(axis=1)
        if fixed_slope:
            da, db = g0 / h00, np.zeros_like(b)
        else:
            g1, h01, h11 = residual @ x, weight @ x, weight @ x**2
            size = h00 * h11 - h01 * h01
            da, db = (h11 * g0 - h01 * g1) / size, (h00 * g1 - h01 * g0) / size
        # A full step from far away can overshoot for good.
        da, db = np.clip(da, -1, 1), np.clip(db, -1, 1)
        a, b = a + da, b + db
        step = np.maximum(np.abs(da), np.abs(db))
        if not (step > 1e-12).any():
            break
    failed = ~(step < 1e-6) | (np.abs(a) > 1e3) | (np.abs(b) > 1e3)
    a, b = np.where(failed, np.nan, a), np.where(failed, np.nan, b)
    return (a, b) if fixed_slope else (b, a)


def _bin_of(percent: FloatArray, bins: int) -> FloatArray:
    # On percents, not on fractions: 0.3 may be 0.30000000000000004.
    index: FloatArray = np.minimum(np.floor(percent * bins / 100), bins - 1)
    return index


def _bins(table: FloatArray, percent: FloatArray, bins: int) -> tuple[CalibrationBin, ...]:
    negative, positive = table[0::2], table[1::2]
    count, at = negative + positive, _bin_of(percent, bins)
    rows = []
    for k in range(bins):
        here = at == k
        n = int(count[here].sum())
        mean = float((count * percent)[here].sum()) / n / 100 if n else None
        rows.append(CalibrationBin(k / bins, (k + 1) / bins, n, mean,
                                   rate_ci(int(positive[here].sum()), n)))  # fmt: skip
    return tuple(rows)


def _spiegelhalter(p: FloatArray, y: FloatArray) -> tuple[float | None, float | None]:
    spread = float(((1 - 2 * p) ** 2 * p * (1 - p)).sum())
    if spread <= 0:
        return None, None
    z = float(((y - p) * (1 - 2 * p)).sum()) / sqrt(spread)
    return z, float(2 * stats.norm.sf(abs(z)))


def _tables(
    rows: pd.DataFrame, unit: str, truth: FloatArray, slot: FloatArray, size: int,
    replicates: int, rng: np.random.Generator,
) -> FloatArray:  # fmt: skip
    """(B, size) tables of resampled readings: readers and units drawn independently.

    Units with positive cases only, negative only, and both are drawn each among themselves, so
    that the share of positives stays what the study made it.
    """
    readers, r = np.unique(rows["reader_id"].to_numpy(dtype=object), return_inverse=True)
    units, u = np.unique(rows[unit].to_numpy(dtype=object), return_inverse=True)
    share = np.bincount(u, weights=truth) / np.bincount(u)
    kind = (share > 0).astype(np.int64) + (share == 1)
    out = np.empty((replicates, size))
    for b in range(replicates):
        times = np.bincount(rng.integers(len(readers), size=len(readers)), minlength=len(readers))
        drawn = np.zeros(len(units))
        for k in range(3):
            own = np.flatnonzero(kind == k)
            if len(own):
                drawn[own] = rng.multinomial(len(own), np.full(len(own), 1 / len(own)))
        out[b] = np.bincount(slot, weights=times[r] * drawn[u], minlength=size)
    return out


def _interval(values: FloatArray) -> Interval | None:
    known = values[np.isfinite(values)]
    if len(known) < 0.9 * len(values) or len(known) < 2:
        return None
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)
