"""Reader-level metrics when every case counts with a weight: the engine of all resampling.

A bootstrap sample is a vector of counts and a permutation of labels is a vector of zeros and
ones, so that B of them are a matrix with B rows and the metrics of all readers in all of them
come out of matrix products and running sums, in time linear in B times the readings.
"""

from __future__ import annotations

import numpy as np

from readerstudy.analysis.stats import metrics
from readerstudy.analysis.stats.readings import Readings
from readerstudy.analysis.stats.types import BoolArray, FloatArray

#: Up to this many different scores, counting per level beats sorting.
_FEW_LEVELS = 24
#: Bytes of one block of (replicates, readers, levels) held at once.
_BYTES = 64 * 2**20


def weighted_values(
    readings: Readings, key: str, as_positive: FloatArray, as_negative: FloatArray
) -> FloatArray:
    """(B, J) metric of every reader in every replicate; NaN where a class has no weight.

    Args:
        as_positive, as_negative: (B, K) weight with which each case counts in either class. A
            case with weight in both counts in both.
    """
    m = metrics.metric(key)
    if m.counts is None:
        return _aucs(readings.score, as_positive, as_negative)
    seen = readings.read.T.astype(np.float64)
    said = (readings.call == 1).T.astype(np.float64)
    return m.counts(
        as_positive @ said, as_positive @ seen, as_negative @ said, as_negative @ seen
    )  # fmt: skip


def _aucs(score: FloatArray, as_positive: FloatArray, as_negative: FloatArray) -> FloatArray:
    levels = np.unique(score[~np.isnan(score)])
    if len(levels) <= _FEW_LEVELS:
        return _by_level(score, levels, as_positive, as_negative)
    positive, negative = np.ascontiguousarray(as_positive.T), np.ascontiguousarray(as_negative.T)
    return np.stack([_by_rank(row, positive, negative) for row in score], axis=1)


def _by_level(
    score: FloatArray, levels: FloatArray, as_positive: FloatArray, as_negative: FloatArray
) -> FloatArray:
    """Few levels: weights per level are one matrix product for all readers."""
    n_readers, n_cases = score.shape
    n_levels = max(1, len(levels))
    at_level = score.T[:, :, None] == levels[None, None, :]
    indicator = at_level.reshape(n_cases, -1).astype(np.float64)
    out = np.empty((len(as_positive), n_readers))
    block = max(1, _BYTES // (8 * max(1, n_readers) * n_levels))
    for start in range(0, len(as_positive), block):
        part = slice(start, start + block)
        shape = (-1, n_readers, len(levels))
        positive = (as_positive[part] @ indicator).reshape(shape)
        negative = (as_negative[part] @ indicator).reshape(shape)
        out[part] = _area(positive, negative)
    return out


def _by_rank(row: FloatArray, as_positive: FloatArray, as_negative: FloatArray) -> FloatArray:
    """Many levels: sort the reader's scores once, add up ties, run along the ranks.

    Takes the weights as (K, B): gathering whole rows is several times quicker than columns.
    """
    out = np.full(as_positive.shape[1], np.nan)
    read = np.flatnonzero(~np.isnan(row))
    if len(read) == 0:
        return out
    order = read[np.argsort(row[read], kind="stable")]
    ranked = row[order]
    starts = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))
    positive, negative = as_positive[order], as_negative[order]
    if len(starts) < len(order):
        positive = np.add.reduceat(positive, starts, axis=0)
        negative = np.add.reduceat(negative, starts, axis=0)
    below = np.cumsum(negative, axis=0)
    pairs = positive.sum(axis=0) * below[-1]
    below -= negative / 2
    won = np.einsum("kb,kb->b", positive, below)
    np.divide(won, pairs, out=out, where=pairs > 0)
    return out


def _area(positive: FloatArray, negative: FloatArray) -> FloatArray:
    """P(positive above negative) + half P(tie) from weights per level, along the last axis."""
    below = np.cumsum(negative, axis=-1) - negative / 2
    won = (positive * below).sum(axis=-1)
    pairs = positive.sum(axis=-1) * negative.sum(axis=-1)
    area: FloatArray = np.full(won.shape, np.nan)
    np.divide(won, pairs, out=area, where=pairs > 0)
    return area


def strata(readings: Readings) -> list[BoolArray]:
    """Units to be resampled apart: of positives only, of negatives only, of both (a patient)."""
    pos = np.bincount(readings.unit, weights=readings.is_positive, minlength=readings.n_units) > 0
    neg = np.bincount(readings.unit, weights=~readings.is_positive, minlength=readings.n_units) > 0
    groups = [pos & ~neg, neg & ~pos, pos & neg]
    return [group for group in groups if group.any()]
