"""Agreement of two or more raters, corrected for chance in six ways, ratings missing or not.

Every coefficient is (observed - expected) / (1 - expected); they differ in what chance would give.
Standard errors take the cases as a sample and the raters as fixed. References: Gwet, Br J Math
Stat Psychol 61:29 (2008) and Educ Psychol Meas 81:781 (2021); Fleiss, Psychol Bull 76:378 (1971);
Conger, Psychol Bull 88:322 (1980); Krippendorff, Educ Psychol Meas 30:61 (1970); Brennan and
Prediger, Educ Psychol Meas 41:687 (1981). Equations as in Gwet, Handbook of Inter-Rater
Reliability, 4th ed. (2014), chapters 2, 3 and 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np
from scipy import stats

from readerstudy.analysis.stats.agreement.weights import Weights, weight_matrix
from readerstudy.analysis.stats.readings import Readings
from readerstudy.analysis.stats.types import FloatArray, Interval

LABELS = {
    "percent_agreement": "percent agreement",
    "gwet_ac": "Gwet's AC",
    "fleiss": "Fleiss' kappa",
    "conger": "Conger's kappa",
    "krippendorff": "Krippendorff's alpha",
    "brennan_prediger": "Brennan-Prediger coefficient",
}
ONE_CATEGORY = "every rating is alike: chance alone would agree always"
NO_PAIR = "no case was rated twice"
ONE_RATER = "one rater: there is nobody to agree with"
_TINY = 1e-12


@dataclass(frozen=True)
class Agreement:
    """One coefficient; 0 is what chance gives, 1 perfect agreement (1 also for raw agreement).

    Attributes:
        n: cases with at least one rating (two for Krippendorff's alpha).
        observed, expected: weighted agreement seen, and under chance.
        ci95: over cases, raters fixed; not truncated at 1.
        p: two-sided against zero.
    """

    name: str
    label: str
    method: str
    weights: str
    n: int
    n_raters: int
    estimate: float | None
    se: float | None
    ci95: Interval | None
    p: float | None
    observed: float | None
    expected: float | None
    reason: str | None = None


@dataclass(frozen=True, eq=False)
class Table:
    """Ratings counted: what every coefficient starts from.

    ``ratings`` (N, R) without cases nobody rated and raters who rated nothing; ``values`` (q,)
    sorted categories; ``counts`` (N, q) raters per case and category; ``weight`` (q, q).
    """

    ratings: FloatArray
    values: FloatArray
    counts: FloatArray
    weight: FloatArray
    weights: str

    @property
    def per_case(self) -> FloatArray:
        total: FloatArray = self.counts.sum(axis=1)
        return total


def ratings_of(readings: Readings, what: Literal["call", "score"] = "call") -> FloatArray:
    """(K cases, J readers) verdicts (1 = positive) or signed scores; NaN = not read."""
    return (readings.call if what == "call" else readings.score).T


def chance_corrected(
    ratings: FloatArray, weights: Weights = "identity", categories: Sequence[float] | None = None
) -> dict[str, Agreement]:
    """All six coefficients of :data:`LABELS`, by name.

    Args:
        ratings: (N cases, R raters); NaN = not rated.
        categories: all values that could be given; those that were given when None.
    """
    table = tabulate(ratings, weights, categories)
    return {name: coefficient(table, name) for name in LABELS}


def gwet_ac(
    ratings: FloatArray, weights: Weights = "identity", categories: Sequence[float] | None = None
) -> Agreement:
    """Gwet's AC1 (identity weights) or AC2: hardly moved by one answer being much commoner."""
    return coefficient(tabulate(ratings, weights, categories), "gwet_ac")


def tabulate(
    ratings: FloatArray, weights: Weights = "identity", categories: Sequence[float] | None = None
) -> Table:
    """Count the ratings per case and category.

    Raises:
        ValueError: a rating is not among ``categories``.
    """
    given = ~np.isnan(ratings)
    ratings = ratings[given.any(axis=1)][:, given.any(axis=0)]
    given = ~np.isnan(ratings)
    seen = np.unique(ratings[given])
    values = seen if categories is None else np.unique(np.asarray(categories, dtype=np.float64))
    if not np.isin(seen, values).all():
        raise ValueError("a rating is not among the categories")
    counts = np.stack([(ratings == v).sum(axis=1) for v in values], axis=1).astype(np.float64) \
        if len(values) else np.zeros((len(ratings), 0))  # fmt: skip
    weight = weight_matrix(values, weights) if len(values) else np.zeros((0, 0))
    return Table(ratings, values, counts, weight, weights)


def coefficient(table: Table, name: str) -> Agreement:
    """One coefficient of :data:`LABELS` from counted ratings."""
    n = len(table.ratings)
    per_case = table.per_case
    if not (per_case >= 2).any():
        return _result(table, name, n, reason=NO_PAIR if n else "no ratings")
    alone = len(table.values) < 2 and name != "percent_agreement"
    if alone:
        return _result(table, name, n, reason=ONE_CATEGORY)
    if name == "krippendorff":
        return _krippendorff(table)
    seen = table.counts * (table.counts @ table.weight.T - 1)
    twice = per_case >= 2
    pair = np.where(twice, per_case * (per_case - 1), 1.0)
    own = seen.sum(axis=1) / pair * (n / twice.sum())
    observed = float(own.mean())
    expected, shares = _EXPECTED[name](table)
    if expected > 1 - _TINY:
        return _result(table, name, n, reason=ONE_CATEGORY)
    estimate = (observed - expected) / (1 - expected)
    scaled = (own - expected * twice * (n / twice.sum())) / (1 - expected)
    linear = scaled - 2 * (1 - estimate) * (shares - expected) / (1 - expected)
    return _result(table, name, n, observed, expected, estimate, linear, estimate)


# -------------------------------------------------------------------------------------- chance


def _mean_shares(table: Table) -> FloatArray:
    share: FloatArray = (table.counts / table.per_case[:, None]).mean(axis=0)
    return share


def _none(table: Table) -> tuple[float, FloatArray]:
    return 0.0, np.zeros(len(table.counts))


def _gwet(table: Table) -> tuple[float, FloatArray]:
    q, share = len(table.values), _mean_shares(table)
    scale = float(table.weight.sum()) / (q * (q - 1))
    return (
        scale * float((share * (1 - share)).sum()),
        scale * (table.counts @ (1 - share)) / table.per_case,
    )


def _fleiss(table: Table) -> tuple[float, FloatArray]:
    share = _mean_shares(table)
    near = (table.weight + table.weight.T) @ share / 2
    return float(share @ table.weight @ share), table.counts @ near / table.per_case


def _brennan_prediger(table: Table) -> tuple[float, FloatArray]:
    expected = float(table.weight.mean())
    return expected, np.full(len(table.counts), expected)


def _conger(table: Table) -> tuple[float, FloatArray]:
    """Chance from each rater's own habits, averaged over pairs of raters."""
    n, raters = table.ratings.shape
    is_value = (table.ratings[:, :, None] == table.values[None, None, :]).astype(np.float64)
    given = is_value.sum(axis=2)
    totals = given.sum(axis=0)
    habit = is_value.sum(axis=0) / totals[:, None]
    mean = habit.mean(axis=0)
    spread = (habit.T @ habit - raters * np.outer(mean, mean)) / (raters - 1)
    expected = float((table.weight * (np.outer(mean, mean) - spread / raters)).sum())
    moved = is_value - (given - totals / n)[:, :, None] * habit[None, :, :]
    near = (moved @ table.weight.T) * (n / totals)[None, :, None]
    others = habit.sum(axis=0)[None, :] - habit
    shares = (near * others[None, :, :]).sum(axis=(1, 2)) / (raters * (raters - 1))
    return expected, shares


_EXPECTED = {
    "percent_agreement": _none,
    "gwet_ac": _gwet,
    "fleiss": _fleiss,
    "conger": _conger,
    "brennan_prediger": _brennan_prediger,
}


def _krippendorff(table: Table) -> Agreement:
    keep = table.per_case >= 2
    counts, per_case = table.counts[keep], table.per_case[keep]
    n, mean = len(counts), float(per_case.mean())
    own = (counts * (counts @ table.weight.T - 1)).sum(axis=1) / (mean * (per_case - 1))
    prime, small = float(own.mean()), 1 / float(per_case.sum())
    observed = (1 - small) * prime + small
    share = counts.mean(axis=0) / mean
    expected = float(share @ table.weight @ share)
    if expected > 1 - _TINY:
        return _result(table, "krippendorff", n, reason=ONE_CATEGORY)
    excess = (per_case - mean) / mean
    near = counts @ ((table.weight + table.weight.T) @ share / 2) / mean
    low = (prime - expected) / (1 - expected)
    # Gwet's variance takes the corrected agreement here; the uncorrected would differ by 1/ratings.
    scaled = (own - observed * excess - expected) / (1 - expected)
    linear = scaled - 2 * (1 - low) * (near - expected * excess - expected) / (1 - expected)
    estimate = (observed - expected) / (1 - expected)
    return _result(table, "krippendorff", n, observed, expected, estimate, linear, low)


def _result(
    table: Table,
    name: str,
    n: int,
    observed: float | None = None,
    expected: float | None = None,
    estimate: float | None = None,
    linear: FloatArray | None = None,
    centre: float = 0.0,
    reason: str | None = None,
) -> Agreement:
    """Standard error from the linearised values of the cases, t with cases - 1 df."""
    label = LABELS[name]
    if name == "gwet_ac":
        label += "1" if table.weights == "identity" else "2"
    method = "linearised over cases, raters fixed (Gwet)"
    se = ci = p = None
    if estimate is not None and linear is not None:
        if n < 2:
            reason = "one case: the standard error cannot be estimated"
        else:
            se = sqrt(float(((linear - centre) ** 2).sum()) / (n * (n - 1)))
            df = n - 1
            if se < _TINY:
                se, reason = 0.0, "no variation between cases: the standard error is zero"
            else:
                half = float(stats.t.ppf(0.975, df)) * se
                ci = (estimate - half, estimate + half)
                p = float(2 * stats.t.sf(abs(estimate) / se, df))
    return Agreement(
        name, label, method, table.weights, n, table.ratings.shape[1], estimate, se, ci, p,
        observed, expected, reason,
    )  # fmt: skip
