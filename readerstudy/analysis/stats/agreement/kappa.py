"""Kappa for two raters and for several.

References: Cohen, Educ Psychol Meas 20:37 (1960) and Psychol Bull 70:213 (1968); Fleiss, Cohen,
Everitt, Psychol Bull 72:323 (1969) for the standard errors; Fleiss, Psychol Bull 76:378 (1971);
Fleiss, Nee, Landis, Psychol Bull 86:974 (1979).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy import stats
from statsmodels.stats.inter_rater import cohens_kappa

from readerstudy.analysis.stats.agreement.chance import coefficient, tabulate
from readerstudy.analysis.stats.agreement.pairwise import ONE_ANSWER, KappaWeights, pairwise_matrix
from readerstudy.analysis.stats.types import FloatArray, Interval

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
    method: str = "Cohen's kappa, large-sample interval over cases"


@dataclass(frozen=True)
class CategoryKappa:
    """Kappa of one category against all others."""

    category: float
    kappa: float | None
    z: float | None
    p: float | None
    reason: str | None = None


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
    method: str = "Fleiss' kappa of complete cases, raters fixed"


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
    pairs = pairwise_matrix(whole, [str(i + 1) for i in range(raters)], interval=False)
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
            why = "every answer is this one, or none is"
            rows.append(CategoryKappa(float(value), None, None, None, why))
            continue
        kappa = 1 - float(apart) / float(chance)
        z = kappa / sqrt(unit)
        rows.append(CategoryKappa(float(value), kappa, z, float(2 * stats.norm.sf(abs(z)))))
    return rows
