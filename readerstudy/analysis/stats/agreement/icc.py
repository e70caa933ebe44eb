"""Intraclass correlation: how much of the spread in scores is between cases.

Six forms of Shrout and Fleiss, Psychol Bull 86:420 (1979); intervals as in McGraw and Wong,
Psychol Methods 1:30 (1996), table 7. ICC2 (absolute agreement, readers a sample) is the one to
report for a reader study; the ``k`` forms are about the mean of all raters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from readerstudy.analysis.stats.types import FloatArray, Interval

LABELS = {
    "ICC1": "one-way, single rater",
    "ICC2": "two-way random, absolute agreement, single rater",
    "ICC3": "two-way mixed, consistency, single rater",
    "ICC1k": "one-way, mean of raters",
    "ICC2k": "two-way random, absolute agreement, mean of raters",
    "ICC3k": "two-way mixed, consistency, mean of raters",
}


@dataclass(frozen=True)
class Icc:
    """One form; ``f`` tests against zero with ``df1`` and ``df2`` degrees of freedom."""

    kind: str
    label: str
    n: int
    n_left_out: int
    n_raters: int
    estimate: float | None
    f: float | None
    df1: int | None
    df2: int | None
    p: float | None
    ci95: Interval | None
    reason: str | None = None
    method: str = "analysis of variance, F interval (McGraw, Wong 1996)"


@dataclass(frozen=True)
class _Squares:
    """Mean squares of the two-way table: cases, within cases, raters, error."""

    n: int
    k: int
    between: float
    within: float
    raters: float
    error: float


def icc(ratings: FloatArray, conf: float = 0.95) -> tuple[Icc, ...]:
    """All six forms over the cases that every rater rated; (N cases, R raters), NaN = gap."""
    whole = ratings[~np.isnan(ratings).any(axis=1)]
    n, k = whole.shape
    left = len(ratings) - n
    if n < 2 or k < 2:
        reason = "fewer than two raters" if k < 2 else "fewer than two cases rated by everyone"
        return tuple(_none(kind, n, left, k, reason) for kind in LABELS)
    squares = _squares(whole)
    if squares.within <= 0 and squares.between <= 0:
        return tuple(_none(kind, n, left, k, "every score is alike") for kind in LABELS)
    single = [
        _one_way(squares, conf),
        _two_way_random(squares, conf),
        _two_way_mixed(squares, conf),
    ]
    rows = []
    for kind in LABELS:
        estimate, f, df2, ci, why = single[int(kind[3]) - 1]
        if estimate is not None and kind.endswith("k"):
            estimate, ci, why = _mean_of_raters(estimate, ci, k, why)
        p = None if f is None else float(stats.f.sf(f, n - 1, df2))
        rows.append(Icc(kind, LABELS[kind], n, left, k, estimate, f, n - 1, df2, p,
                        ci, why))  # fmt: skip
    return tuple(rows)


_Form = tuple[float | None, float | None, int, Interval | None, str | None]


def _none(kind: str, n: int, left: int, k: int, reason: str) -> Icc:
    return Icc(kind, LABELS[kind], n, left, k, None, None, None, None, None, None, reason)


def _squares(x: FloatArray) -> _Squares:
    n, k = x.shape
    cases, raters, grand = x.mean(axis=1), x.mean(axis=0), float(x.mean())
    between = k * float(((cases - grand) ** 2).sum())
    columns = n * float(((raters - grand) ** 2).sum())
    within = float(((x - cases[:, None]) ** 2).sum())
    return _Squares(
        n, k, between / (n - 1), within / (n * (k - 1)), columns / (k - 1),
        max(within - columns, 0.0) / ((n - 1) * (k - 1)),
    )  # fmt: skip


def _mean_of_raters(
    value: float, ci: Interval | None, k: int, reason: str | None
) -> tuple[float | None, Interval | None, str | None]:
    """Spearman-Brown: reliability of the mean of k raters from that of one."""

    def stepped(v: float) -> float | None:
        below = 1 + (k - 1) * v
        return k * v / below if below > 1e-9 else None

    low, high = (None, None) if ci is None else (stepped(ci[0]), stepped(ci[1]))
    up = stepped(value)
    if up is None:
        return None, None, "cases differ less than chance: the mean of raters has no reliability"
    if low is None or high is None:
        return up, None, reason or _NO_END
    return up, (low, high), reason


_PERFECT = "raters agree perfectly: no interval can be estimated"
_NO_END = "an end of the interval of one rater has no counterpart for the mean of raters"
_NO_DF = "neither cases nor raters differ: no interval can be estimated"
_NEGATIVE = "the correlation is below zero: no interval can be estimated"
_TINY = 1e-12


def _one_way(s: _Squares, conf: float) -> _Form:
    return _by_f(s.between, s.within, s.n - 1, s.n * (s.k - 1), s.k, conf)


def _two_way_mixed(s: _Squares, conf: float) -> _Form:
    return _by_f(s.between, s.error, s.n - 1, (s.n - 1) * (s.k - 1), s.k, conf)


def _by_f(top: float, bottom: float, df1: int, df2: int, k: int, conf: float) -> _Form:
    estimate = (top - bottom) / (top + (k - 1) * bottom) if top + bottom > 0 else None
    if bottom <= _TINY * top:
        return estimate, None, df2, None, _PERFECT
    f, tail = top / bottom, (1 + conf) / 2
    low = f / float(stats.f.ppf(tail, df1, df2))
    high = f * float(stats.f.ppf(tail, df2, df1))
    return estimate, f, df2, ((low - 1) / (low + k - 1), (high - 1) / (high + k - 1)), None


def _two_way_random(s: _Squares, conf: float) -> _Form:
    n, k = s.n, s.k
    df2 = (n - 1) * (k - 1)
    below = s.between + (k - 1) * s.error + k * (s.raters - s.error) / n
    estimate = (s.between - s.error) / below if below > 0 else None
    if estimate is None or s.error <= _TINY * s.between:
        return estimate, None, df2, None, _PERFECT
    columns, tail = s.raters / s.error, (1 + conf) / 2
    rest = n * (1 + (k - 1) * estimate) - k * estimate
    v = (k - 1) * (n - 1) * (k * estimate * columns + rest) ** 2
    spread = (n - 1) * k**2 * estimate**2 * columns**2 + rest**2
    if spread <= _TINY or v <= _TINY:
        return estimate, s.between / s.error, df2, None, _NO_DF
    v /= spread
    up, down = float(stats.f.ppf(tail, n - 1, v)), float(stats.f.ppf(tail, v, n - 1))
    other = k * s.raters + (k * n - k - n) * s.error
    low = n * (s.between - up * s.error) / (up * other + n * s.between)
    high = n * (down * s.between - s.error) / (other + n * down * s.between)
    if not low <= estimate <= high:
        # Satterthwaite's degrees of freedom break down for a clearly negative correlation.
        return estimate, s.between / s.error, df2, None, _NEGATIVE
    return estimate, s.between / s.error, df2, (low, high), None
