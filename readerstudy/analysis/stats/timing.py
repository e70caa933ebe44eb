"""Order, learning, fatigue and response time. All of it is exploratory.

Every reader sees the cases in an order of her own, so order and case are not confounded in the
mean; a reader's trend still mixes learning with fatigue.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import atanh, sqrt, tanh
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.nonparametric.smoothers_lowess import lowess
from statsmodels.stats.contingency_tables import cochrans_q

from readerstudy.analysis.stats import cluster, metrics
from readerstudy.analysis.stats.cluster import Gee, TwoWaySlope
from readerstudy.analysis.stats.contrast import jackknife_mean
from readerstudy.analysis.stats.inference import Inference, infer
from readerstudy.analysis.stats.lmm import Lmm, lmm
from readerstudy.analysis.stats.proportions import Proportion, rate_ci
from readerstudy.analysis.stats.readings import Readings
from readerstudy.analysis.stats.types import BoolArray, FloatArray, Interval

#: Up to this many readers the plain sandwich is too narrow (statistics of small samples).
FEW_CLUSTERS = 40
NO_ORDER = "the order of the readings is not known"
NO_TIME = "response times are not known"


@dataclass(frozen=True)
class OrderBin:
    """Accuracy in one stretch of the reading order (positions ``low`` to ``high``, from 1).

    ``naive`` pools the readings; ``mean`` and ``ci95`` are over the readers (t), these cases.
    """

    low: int
    high: int
    n: int
    naive: Proportion
    n_readers: int
    mean: float | None
    ci95: Interval | None
    reason: str | None = None


@dataclass(frozen=True)
class Smooth:
    """A smooth curve through all readings (LOESS, Cleveland 1979): a picture, not a test.

    ``curve`` holds (position, accuracy) pairs; a local line can leave the range of a share.
    """

    n: int
    curve: tuple[tuple[float, float], ...]
    method: str
    reason: str | None = None


@dataclass(frozen=True)
class OrderEffect:
    """Does accuracy change along the reading order?

    Attributes:
        gee: odds of a correct verdict per 100 readings, clustered on the reader only
            (bias-reduced with few readers): a sensitivity analysis.
        slope: change of accuracy per 100 readings, clustered on reader and case.
        halves: second half minus first half of each reader's own order, readers and cases random.
        smooth: accuracy along the positions without bins.
    """

    n: int
    n_readers: int
    gee: Gee | None
    slope: TwoWaySlope | None
    halves: Inference
    bins: tuple[OrderBin, ...]
    smooth: Smooth
    reason: str | None = None


@dataclass(frozen=True)
class TimeRow:
    """Seconds per reading: of one reader, or of the readings with one truth and outcome."""

    group: str
    n: int
    median_s: float | None
    q1_s: float | None
    q3_s: float | None
    n_fast: int
    n_slow: int


@dataclass(frozen=True)
class RtModel:
    """Response times, and the model of their logarithm.

    ``model`` is log(seconds) ~ order per 100 + correct + truth, crossed random readers and cases;
    ``without_flagged`` leaves out readings below ``fast_s`` or above ``slow_s``.
    """

    positive: str
    fast_s: float
    slow_s: float
    n: int
    n_flagged: int
    model: Lmm | None
    without_flagged: Lmm | None
    per_reader: tuple[TimeRow, ...]
    by_outcome: tuple[TimeRow, ...]
    reason: str | None = None


@dataclass(frozen=True)
class CochranQ:
    """Are all readers equally often right, on the cases that all of them read?"""

    n_cases: int
    n_left_out: int
    n_readers: int
    statistic: float | None
    df: int | None
    p: float | None
    reason: str | None = None
    method: str = "Cochran's Q, chi-squared"


@dataclass(frozen=True)
class Spearman:
    """Rank correlation; p from t, interval by Fisher's z with the variance of Bonett and Wright."""

    n: int
    estimate: float | None
    p: float | None
    ci95: Interval | None
    reason: str | None = None
    method: str = "Spearman's rank correlation, p from t, Fisher's z interval"


def order_effect(first: pd.DataFrame, *, bins: int = 6, unit: str = "case_id") -> OrderEffect:
    """Accuracy along the reading order.

    Args:
        first: first readings: reader_id, case_id, truth, verdict, order_index.
        bins: stretches of equal length over the positions.
        unit: column whose values the jackknife leaves out (case_id or patient_id).
    """
    rows = first[first["order_index"].notna()] if "order_index" in first else first.iloc[:0]
    n, n_readers = len(rows), int(rows["reader_id"].nunique())
    if n == 0:
        none = infer(None, None, None, method=_HALVES, null=0.0, reason=NO_ORDER)
        unknown = Smooth(0, (), _SMOOTH, NO_ORDER)
        return OrderEffect(0, 0, None, None, none, (), unknown, NO_ORDER)
    right = (rows["verdict"] == rows["truth"]).to_numpy(dtype=np.float64)
    order = rows["order_index"].to_numpy(dtype=np.float64)
    per_100 = (order - order.mean()) / 100
    fit = slope = None
    reason = None
    if float(np.ptp(per_100)) > 0:
        fit = cluster.gee(
            right, rows["reader_id"], {"order_per_100": per_100}, name="reader_id",
            robust="bias_reduced" if n_readers < FEW_CLUSTERS else "robust",
        )  # fmt: skip
        slope = cluster.twoway_slope(right, per_100, rows["reader_id"], rows["case_id"])
    else:
        reason = "every reading has the same position"
    return OrderEffect(n, n_readers, fit, slope, _halves(rows, right, order, unit),
                       _bins(rows, right, order, bins), _smooth(right, order), reason)  # fmt: skip


_HALVES = "second half minus first half of each reader's order, readers and cases random"


def _halves(rows: pd.DataFrame, right: FloatArray, order: FloatArray, unit: str) -> Inference:
    readers, j = np.unique(rows["reader_id"].to_numpy(dtype=object), return_inverse=True)
    units, u = np.unique(rows[unit].to_numpy(dtype=object), return_inverse=True)
    rank = pd.Series(order).groupby(j).rank(method="first", pct=True).to_numpy()
    shape = (len(readers), len(units))
    values = np.zeros(shape[0])
    left = np.zeros(shape)
    for sign, half in ((1.0, rank > 0.5), (-1.0, rank <= 0.5)):
        flat = (j * shape[1] + u)[half]
        hits = np.bincount(flat, weights=right[half], minlength=shape[0] * shape[1]).reshape(shape)
        seen = np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape)
        with np.errstate(invalid="ignore", divide="ignore"):
            values += sign * hits.sum(axis=1) / seen.sum(axis=1)
            rest = seen.sum(axis=1, keepdims=True) - seen
            left += sign * (hits.sum(axis=1, keepdims=True) - hits) / rest
    done = jackknife_mean(values, left, unit="patient" if unit == "patient_id" else "case").rrrc
    return infer(done.estimate, done.se, done.df, method=_HALVES, null=0.0, reason=done.reason)


def _bins(
    rows: pd.DataFrame, right: FloatArray, order: FloatArray, bins: int
) -> tuple[OrderBin, ...]:
    low, high = int(order.min()), int(order.max())
    edges = np.unique(np.linspace(low, high + 1, bins + 1).round().astype(int))
    found = []
    for start, stop in pairwise(edges):
        here = (order >= start) & (order < stop)
        n = int(here.sum())
        if n:
            own = pd.Series(right[here]).groupby(rows["reader_id"].to_numpy()[here]).mean()
            mean, ci, why = mean_over_readers(own.to_numpy(dtype=np.float64))
            naive = rate_ci(int(right[here].sum()), n)
            found.append(OrderBin(int(start), int(stop) - 1, n, naive, len(own), mean, ci, why))
    return tuple(found)


_SMOOTH = "LOESS of all readings: local lines over the nearest two thirds, tricube weights"
#: Fewer positions than this are shown well enough by the bins.
_FEWEST_POSITIONS = 10
_CURVE_POINTS = 60


def _smooth(right: FloatArray, order: FloatArray) -> Smooth:
    positions = np.unique(order)
    if len(positions) < _FEWEST_POSITIONS:
        reason = f"fewer than {_FEWEST_POSITIONS} positions in the order"
        return Smooth(len(right), (), _SMOOTH, reason)
    # No robustness iterations: of two outcomes the rarer one would be taken for outliers. Fits a
    # hundredth of the range apart and straight lines between keep the time linear in readings.
    step = 0.01 * float(np.ptp(positions))
    fitted = lowess(right, order, frac=2 / 3, it=0, delta=step)
    grid = np.linspace(positions[0], positions[-1], min(len(positions), _CURVE_POINTS))
    curve = np.interp(grid, fitted[:, 0], fitted[:, 1])
    if not np.isfinite(curve).all():
        return Smooth(len(right), (), _SMOOTH, "most readings have the same few positions")
    return Smooth(len(right), tuple(zip(grid.tolist(), curve.tolist(), strict=True)), _SMOOTH)


def mean_over_readers(
    values: FloatArray,
) -> tuple[float | None, Interval | None, str | None]:
    """Mean and t interval over readers, cases fixed, or why there is none."""
    if len(values) == 0:
        return None, None, "no reader"
    mean = float(values.mean())
    if len(values) < 2:
        return mean, None, "one reader: the spread between readers cannot be estimated"
    if float(np.ptp(values)) == 0:
        return mean, None, "the readers are alike: the interval would have no width"
    half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / sqrt(len(values)))
    return mean, (mean - half, mean + half), None


def rt_model(
    first: pd.DataFrame, *, positive: str = "synthetic", fast_s: float = 2.0, slow_s: float = 600.0
) -> RtModel:
    """Response times of the first readings.

    Args:
        first: reader_id, case_id, truth, verdict, response_time_s, order_index where known.
        fast_s, slow_s: readings outside are flagged, and left out of the second model.
    """
    known = first["response_time_s"].notna() if "response_time_s" in first else None
    rows = first.iloc[:0] if known is None else first[known & (first["response_time_s"] > 0)]
    if rows.empty:
        return RtModel(positive, fast_s, slow_s, 0, 0, None, None, (), (), NO_TIME)
    seconds = rows["response_time_s"].to_numpy(dtype=np.float64)
    flagged: BoolArray = (seconds < fast_s) | (seconds > slow_s)
    right = rows["verdict"] == rows["truth"]
    outcome = rows["truth"] + np.where(right, ", right", ", wrong")
    return RtModel(
        positive, fast_s, slow_s, len(rows), int(flagged.sum()), _log_time(rows, positive),
        _log_time(rows[~flagged], positive), _times(rows["reader_id"], seconds, fast_s, slow_s),
        _times(outcome, seconds, fast_s, slow_s),
    )  # fmt: skip


def _log_time(rows: pd.DataFrame, positive: str) -> Lmm:
    design: dict[str, FloatArray] = {}
    order = rows["order_index"].to_numpy(dtype=np.float64) if "order_index" in rows else np.zeros(0)
    if len(order) and not np.isnan(order).any() and float(np.ptp(order)) > 0:
        design["order_per_100"] = (order - order.mean()) / 100
    right = (rows["verdict"] == rows["truth"]).to_numpy(dtype=np.float64)
    truth = (rows["truth"] == positive).to_numpy(dtype=np.float64)
    facts = {"correct": right, f"truth_{positive}": truth}
    design |= {name: x for name, x in facts.items() if len(x) and float(np.ptp(x)) > 0}
    return lmm(
        np.log(rows["response_time_s"].to_numpy(dtype=np.float64)), design,
        rows["reader_id"].to_numpy(dtype=object), rows["case_id"].to_numpy(dtype=object),
    )  # fmt: skip


def _times(
    groups: pd.Series[Any], seconds: FloatArray, fast_s: float, slow_s: float
) -> tuple[TimeRow, ...]:
    rows = []
    names = groups.to_numpy(dtype=object)
    for name in sorted(set(names)):
        own = seconds[names == name]
        q1, middle, q3 = (float(v) for v in np.quantile(own, [0.25, 0.5, 0.75]))
        rows.append(TimeRow(str(name), len(own), middle, q1, q3, int((own < fast_s).sum()),
                            int((own > slow_s).sum())))  # fmt: skip
    return tuple(rows)


def cochran_q(readings: Readings) -> CochranQ:
    """Cochran's Q of correct verdicts (Cochran, Biometrika 37:256, 1950)."""
    whole = readings.read.all(axis=0)
    right = ((readings.call == 1) == readings.is_positive[None, :])[:, whole].T
    n, n_left, j = int(whole.sum()), int((~whole).sum()), readings.n_readers
    if n == 0 or j < 2:
        reason = "fewer than two readers" if j < 2 else "no case was read by everyone"
        return CochranQ(n, n_left, j, None, None, None, reason)
    if (right.all(axis=1) | (~right).all(axis=1)).all():
        return CochranQ(n, n_left, j, None, None, None, "the readers never differ")
    done = cochrans_q(right.astype(np.float64))
    return CochranQ(n, n_left, j, float(done.statistic), int(done.df), float(done.pvalue))


def spearman(x: FloatArray, y: FloatArray) -> Spearman:
    """Rank correlation of two columns; pairs with a NaN are left out."""
    both = ~(np.isnan(x) | np.isnan(y))
    x, y = x[both], y[both]
    n = len(x)
    if n < 3:
        return Spearman(n, None, None, None, "fewer than three pairs")
    if float(np.ptp(x)) == 0 or float(np.ptp(y)) == 0:
        return Spearman(n, None, None, None, "one of the columns does not vary")
    found = stats.spearmanr(x, y)
    rho, p = float(found.statistic), float(found.pvalue)
    if n < 4 or abs(rho) > 1 - 1e-12:
        return Spearman(n, rho, p, None, "too few pairs, or a perfect order, for an interval")
    half = float(stats.norm.ppf(0.975)) * sqrt((1 + rho * rho / 2) / (n - 3))
    return Spearman(n, rho, p, (tanh(atanh(rho) - half), tanh(atanh(rho) + half)))


def experience(readings: Readings, first: pd.DataFrame, metric: str = "accuracy") -> Spearman:
    """Rank correlation of each reader's ``metric`` with years of experience."""
    if "experience_years" not in first:
        return Spearman(0, None, None, None, "years of experience are not known")
    years = first.groupby("reader_id")["experience_years"].first()
    x = np.array([years.get(name, np.nan) for name in readings.readers], dtype=np.float64)
    return spearman(x, metrics.values(readings, metric))
