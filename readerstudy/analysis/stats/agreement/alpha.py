"""Krippendorff's alpha for nominal, ordinal, interval and ratio ratings, with gaps.

alpha = 1 - D_observed / D_expected from the coincidence matrix. Reference: Krippendorff,
Computing Krippendorff's Alpha-Reliability (2011), sections A to D; Content Analysis, 4th ed.
(2018), chapter 12. The interval is a percentile bootstrap over cases.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from readerstudy.analysis.stats.agreement.chance import NO_PAIR, ONE_CATEGORY, Agreement
from readerstudy.analysis.stats.types import FloatArray, Interval

Level = Literal["nominal", "ordinal", "interval", "ratio"]
LEVELS: tuple[Level, ...] = ("nominal", "ordinal", "interval", "ratio")


def kripp_alpha(
    ratings: FloatArray,
    level: Level = "nominal",
    *,
    replicates: int = 0,
    rng: np.random.Generator | None = None,
) -> Agreement:
    """Alpha over the cases with two or more ratings.

    Args:
        ratings: (N cases, R raters); NaN = not rated.
        level: how far two values are apart; "ordinal" depends on how often each was given.
        replicates: bootstrap replicates over cases for ``se`` and ``ci95``; none when 0.

    Raises:
        ValueError: an unknown level, or replicates without a generator.
    """
    if level not in LEVELS:
        raise ValueError(f"unknown level {level!r}; one of {', '.join(LEVELS)}")
    given = ~np.isnan(ratings)
    used = ratings[given.sum(axis=1) >= 2]
    n, raters = len(used), int(given.any(axis=0).sum())
    method = "coincidence matrix"
    if replicates:
        method += f", percentile bootstrap over cases ({replicates})"

    def result(
        value: float | None, se: float | None = None, ci: Interval | None = None,
        parts: tuple[float, float] | None = None, reason: str | None = None,
    ) -> Agreement:  # fmt: skip
        observed, expected = parts or (None, None)
        return Agreement(
            "krippendorff", f"Krippendorff's alpha ({level})", method, level, n, raters, value,
            se, ci, None, observed, expected, reason,
        )  # fmt: skip

    if n == 0:
        return result(None, reason=NO_PAIR)
    values = np.unique(used[~np.isnan(used)])
    if len(values) < 2:
        return result(None, reason=ONE_CATEGORY)
    if level == "ratio" and float(values[0]) < 0:
        return result(None, reason="a ratio scale has no values below zero")
    counts = np.stack([(used == v).sum(axis=1) for v in values], axis=1).astype(np.float64)
    own = _coincidences(counts)
    whole = own.sum(axis=0, keepdims=True)
    observed, expected = _disagreement(whole, values, level)
    estimate = 1 - float(observed[0] / expected[0])
    parts = (1 - float(observed[0]), 1 - float(expected[0])) if level == "nominal" else None
    if not replicates:
        return result(estimate, parts=parts, reason="no interval was asked for")
    if rng is None:
        raise ValueError("a bootstrap needs a random generator")
    if n < 2:
        return result(estimate, parts=parts, reason="one case: no interval can be estimated")
    weights = rng.multinomial(n, np.full(n, 1 / n), size=replicates).astype(np.float64)
    drawn = (weights @ own.reshape(n, -1)).reshape(replicates, *own.shape[1:])
    observed, expected = _disagreement(drawn, values, level)
    # A replicate in which every rating is alike has no alpha and is left out.
    ok = expected > 0
    alphas = 1 - observed[ok] / expected[ok]
    if len(alphas) < 2:
        return result(estimate, parts=parts, reason="no bootstrap replicate has two values")
    low, high = np.quantile(alphas, [0.025, 0.975])
    return result(estimate, float(alphas.std(ddof=1)), (float(low), float(high)), parts)


def _coincidences(counts: FloatArray) -> FloatArray:
    """(N, q, q) what each case adds to the coincidence matrix."""
    pairs = counts[:, :, None] * counts[:, None, :]
    diagonal = np.arange(counts.shape[1])
    pairs[:, diagonal, diagonal] -= counts
    share: FloatArray = pairs / (counts.sum(axis=1) - 1)[:, None, None]
    return share


def _disagreement(
    coincidence: FloatArray, values: FloatArray, level: Level
) -> tuple[FloatArray, FloatArray]:
    """(B,) observed and expected disagreement of B coincidence matrices."""
    totals = coincidence.sum(axis=2)
    n = totals.sum(axis=1)
    distance = _distance(totals, values, level)
    observed: FloatArray = (coincidence * distance).sum(axis=(1, 2)) / n
    chance = np.einsum("bk,bl,bkl->b", totals, totals, distance)
    expected: FloatArray = chance / (n * (n - 1))
    return observed, expected


def _distance(totals: FloatArray, values: FloatArray, level: Level) -> FloatArray:
    """Squared difference of every two values, (1 or B, q, q)."""
    a, b = values[:, None], values[None, :]
    if level == "nominal":
        return np.asarray(a != b, dtype=np.float64)[None]
    if level == "interval":
        gap: FloatArray = ((a - b) ** 2)[None]
        return gap
    if level == "ratio":
        total = a + b
        share: FloatArray = np.divide(a - b, total, out=np.zeros_like(total), where=total != 0)
        squared: FloatArray = share[None] ** 2
        return squared
    upto = np.cumsum(totals, axis=1)
    middle = upto - totals / 2
    ranks: FloatArray = (middle[:, :, None] - middle[:, None, :]) ** 2
    return ranks
