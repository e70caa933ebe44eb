"""Readers of every unlucky kind, for tests that nothing breaks and nothing is NaN."""

from __future__ import annotations

import numpy as np
import pandas as pd

from readerstudy.analysis.stats.readings import Readings

NAN = float("nan")


def readings(
    score: list[list[float]] | np.ndarray,
    positive: list[int] | np.ndarray,
    unit: list[int] | None = None,
) -> Readings:
    """Readings from signed scores (J, K); NaN = not read."""
    s = np.asarray(score, dtype=float)
    call = np.where(np.isnan(s), np.nan, (s > 0).astype(float))
    n = s.shape[1]
    return Readings(
        tuple(f"R{j + 1:02d}" for j in range(len(s))),
        tuple(f"C{k + 1:03d}" for k in range(n)),
        "synthetic",
        "real",
        np.asarray(positive, dtype=bool),
        np.asarray(range(n) if unit is None else unit, dtype=np.int64),
        s,
        call,
        "case" if unit is None else "patient",
    )


def frame(r: Readings, *, repeat: int = 1) -> pd.DataFrame:
    """The table of first (or second) readings behind ``r``, with orders and times."""
    row, column = np.nonzero(r.read)
    return pd.DataFrame(
        {
            "reader_id": np.asarray(r.readers, dtype=object)[row],
            "case_id": np.asarray(r.cases, dtype=object)[column],
            "patient_id": [f"P{u}" for u in r.unit[column]],
            "truth": np.where(r.is_positive[column], "synthetic", "real"),
            "verdict": np.where(r.call[row, column] == 1, "synthetic", "real"),
            "score": r.score[row, column],
            "repeat": repeat,
            "order_index": 1.0 + (column * 7 + row * 3) % max(1, len(r.cases)),
            "response_time_s": 3.0 + (column * 5 + row * 2) % 11,
            "p_synthetic_pct": 50 + 10 * np.clip(r.score[row, column], -5, 5),
            "experience_years": 1.0 + row,
        }
    )


def study(
    seed: int = 7, readers: int = 6, cases: int = 40, missing: float = 0.0, d: float = 0.9
) -> Readings:
    """An ordinary small study: six-point ratings, readers and cases that differ."""
    rng = np.random.default_rng(seed)
    truth = np.arange(cases) % 2 == 0
    latent = rng.normal(size=(readers, cases)) + d * truth - d / 2
    latent += rng.normal(size=cases) * 0.6 + rng.normal(size=(readers, 1)) * 0.3
    score = np.sign(latent) * np.clip(np.ceil(np.abs(latent)), 1, 3)
    score[rng.random(score.shape) < missing] = np.nan
    return readings(score, truth)


#: Each is a study somebody could hand in.
STUDIES: dict[str, Readings] = {
    "one answer": readings([[1] * 8, [1] * 8, [1] * 8], [1, 0] * 4),
    "one reader": readings([[1, -1, 2, -2, 3, -3, 1, -1]], [1, 0, 1, 1, 0, 0, 1, 0]),
    "one case": readings([[1], [-1], [2]], [1]),
    "one case each": readings([[1, -1], [-1, 1], [2, -3]], [1, 0]),
    "one class": readings([[1, -1, 1, 2], [1, 1, -1, -2]], [1, 1, 1, 1]),
    "perfect": readings([[3, -3] * 5, [3, -3] * 5, [3, -3] * 5], [1, 0] * 5),
    "inverted": readings([[-3, 3] * 5, [-3, 3] * 5, [-3, 3] * 5], [1, 0] * 5),
    "same reader twice": readings([[1, -2, -1, 3, 1, -1]] * 2, [1, 0, 1, 0, 1, 0]),
    "opposite readers": readings([[1, -1] * 4, [-1, 1] * 4], [1, 1, 0, 0] * 2),
    "nothing in common": readings([[1, -1, 1, -1, *[NAN] * 4], [*[NAN] * 4, 2, -2, -1, 1]],
                                  [1, 0] * 4),
    "a reader without readings": readings([[1, -1, 1, 1], [NAN] * 4, [1, 1, -1, -1]], [1, 0, 1, 0]),
    "a case without readings": readings([[1, -1, NAN, 1], [1, 1, NAN, -1]], [1, 0, 1, 0]),
    "one reading each": readings([[1, NAN, NAN], [NAN, -1, NAN], [NAN, NAN, 1]], [1, 0, 1]),
    "patients": readings([[1, -1, 1, -1, 2, 3], [1, 1, -1, -1, -2, 1]], [1, 0, 1, 0, 1, 0],
                         unit=[0, 0, 1, 1, 2, 2]),
    "one patient": readings([[1, -1, 1, -1], [1, 1, -1, -1]], [1, 0, 1, 0], unit=[0] * 4),
    "one always says real": readings([[-1] * 8, [1, -1, 1, 2, 3, -1, -2, 1], [1, 1, -1, -1] * 2],
                                     [1, 0] * 4),
}  # fmt: skip
