"""Reader-level metrics and their values with one sampling unit left out, in closed form.

``auc`` is the empirical area under the signed-confidence score. ``balanced_accuracy`` is the same
area for the binary verdict. All others are functions of the 2 x 2 counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from readerstudy.analysis.stats.readings import Readings
from readerstudy.analysis.stats.roc import placements
from readerstudy.analysis.stats.types import BoolArray, FloatArray, IntArray

Which = str  # "all", "positive" or "negative": the cases that carry information


@dataclass(frozen=True)
class Metric:
    """A number per reader.

    Attributes:
        key: name used in results.
        label: name used in text.
        cases: which cases enter: "all", "positive", "negative".
        null: value under guessing; None where guessing has no single value.
        counts: function of (hits, n_positive, false alarms, n_negative), or None for ``auc``.
    """

    key: str
    label: str
    cases: Which
    null: float | None
    counts: Callable[[FloatArray, FloatArray, FloatArray, FloatArray], FloatArray] | None


def _divide(a: FloatArray, b: FloatArray) -> FloatArray:
    out = np.full(np.broadcast(a, b).shape, np.nan)
    np.divide(a, b, out=out, where=b > 0)
    return out


def _dprime(h: FloatArray, n1: FloatArray, f: FloatArray, n0: FloatArray) -> FloatArray:
    value = norm.ppf((h + 0.5) / (n1 + 1)) - norm.ppf((f + 0.5) / (n0 + 1))
    return np.where((n1 > 0) & (n0 > 0), value, np.nan)


def _criterion(h: FloatArray, n1: FloatArray, f: FloatArray, n0: FloatArray) -> FloatArray:
    value = -(norm.ppf((h + 0.5) / (n1 + 1)) + norm.ppf((f + 0.5) / (n0 + 1))) / 2
    return np.where((n1 > 0) & (n0 > 0), value, np.nan)


METRICS: dict[str, Metric] = {
    m.key: m
    for m in (
        Metric("auc", "AUC", "all", 0.5, None),
        Metric(
            "balanced_accuracy",
            "balanced accuracy",
            "all",
            0.5,
            lambda h, n1, f, n0: (_divide(h, n1) + 1 - _divide(f, n0)) / 2,
        ),
        Metric(
            "accuracy",
            "accuracy",
            "all",
            0.5,
            lambda h, n1, f, n0: _divide(h + n0 - f, n1 + n0),
        ),
        Metric("sensitivity", "sensitivity", "positive", 0.5, lambda h, n1, f, n0: _divide(h, n1)),
        Metric(
            "specificity",
            "specificity",
            "negative",
            0.5,
            lambda h, n1, f, n0: 1 - _divide(f, n0),
        ),
        Metric("fool_rate", "fool rate", "positive", 0.5, lambda h, n1, f, n0: 1 - _divide(h, n1)),
        Metric("dprime", "d'", "all", 0.0, _dprime),
        Metric("criterion", "criterion c", "all", 0.0, _criterion),
    )
}


def metric(key: str) -> Metric:
    """Look a metric up by name; ValueError names the known ones."""
    try:
        return METRICS[key]
    except KeyError:
        raise ValueError(f"unknown metric {key!r}; one of {', '.join(METRICS)}") from None


def values(readings: Readings, key: str) -> FloatArray:
    """(J,) metric per reader; NaN where the reader read too little."""
    m = metric(key)
    if m.counts is None:
        return np.array([_reader_auc(readings, j) for j in range(readings.n_readers)])
    h, n1, f, n0 = _totals(readings)
    return m.counts(h, n1, f, n0)


def relevant(readings: Readings, key: str) -> Readings:
    """Only the cases that carry information on the metric (positives for sensitivity)."""
    which = metric(key).cases
    if which == "all":
        return readings
    keep = readings.is_positive if which == "positive" else ~readings.is_positive
    return readings.of_cases(keep)


def leave_one_out(readings: Readings, key: str) -> FloatArray:
    """(J, U) metric with each sampling unit left out; NaN where nothing would be left.

    A unit the reader did not read leaves the value unchanged.
    """
    m = metric(key)
    n_units = readings.n_units
    if m.counts is None:
        rows = [_auc_without(readings, j, n_units) for j in range(readings.n_readers)]
        return np.array(rows).reshape(readings.n_readers, n_units)
    totals = _totals(readings)
    per_unit = _per_unit(readings, n_units)
    h, n1, f, n0 = (t[:, None] - u for t, u in zip(totals, per_unit, strict=True))
    return m.counts(h, n1, f, n0)


# --------------------------------------------------------------------------------- 2 x 2 counts


def _layers(readings: Readings) -> tuple[BoolArray, BoolArray, BoolArray, BoolArray]:
    pos, seen, called = readings.is_positive[None, :], readings.read, readings.call == 1
    return called & pos, seen & pos, called & ~pos, seen & ~pos


def _totals(readings: Readings) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    h, n1, f, n0 = (layer.sum(axis=1).astype(np.float64) for layer in _layers(readings))
    return h, n1, f, n0


def _per_unit(readings: Readings, n_units: int) -> list[FloatArray]:
    member = np.zeros((readings.n_cases, n_units))
    member[np.arange(readings.n_cases), readings.unit] = 1.0
    return [layer.astype(np.float64) @ member for layer in _layers(readings)]


# ------------------------------------------------------------------------------------------ AUC


def _split(readings: Readings, j: int) -> tuple[FloatArray, FloatArray, IntArray, IntArray]:
    seen = readings.read[j]
    pos, neg = seen & readings.is_positive, seen & ~readings.is_positive
    score = readings.score[j]
    return score[pos], score[neg], readings.unit[pos], readings.unit[neg]


def _reader_auc(readings: Readings, j: int) -> float:
    x, y, _, _ = _split(readings, j)
    if len(x) == 0 or len(y) == 0:
        return float("nan")
    return float(placements(x, y)[0].mean())


def _auc_without(readings: Readings, j: int, n_units: int) -> FloatArray:
    x, y, unit_x, unit_y = _split(readings, j)
    n1, n0 = len(x), len(y)
    if n1 == 0 or n0 == 0:
        return np.full(n_units, np.nan)
    v10, v01 = placements(x, y)
    wins_x, wins_y = v10 * n0, v01 * n1
    a = np.bincount(unit_x, minlength=n_units)
    b = np.bincount(unit_y, minlength=n_units)
    gone = np.bincount(unit_x, weights=wins_x, minlength=n_units)
    gone += np.bincount(unit_y, weights=wins_y, minlength=n_units)
    # Pairs inside one unit (a patient with lesions of both classes) were taken away twice.
    for u in np.flatnonzero((a > 0) & (b > 0)):
        inner, _ = placements(x[unit_x == u], y[unit_y == u])
        gone[u] -= float(inner.sum()) * int(b[u])
    return _divide(wins_x.sum() - gone, ((n1 - a) * (n0 - b)).astype(np.float64))
