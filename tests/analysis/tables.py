"""Small tables of readings for tests of the statistics."""

from __future__ import annotations

import numpy as np
import pandas as pd

from readerstudy.analysis.stats.readings import Readings


def make(score: list[list[float]], positive: list[int], unit: list[int] | None = None) -> Readings:
    """Readings from signed scores; NaN = not read."""
    s = np.array(score, dtype=float)
    call = np.where(np.isnan(s), np.nan, (s > 0).astype(float))
    n = s.shape[1]
    return Readings(
        tuple(f"R{j + 1:02d}" for j in range(len(s))),
        tuple(f"C{k + 1:03d}" for k in range(n)),
        "synthetic",
        "real",
        np.array(positive, dtype=bool),
        np.array(unit or range(n), dtype=np.int64),
        s,
        call,
        "patient" if unit else "case",
    )


def random_readings(seed: int = 7, readers: int = 6, cases: int = 40, missing: float = 0.0):
    rng = np.random.default_rng(seed)
    truth = np.arange(cases) % 2 == 0
    latent = rng.normal(size=(readers, cases)) + 0.9 * truth + rng.normal(size=cases) * 0.5
    score = np.clip(np.round(latent * 2 - 1), -3, 3)
    score[score == 0] = 1
    score[rng.random(score.shape) < missing] = np.nan
    return make(score.tolist(), truth.tolist())


def table(readings: Readings) -> pd.DataFrame:
    rows = [
        {
            "reader_id": r,
            "case_id": c,
            "organ": "liver" if k % 3 else "lung",
            "size_mm": 10.0 + k,
            "truth": "synthetic" if readings.is_positive[k] else "real",
            "generator": "textural" if readings.is_positive[k] else "none",
            "repeat": 1,
            "order_index": k + 1,
            "verdict": "synthetic" if readings.call[j, k] else "real",
            "confidence": abs(readings.score[j, k]),
        }
        for j, r in enumerate(readings.readers)
        for k, c in enumerate(readings.cases)
        if not np.isnan(readings.score[j, k])
    ]
    return pd.DataFrame(rows)
