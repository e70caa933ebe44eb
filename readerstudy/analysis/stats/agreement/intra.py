"""A reader against herself: cases read a second time.

The one place where repeats enter. Reference for what to report: Kottner et al., GRRAS, J Clin
Epidemiol 64:96 (2011).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from readerstudy.analysis.stats.agreement.kappa import Cohen, cohen
from readerstudy.analysis.stats.proportions import Proportion, rate_ci
from readerstudy.analysis.stats.types import FloatArray


@dataclass(frozen=True)
class IntraRow:
    """Second reading against first, of one reader or of all pooled.

    Attributes:
        kappa: of the two verdicts.
        weighted_kappa: of the two scores, quadratic weights on the ordered answers.
        to_positive: cases called negative first and positive the second time.
        to_negative: the other way round.
        mcnemar_p: exact test that the two changes are equally frequent (a drift).
        mcnemar_chi2: the same as a chi-squared without continuity correction.
        mean_change: mean absolute change of the score, in steps of the scale.
    """

    reader: str
    n: int
    agreement: Proportion
    kappa: Cohen
    weighted_kappa: Cohen
    to_positive: int
    to_negative: int
    mcnemar_p: float | None
    mcnemar_chi2: float | None
    mean_change: float | None
    reason: str | None = None


@dataclass(frozen=True)
class IntraReader:
    """Intra-reader agreement; the pooled row ignores that readings share readers."""

    positive: str
    levels: tuple[float, ...]
    per_reader: tuple[IntraRow, ...]
    pooled: IntraRow
    reason: str | None = None


def intra_reader(
    first: pd.DataFrame, repeats: pd.DataFrame, *, positive: str = "synthetic"
) -> IntraReader:
    """Agreement of the second reading (``repeat`` 2) with the first.

    Args:
        first, repeats: rows with reader_id, case_id, verdict, score (and ``repeat``); later
            repeats than the second are not used.
    """
    second = repeats[repeats["repeat"] == 2] if "repeat" in repeats else repeats
    columns = ["reader_id", "case_id", "verdict", "score"]
    pairs = first[columns].merge(second[columns], on=["reader_id", "case_id"], suffixes=("", "_2"))
    levels = score_levels(first["score"].to_numpy(dtype=np.float64))
    rows = [
        _row(str(name), rows, levels, positive)
        for name, rows in pairs.groupby("reader_id", sort=True)
    ]
    reason = "no case was read twice" if pairs.empty else None
    return IntraReader(
        positive, tuple(levels.tolist()), tuple(rows), _row("all", pairs, levels, positive), reason
    )


def score_levels(scores: FloatArray) -> FloatArray:
    """Every value the signed score could take: -L..-1, 1..L for whole-number confidence.

    Scores that are not whole numbers keep the values that were given.
    """
    known = scores[~np.isnan(scores)]
    if len(known) and (known % 1 == 0).all() and np.abs(known).max() <= 100:
        most = int(np.abs(known).max())
        return np.array([v for v in range(-most, most + 1) if v], dtype=np.float64)
    return np.unique(known)


def _row(name: str, pairs: pd.DataFrame, levels: FloatArray, positive: str) -> IntraRow:
    a = (pairs["verdict"] == positive).to_numpy(dtype=np.float64)
    b = (pairs["verdict_2"] == positive).to_numpy(dtype=np.float64)
    x = pairs["score"].to_numpy(dtype=np.float64)
    y = pairs["score_2"].to_numpy(dtype=np.float64)
    n = len(pairs)
    up, down = int(((a == 0) & (b == 1)).sum()), int(((a == 1) & (b == 0)).sum())
    changed = up + down
    ranks = np.searchsorted(levels, y) - np.searchsorted(levels, x)
    known = levels if np.isin(y, levels).all() else np.unique(np.concatenate([levels, y]))
    return IntraRow(
        name, n, rate_ci(int((a == b).sum()), n), cohen(a, b, categories=(0, 1)),
        cohen(x, y, "quadratic", known.tolist()), up, down,
        float(stats.binomtest(up, changed).pvalue) if changed else None,
        (up - down) ** 2 / changed if changed else None,
        float(np.abs(ranks).mean()) if n else None,
        None if n else "no case was read twice",
    )  # fmt: skip
