"""Kappa for two raters, for several, and for every pair.

References: Cohen, Educ Psychol Meas 20:37 (1960) and Psychol Bull 70:213 (1968); Fleiss, Cohen,
Everitt, Psychol Bull 72:323 (1969) for the standard errors; Fleiss, Psychol Bull 76:378 (1971);
Fleiss, Nee, Landis, Psychol Bull 86:974 (1979); Light, Psychol Bull 76:365 (1971).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np
from scipy import stats
from statsmodels.stats.inter_rater import cohens_kappa

from readerstudy.analysis.stats.agreement.chance import coefficient, tabulate
from readerstudy.analysis.stats.agreement.weights import Weights, weight_matrix
from readerstudy.analysis.stats.types import FloatArray, Interval

KappaWeights = Literal["none", "linear", "quadratic"]
ONE_ANSWER = "a reader gave one answer only: agreement by chance cannot be told from agreement"
_TINY = 1e-12


@dataclass(frozen=True)
class Cohen:
    """Kappa of two raters; ``z_null`` uses the standard error under chance agreement."""

    weights: str
    n: int
    agreement: float | None
    estimate: float | None
    se: float | None
    ci95: Interval | None
    z_null: float | None
    p_null: float | None
    reason: str | None = None


@dataclass(frozen=True)
class CategoryKappa:
    """Kappa of one category against all others."""

    category: float
    kappa: float | None
    z: float | None
    p: float | None


@dataclass(frozen=True)
class Fleiss:
    """Kappa of several raters who rated the same cases.

    ``ci95`` takes the cases as a sample; ``ci95_null`` and ``z`` use the standard error under
    chance agreement. ``conger_exact`` takes chance from each rater's own habits; ``light`` is the
    mean of the pairwise kappas.
    """

    n: int
    n_left_out: int
    n_raters: int
    estimate: float | None
    se: float | None
    ci95: Interval | None
    se_null: float | None
    z: float | None
    p: float | None
    ci95_null: Interval | None
    conger_exact: float | None
    light: float | None
    per_category: tuple[CategoryKappa, ...]
    reason: str | None = None


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

    ``n_pairs`` counts the defined ones, which the mean and the extremes rest on.
    """

    names: tuple[str, ...]
    weights: str
    kappa: tuple[tuple[float | None, ...], ...]
    pairs: tuple[Pair, ...]
    n_pairs: int
    mean: float | None
    minimum: float | None
    maximum: float | None
    reason: str | None = None


def cohen(
    a: FloatArray,
    b: FloatArray,
    weights: KappaWeights = "none",
    categories: Sequence[float] | None = None,
) -> Cohen:
    """Kappa of two raters over the cases both rated.

    Args:
        a, b: ratings of the same cases; NaN = not rated.
        weights: distance in ranks of the categories, so that unequal steps do not matter.
        categories: all values that could be given; those that were given when None.
    """
    both = ~(np.isnan(a) | np.isnan(b))
    a, b = a[both], b[both]
    n = len(a)
    if n == 0:
        return Cohen(weights, 0, None, None, None, None, None, None, "no case was rated by both")
    same = float((a == b).mean())
    values = np.unique(np.concatenate([a, b]) if categories is None else np.asarray(categories))
    table = np.zeros((len(values), len(values)))
    np.add.at(table, (np.searchsorted(values, a), np.searchsorted(values, b)), 1)
    if len(np.unique(a)) == 1 or len(np.unique(b)) == 1:
        return Cohen(weights, n, same, None, None, None, None, None, ONE_ANSWER)
    # Perfect agreement leaves a variance of zero, which rounding may turn negative.
    with np.errstate(invalid="ignore", divide="ignore"):
        done = cohens_kappa(table, wt=None if weights == "none" else weights)
    estimate, se, se_null = (float(v) for v in (done.kappa, done.std_kappa, done.std_kappa0))
    z = estimate / se_null if se_null > _TINY else None
    p = None if z is None else float(2 * stats.norm.sf(abs(z)))
    if not se > _TINY:
        reason = "no variation between cases: the standard error is zero"
        return Cohen(weights, n, same, estimate, 0.0, None, z, p, reason)
    half = float(stats.norm.ppf(0.975)) * se
    return Cohen(weights, n, same, estimate, se, (estimate - half, estimate + half), z, p)


def fleiss(ratings: FloatArray, categories: Sequence[float] | None = None) -> Fleiss:
    """Fleiss' kappa over the cases that every rater rated."""
    n_all, raters = ratings.shape
    whole = ratings[~np.isnan(ratings).any(axis=1)]
    n = len(whole)

    def refuse(reason: str) -> Fleiss:
        return Fleiss(n, n_all - n, raters, None, None, None, None, None, None, None, None, None,
                      (), reason)  # fmt: skip

    if raters < 2:
        return refuse("fewer than two raters")
    if n == 0:
        return refuse("no case was rated by everyone")
    table = tabulate(whole, "identity", categories)
    main = coefficient(table, "fleiss")
    share = table.counts.sum(axis=0) / (n * raters)
    both = share * (1 - share)
    if both.sum() <= 0 or main.estimate is None:
        return refuse("every rating is alike: chance alone would agree always")
    unit = 2 / (n * raters * (raters - 1))
    se_null = sqrt(unit * (both.sum() ** 2 - (both * (1 - 2 * share)).sum())) / float(both.sum())
    z = main.estimate / se_null
    half = float(stats.norm.ppf(0.975)) * se_null
    pairs = pairwise_matrix(whole, [str(i + 1) for i in range(raters)])
    return Fleiss(
        n, n_all - n, raters, main.estimate, main.se, main.ci95, se_null, z,
        float(2 * stats.norm.sf(abs(z))), (main.estimate - half, main.estimate + half),
        coefficient(table, "conger").estimate, pairs.mean,
        tuple(_categories(table.values, table.counts, both, raters, unit)), main.reason,
    )  # fmt: skip


def _categories(
    values: FloatArray, counts: FloatArray, both: FloatArray, raters: int, unit: float
) -> list[CategoryKappa]:
    split = (counts * (raters - counts)).sum(axis=0) / (len(counts) * raters * (raters - 1))
    rows = []
    for value, apart, chance in zip(values, split, both, strict=True):
        if chance <= 0:
            rows.append(CategoryKappa(float(value), None, None, None))
            continue
        kappa = 1 - float(apart) / float(chance)
        z = kappa / sqrt(unit)
        rows.append(CategoryKappa(float(value), kappa, z, float(2 * stats.norm.sf(abs(z)))))
    return rows


def pairwise_matrix(
    ratings: FloatArray,
    names: Sequence[str],
    weights: KappaWeights = "none",
    categories: Sequence[float] | None = None,
) -> PairwiseMatrix:
    """Cohen's kappa of every two raters, each over the cases both rated.

    All pairs at once from products of indicator matrices: O(q^2 N R^2).
    """
    values = np.unique(
        ratings[~np.isnan(ratings)] if categories is None else np.asarray(categories)
    )
    kind: Weights = "identity" if weights == "none" else weights
    weight = weight_matrix(np.arange(len(values), dtype=np.float64), kind)
    given = (~np.isnan(ratings)).astype(np.float64)
    is_value = [(ratings == v).astype(np.float64) for v in values]
    n = given.T @ given
    # first[k][i, j]: how often i gave value k among the cases both i and j rated.
    first = [m.T @ given for m in is_value]
    observed, expected = np.zeros_like(n), np.zeros_like(n)
    for k, mine in enumerate(is_value):
        for m, other in enumerate(is_value):
            if weight[k, m]:
                observed += weight[k, m] * (mine.T @ other)
                expected += weight[k, m] * first[k] * first[m].T
    one_answer = np.max(first, axis=0) == n if len(values) else np.ones_like(n, dtype=bool)
    with np.errstate(invalid="ignore", divide="ignore"):
        observed, expected = observed / n, expected / n**2
        kappa = (observed - expected) / (1 - expected)
    kappa[one_answer | one_answer.T | (n == 0)] = np.nan
    return _matrix(kappa, n, [str(name) for name in names], weights)


def _matrix(kappa: FloatArray, n: FloatArray, names: list[str], weights: str) -> PairwiseMatrix:
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
        max(known, default=None), reason,
    )  # fmt: skip
