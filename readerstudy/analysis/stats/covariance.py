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
from readerstudy.analysis.stats.types import BoolArray, FloatArray

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

    ``theta`` and ``other_theta`` are the readers' AUCs on either side, (J,). Each array in ``sums``
    and ``counts`` is (J, J). ``same`` = same positive and same negative case; ``same_negative`` =
    different positives; ``same_positive`` = different negatives; ``different`` = both differ.
    ``sizes`` counts readers, positive and negative cases.
    """

    sizes: tuple[int, int, int]
    theta: FloatArray
    other_theta: FloatArray
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
            who = ", ".join(sorted(np.asarray(used.readers, dtype=object)[bad].tolist())[:3])
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
    product = np.outer(moments.theta, moments.other_theta)
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


def u_moments(readings: Readings, scored: FloatArray, other: FloatArray | None = None) -> Moments:
    """Products of success kernels between every two readers, summed by what the pairs share.

    Args:
        scored: (J, K) scores of the first reader of each pair; NaN = not read.
        other: (J, K) scores of the second reader, in another condition; the same when None.

    Memory is bounded by working through the positive cases in blocks; time is
    O(J^2 n1 n0), all of it in matrix products.
    """
    pos = readings.is_positive
    one = _Side.of(scored, pos)
    two = one if other is None else _Side.of(other, pos)
    n_readers, n1 = one.x.shape
    n0 = one.y.shape[1]
    same = np.zeros((n_readers, n_readers))
    block = max(1, _BYTES // (16 * max(1, n_readers * n0)))
    for start in range(0, n1, block):
        stop = min(start + block, n1)
        first = one.add(start, stop)
        second = first if two is one else two.add(start, stop)
        same += first @ second.T
    shared_x, shared_y = one.has_x @ two.has_x.T, one.has_y @ two.has_y.T
    rows, columns = one.rows @ two.rows.T, one.columns @ two.columns.T
    count_same = shared_x * shared_y
    count_row = shared_x * np.outer(one.n_y, two.n_y)
    count_column = shared_y * np.outer(one.n_x, two.n_x)
    return Moments(
        (readings.n_readers, readings.n_positive, readings.n_negative),
        one.theta,
        two.theta,
        {
            "same": same,
            "same_positive": rows - same,
            "same_negative": columns - same,
            "different": np.outer(one.total, two.total) - rows - columns + same,
        },
        {
            "same": count_same,
            "same_positive": count_row - count_same,
            "same_negative": count_column - count_same,
            "different": np.outer(one.pairs, two.pairs) - count_row - count_column + count_same,
        },
    )


@dataclass(eq=False)
class _Side:
    """Scores of one side of the pairs, with the sums that fill up block by block."""

    x: FloatArray
    y: FloatArray
    has_x: FloatArray
    has_y: FloatArray
    rows: FloatArray
    columns: FloatArray

    @classmethod
    def of(cls, scored: FloatArray, pos: BoolArray) -> _Side:
        x, y = scored[:, pos], scored[:, ~pos]
        return cls(
            x, y, (~np.isnan(x)).astype(np.float64), (~np.isnan(y)).astype(np.float64),
            np.zeros(x.shape), np.zeros(y.shape),
        )  # fmt: skip

    def add(self, start: int, stop: int) -> FloatArray:
        """Take up the positives start..stop; returns their kernels as (J, block * n0)."""
        kernel = _kernel(self.x[:, start:stop], self.y)
        self.rows[:, start:stop] = kernel.sum(axis=2)
        self.columns += kernel.sum(axis=1)
        return kernel.reshape(len(kernel), -1)

    @property
    def n_x(self) -> FloatArray:
        count: FloatArray = self.has_x.sum(axis=1)
        return count

    @property
    def n_y(self) -> FloatArray:
        count: FloatArray = self.has_y.sum(axis=1)
        return count

    @property
    def pairs(self) -> FloatArray:
        return self.n_x * self.n_y

    @property
    def total(self) -> FloatArray:
        total: FloatArray = self.rows.sum(axis=1)
        return total

    @property
    def theta(self) -> FloatArray:
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.total / self.pairs


def _kernel(x: FloatArray, y: FloatArray) -> FloatArray:
    """(J, block, n0) 1 = positive scored higher, 0.5 = tie, 0 = lower or not read."""
    with np.errstate(invalid="ignore"):
        above = x[:, :, None] > y[:, None, :]
        tie = x[:, :, None] == y[:, None, :]
    kernel: FloatArray = above + 0.5 * tie
    return kernel
