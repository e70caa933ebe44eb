"""The data beside one ``*.expected.json``, in whichever of the layouts it has."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from readerstudy.analysis.stats.plan import Plan
from readerstudy.analysis.stats.readings import Readings
from readerstudy.analysis.stats.tidy import Judgments, check, read_judgments, to_readings


class Dataset:
    """The data beside one ``*.expected.json``, in whichever of the two layouts it has."""

    def __init__(self, folder: Path, document: dict[str, Any]) -> None:
        self.folder = folder
        self.name = str(document["dataset"])
        self.file = document.get("data_file")

    @cached_property
    def table(self) -> pd.DataFrame:
        return read_judgments(self.folder / str(self.file))

    @cached_property
    def judgments(self) -> Judgments:
        return check(self.table)

    @cached_property
    def is_vtt(self) -> bool:
        return isinstance(self.file, str) and "verdict" in self.table

    def readings(self, modality: str | None = None, cut: float | None = None) -> Readings:
        """Readings of the whole file, or of one modality of a classic multi-reader set."""
        if self.is_vtt:
            return to_readings(self.judgments, Plan())
        rows = self.table
        if modality is not None:
            rows = rows[rows["modality"] == modality]
        return classic(rows, cut)

    @property
    def modalities(self) -> list[str]:
        return sorted(self.table["modality"].unique())


def classic(rows: pd.DataFrame, cut: float | None = None) -> Readings:
    """Readings from the columns reader, case, truth (1 = positive), rating.

    ``cut`` turns the rating into a verdict (positive when rating >= cut).
    """
    readers, row = np.unique(rows["reader"].to_numpy(dtype=object), return_inverse=True)
    cases, column = np.unique(rows["case"].to_numpy(dtype=object), return_inverse=True)
    rating = rows["rating"].astype(float).to_numpy()
    score = np.full((len(readers), len(cases)), np.nan)
    score[row, column] = rating if cut is None else rating >= cut
    call = np.full_like(score, np.nan)
    call[row, column] = rating >= cut if cut is not None else rating > 0
    positive = np.zeros(len(cases), dtype=bool)
    positive[column] = (rows["truth"].astype(int) == 1).to_numpy()
    return Readings(
        tuple(readers.tolist()),
        tuple(cases.tolist()),
        "1",
        "0",
        positive,
        np.arange(len(cases), dtype=np.int64),
        score,
        call,
    )
