"""Cohen's kappa of every pair of raters, and its mean (Light's kappa).

References: Cohen, Educ Psychol Meas 20:37 (1960); Light, Psychol Bull 76:365 (1971). The interval
of the mean is a jackknife over cases, because the pairs share readers and cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np
from scipy import stats

from readerstudy.analysis.stats.agreement.weights import Weights, weight_matrix
from readerstudy.analysis.stats.types import FloatArray, IntArray, Interval

KappaWeights = Literal["none", "linear", "quadratic"]
ONE_ANSWER = "a reader gave one answer only: agreement by chance cannot be told from agreement"


@dataclass(frozen=True)
class Pair:
    """Kappa of one pair of raters over the cases both rated."""

    a: str
    b: str
    n: int
    kappa: float | None
    reason: str | None = None


@dataclass(frozen=True)
class PairwiseMatrix:
    """Kappa of every pair; ``kappa[i][j]`` is None where undefined, 1 on the diagonal.

    ``n_pairs`` counts the defined ones, which the mean and the extremes rest on. ``se`` and
    ``ci95`` are those of the mean, cases a sample and raters fixed.
    """

    names: tuple[str, ...]
    weights: str
    kappa: tuple[tuple[float | None, ...], ...]
    pairs: tuple[Pair, ...]
    n_pairs: int
    mean: float | None
    minimum: float | None
    maximum: float | None
    se: float | None = None
    ci95: Interval | None = None
    reason: str | None = None
    method: str = "mean of Cohen's kappa over pairs, jackknife over cases, raters fixed"


@dataclass(frozen=True, eq=False)
class _Counts:
    """Sums over cases for all pairs at once; the sums without one case follow in O(R^2).

    ``code`` (N, R) index of the answer, -1 = none; ``first`` (q, R, R): how often i gave answer k
    among the cases both i and j rated; ``observed`` and ``expected`` weighted, not divided by
    ``n`` and ``n`` squared.
    """

    code: IntArray
    weight: FloatArray
    n: FloatArray
    first: FloatArray
    observed: FloatArray
    expected: FloatArray


def pairwise_matrix(
    ratings: FloatArray,
    names: Sequence[str],
    weights: KappaWeights = "none",
    categories: Sequence[float] | None = None,
    *,
    interval: bool = True,
) -> PairwiseMatrix:
    """Cohen's kappa of every two raters, each over the cases both rated.

    Args:
        ratings: (N cases, R raters); NaN = not rated.
        weights: distance in ranks of the categories.
        categories: all values that could be given; those that were given when None.
        interval: jackknife the mean over cases, O(N R^2).
    """
    values = np.unique(
        ratings[~np.isnan(ratings)] if categories is None else np.asarray(categories)
    )
    counts = _count(ratings, values, weights)
    kappa = _kappa(counts.n, counts.first, counts.observed, counts.expected)
    left = _without_each(counts) if interval else None
    return _matrix(kappa, counts.n, [str(name) for name in names], weights, left)


def _count(ratings: FloatArray, values: FloatArray, weights: KappaWeights) -> _Counts:
    if len(values) == 0:
        values = np.zeros(1)  # nobody rated anything: every pair is undefined below
    kind: Weights = "identity" if weights == "none" else weights
    weight = weight_matrix(np.arange(len(values), dtype=np.float64), kind)
    known = ~np.isnan(ratings)
    code = np.where(known, np.searchsorted(values, np.where(known, ratings, values[0])), -1)
    given = known.astype(np.float64)
    is_value = np.stack([(code == k).astype(np.float64) for k in range(len(values))])
    first = np.einsum("knr->krn", is_value) @ given
    near = np.einsum("kl,lnr->knr", weight, is_value)
    observed = np.einsum("knr->krn", is_value) @ near
    expected = np.einsum("kl,kij,lji->ij", weight, first, first, optimize=True)
    return _Counts(code, weight, given.T @ given, first, observed.sum(axis=0), expected)


def _kappa(
    n: FloatArray, first: FloatArray, observed: FloatArray, expected: FloatArray
) -> FloatArray:
    """(R, R) kappa; NaN where a rater of the pair gave one answer, or they share no case."""
    one_answer = (first == n).any(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        chance = expected / n**2
        kappa: FloatArray = (observed / n - chance) / (1 - chance)
    kappa[one_answer | one_answer.T | (n == 0)] = np.nan
    return kappa


def _without_each(c: _Counts) -> FloatArray:
    """(M,) mean kappa with each of the M cases left out that two or more raters rated."""
    raters = np.arange(c.code.shape[1])
    upper = np.triu_indices(len(raters), 1)
    # toward[k] = sum over l of weight[k, l] * first[l], for the answer k taken from j or from i.
    toward = np.einsum("kl,lij->kij", c.weight, c.first)
    used = (c.code >= 0).sum(axis=1) >= 2
    means = []
    for code in c.code[used]:
        here = code >= 0
        both = np.outer(here, here)
        near = np.where(both, c.weight[np.ix_(code, code)], 0.0)
        mine = np.where(both, toward[code, :, raters], 0.0)
        theirs = np.where(both, toward[code, :, raters].T, 0.0)
        first = c.first.copy()
        first[code[here], raters[here]] -= here.astype(np.float64)
        value = _kappa(
            c.n - both, first, c.observed - near, c.expected - mine - theirs + near
        )[upper]  # fmt: skip
        known = value[~np.isnan(value)]
        means.append(known.mean() if len(known) else np.nan)
    return np.array(means)


def _matrix(
    kappa: FloatArray, n: FloatArray, names: list[str], weights: str, left: FloatArray | None
) -> PairwiseMatrix:
    size = len(names)
    pairs, known = [], []
    for i in range(size):
        for j in range(i + 1, size):
            value = float(kappa[i, j])
            defined = value == value
            why = None if defined else ("no case was rated by both" if n[i, j] == 0 else ONE_ANSWER)
            pairs.append(Pair(names[i], names[j], int(n[i, j]), value if defined else None, why))
            known += [value] if defined else []
    # Rounding makes (i, j) and (j, i) differ in the last digit.
    table = np.triu(kappa, 1) + np.triu(kappa, 1).T + np.eye(size)
    cells = tuple(tuple(float(v) if v == v else None for v in row) for row in table)
    reason = None
    if not known:
        reason = "fewer than two raters" if size < 2 else "kappa is undefined for every pair"
    return PairwiseMatrix(
        tuple(names), weights, cells, tuple(pairs), len(known),
        float(np.mean(known)) if known else None, min(known, default=None),
        max(known, default=None), *_interval(known, left, reason),
    )  # fmt: skip


def _interval(
    known: list[float], left: FloatArray | None, reason: str | None
) -> tuple[float | None, Interval | None, str | None]:
    """Standard error and t interval of the mean, or why there is none."""
    if reason is not None or left is None:
        return None, None, reason or "no interval was asked for"
    if len(left) < 2 or np.isnan(left).any():
        return None, None, "without one of the cases kappa is undefined for every pair"
    m = len(left)
    se = sqrt((m - 1) / m * float(((left - left.mean()) ** 2).sum()))
    if se < 1e-12:
        return 0.0, None, "no case changes the mean: the standard error is zero"
    mean = float(np.mean(known))
    half = float(stats.t.ppf(0.975, m - 1)) * se
    return se, (mean - half, mean + half), None
