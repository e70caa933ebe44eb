"""Do two raters (or two readings) use the answers equally often?

Stuart, Biometrika 42:412 (1955) and Maxwell, Br J Psychiatry 116:651 (1970) for marginal
homogeneity; Bowker, J Am Stat Assoc 43:572 (1948) for symmetry; McNemar, Psychometrika 12:153
(1947) for two answers. Kappa does not see such a shift well: look at both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats
from statsmodels.stats.contingency_tables import SquareTable

from readerstudy.analysis.stats.types import FloatArray

_ALIKE = "no case was judged differently"


@dataclass(frozen=True)
class Marginal:
    """Chi-squared test on the square table of two raters."""

    method: str
    n: int
    statistic: float | None
    df: int | None
    p: float | None
    reason: str | None = None


def stuart_maxwell(a: FloatArray, b: FloatArray) -> Marginal:
    """Marginal homogeneity over the cases rated by both; NaN = not rated."""
    return stuart_maxwell_table(square(a, b))


def stuart_maxwell_table(table: FloatArray) -> Marginal:
    """Marginal homogeneity of a square table of counts.

    Categories on which the raters never differ carry no information and are left out.
    """
    method, n = "Stuart-Maxwell", int(table.sum())
    diagonal = np.diag(table)
    differ = (table.sum(axis=0) - diagonal) + (table.sum(axis=1) - diagonal) > 0
    part = table[np.ix_(differ, differ)]
    if len(part) < 2:
        return Marginal(method, n, None, None, None, "no cases" if n == 0 else _ALIKE)
    if np.array_equal(part.sum(axis=0), part.sum(axis=1)):
        return Marginal(method, n, 0.0, len(part) - 1, 1.0)
    covariance = -(part + part.T)
    covariance[np.diag_indices(len(part))] = part.sum(axis=0) + part.sum(axis=1) - 2 * np.diag(part)
    if np.linalg.matrix_rank(covariance[1:, 1:]) < len(part) - 1:
        return Marginal(method, n, None, None, None, "the categories fall into separate groups")
    done = SquareTable(part, shift_zeros=False).homogeneity()
    # statsmodels gives 1 - cdf, which rounds a very small p to zero.
    statistic, df = float(done.statistic), int(done.df)
    return Marginal(method, n, statistic, df, float(stats.chi2.sf(statistic, df)))


def bowker(a: FloatArray, b: FloatArray) -> Marginal:
    """Symmetry of the square table over the cases rated by both."""
    table = square(a, b)
    n = int(table.sum())
    upper = np.triu_indices(len(table), 1)
    first, second = table[upper], table.T[upper]
    used = first + second > 0
    if not used.any():
        return Marginal("Bowker", n, None, None, None, "no cases" if n == 0 else _ALIKE)
    chi2 = float(((first - second)[used] ** 2 / (first + second)[used]).sum())
    df = int(used.sum())
    return Marginal("Bowker", n, chi2, df, float(stats.chi2.sf(chi2, df)))


def square(a: FloatArray, b: FloatArray) -> FloatArray:
    """Counts of (a's value, b's value) over the cases rated by both, values sorted."""
    both = ~(np.isnan(a) | np.isnan(b))
    values, codes = np.unique(np.concatenate([a[both], b[both]]), return_inverse=True)
    half = int(both.sum())
    table = np.zeros((len(values), len(values)))
    np.add.at(table, (codes[:half], codes[half:]), 1)
    return table
