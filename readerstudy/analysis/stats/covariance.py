"""Covariance, over resampled cases, of the readers' metrics: what makes two readers move together.

Three estimators of the J x J error covariance:

* ``jackknife`` over sampling units (cases or patients): any metric, any design;
* ``delong``: AUC or balanced accuracy, every reader read every case;
* ``unbiased``: U-statistic moments (Gallas, Acad Radiol 13:353, 2006), AUC or balanced accuracy,
  any design.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from readerstudy.analysis.stats import metrics
from readerstudy.analysis.stats.readings import Readings
from readerstudy.analysis.stats.roc import placements
from readerstudy.analysis.stats.types import FloatArray

Covariance = Literal["jackknife", "delong", "unbiased"]
_BYTES = 64 * 2**20  # of kernel values held at once by the U-statistic moments


@dataclass(frozen=True, eq=False)
class ErrorCovariance:
    """J x J matrix, or the reason why it cannot be estimated."""

    metric: str
    method: Covariance
    unit: str
    n_units: int
    matrix: FloatArray | None
    reason: str | None = None


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums of products of kernel values over pairs of readers, with how many products each has.

    Each array is (J, J). ``same`` = same positive and same negative case; ``same_negative`` =
    different positives; ``same_positive`` = different negatives; ``different`` = both differ.
    """

    theta: FloatArray
    sums: dict[str, FloatArray]
    counts: dict[str, FloatArray]


def error_cov(
    readings: Readings, metric: str = "auc", method: Covariance = "jackknife"
) -> ErrorCovariance:
    """Estimate the error covariance of the readers' ``metric``.

    Raises:
        ValueError: an unknown method, or ``delong``/``unbiased`` for another metric.
    """
    used = metrics.relevant(readings, metric)

    def refuse(reason: str) -> ErrorCovariance:
        return ErrorCovariance(metric, method, used.unit_name, used.n_units, None, reason)

    if method == "jackknife":
        if used.n_units < 2:
            return refuse(f"fewer than two {used.unit_name}s")
        left = metrics.leave_one_out(used, metric)
        bad = np.isnan(left).any(axis=1)
        if bad.any():
            who = ", ".join(np.asarray(used.readers, dtype=object)[bad][:3].tolist())
            return refuse(f"leaving out one {used.unit_name} leaves {who} without cases of a class")
        centred = left - left.mean(axis=1, keepdims=True)
        matrix = (used.n_units - 1) / used.n_units * (centred @ centred.T)
        return ErrorCovariance(metric, method, used.unit_name, used.n_units, matrix)
    if method not in ("delong", "unbiased"):
        raise ValueError(f"unknown covariance {method!r}; one of jackknife, delong, unbiased")
    if metric not in ("auc", "balanced_accuracy"):
        raise ValueError(f"the {method} covariance is for auc and balanced_accuracy only")
    if used.n_units < used.n_cases:
        return refuse(f"several cases per {used.unit_name}: use the jackknife")
    scored = used.call if metric == "balanced_accuracy" else used.score
    if method == "delong":
        if not used.fully_crossed:
            return refuse("some readings are missing: use the jackknife")
        if min(used.n_positive, used.n_negative) < 2:
            return refuse("needs two cases of each class")
        return ErrorCovariance(metric, method, used.unit_name, used.n_units, _delong(used, scored))
    moments = u_moments(used, scored)
    different = moments.counts["different"]
    if (different <= 0).any():
        return refuse("needs two cases of each class for every pair of readers")
    product = np.outer(moments.theta, moments.theta)
    matrix = product - moments.sums["different"] / different
    return ErrorCovariance(metric, method, used.unit_name, used.n_units, matrix)


def _delong(readings: Readings, scored: FloatArray) -> FloatArray:
    pos = readings.is_positive
    pairs = [placements(row[pos], row[~pos]) for row in scored]
    v10 = np.array([p[0] for p in pairs])
    v01 = np.array([p[1] for p in pairs])
    n1, n0 = v10.shape[1], v01.shape[1]
    matrix: FloatArray = np.atleast_2d(np.cov(v10)) / n1 + np.atleast_2d(np.cov(v01)) / n0
    return matrix


def u_moments(readings: Readings, scored: FloatArray) -> Moments:
    """Products of success kernels between every two readers, summed by what the pairs share.

    Memory is bounded by working through the positive cases in blocks; time is
    O(J^2 n1 n0), all of it in matrix products.
    """
    pos = readings.is_positive
    x, y = scored[:, pos], scored[:, ~pos]
    has_x, has_y = ~np.isnan(x), ~np.isnan(y)
    n_readers, n1, n0 = len(scored), x.shape[1], y.shape[1]
    rows = np.zeros((n_readers, n1))
    columns = np.zeros((n_readers, n0))
    same = np.zeros((n_readers, n_readers))
    block = max(1, _BYTES // (8 * max(1, n_readers * n0)))
    for start in range(0, n1, block):
        stop = min(start + block, n1)
        kernel = _kernel(x[:, start:stop], y)
        rows[:, start:stop] = kernel.sum(axis=2)
        columns += kernel.sum(axis=1)
        flat = kernel.reshape(n_readers, -1)
        same += flat @ flat.T
    count_x, count_y = has_x.sum(axis=1).astype(float), has_y.sum(axis=1).astype(float)
    shared_x = has_x.astype(float) @ has_x.T.astype(float)
    shared_y = has_y.astype(float) @ has_y.T.astype(float)
    total = rows.sum(axis=1)
    product_rows, product_columns = rows @ rows.T, columns @ columns.T
    pairs = count_x * count_y
    count_same = shared_x * shared_y
    count_row = shared_x * np.outer(count_y, count_y)
    count_column = shared_y * np.outer(count_x, count_x)
    with np.errstate(invalid="ignore", divide="ignore"):
        theta = total / pairs
    return Moments(
        theta,
        {
            "same": same,
            "same_negative": product_columns - same,
            "same_positive": product_rows - same,
            "different": np.outer(total, total) - product_rows - product_columns + same,
        },
        {
            "same": count_same,
            "same_negative": count_column - count_same,
            "same_positive": count_row - count_same,
            "different": np.outer(pairs, pairs) - count_row - count_column + count_same,
        },
    )


def _kernel(x: FloatArray, y: FloatArray) -> FloatArray:
    """(J, block, n0) 1 = positive scored higher, 0.5 = tie, 0 = lower or not read."""
    with np.errstate(invalid="ignore"):
        above = x[:, :, None] > y[:, None, :]
        tie = x[:, :, None] == y[:, None, :]
    kernel: FloatArray = above + 0.5 * tie
    return kernel
