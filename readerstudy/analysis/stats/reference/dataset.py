"""The data beside one ``*.expected.json``, in whichever of the layouts it has."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

from readerstudy.analysis.stats.conditions import Conditions
from readerstudy.analysis.stats.plan import Plan
from readerstudy.analysis.stats.readings import Readings, ordered
from readerstudy.analysis.stats.tidy import (
    Judgments,
    case_facts,
    check,
    read_judgments,
    to_readings,
)

Unit = Literal["auto", "case", "patient"]
#: Key under which an adapter finds the names of the values it is asked for.
ASKED: Final = " asked"
#: Stands for a value that the data do not determine (a flat likelihood): any number is as good.
UNDETERMINED: Final = object()


class Dataset:
    """The data beside one ``*.expected.json``, in whichever of the two layouts it has."""

    def __init__(self, folder: Path, document: dict[str, Any]) -> None:
        self.folder = folder
        self.name = str(document["dataset"])
        self.file = document.get("data_file")
        schema = document.get("schema")
        self.schema: dict[str, Any] = schema if isinstance(schema, dict) else {}

    @cached_property
    def table(self) -> pd.DataFrame:
        return read_judgments(self.folder / str(self.file))

    @cached_property
    def judgments(self) -> Judgments:
        return check(self.table)

    @cached_property
    def is_vtt(self) -> bool:
        return isinstance(self.file, str) and "verdict" in self.table

    def readings(
        self, modality: str | None = None, cut: float | None = None, *, unit: Unit = "case"
    ) -> Readings:
        """Readings of the whole file, or of one modality of a classic multi-reader set.

        The reference programs know cases only, so patients are not looked at unless asked for.
        """
        if self.is_vtt:
            return to_readings(self.judgments, Plan(unit=unit))
        rows = self.table
        if modality is not None:
            rows = rows[rows["modality"] == modality]
        return classic(rows, cut)

    def subset(self, rule: str, cut: float | None = None) -> Readings:
        """Readings where a column has a value: ``modality==A``, ``organ==liver``; "" = all.

        The real cases of a trial belong to every generator.

        Raises:
            KeyError: no such column.
        """
        column, _, value = (part.strip() for part in rule.partition("=="))
        if not column:
            return self.readings(cut=cut)
        if not self.is_vtt:
            return classic(self.table[self.table[column] == value], cut)
        rows = self.judgments.table
        keep = rows[column] == value
        if column == "generator":
            keep |= rows["truth"] == self.judgments.negative
        return to_readings(replace(self.judgments, table=rows[keep]), Plan(unit="case"))

    @property
    def modalities(self) -> list[str]:
        return ordered(self.table["modality"].unique())

    def conditions(self, cut: float | None = None) -> Conditions:
        """The modalities of a classic set, or the generators of a trial's table."""
        if not self.is_vtt:
            return Conditions.of({name: self.readings(name, cut) for name in self.modalities})
        generators = case_facts(self.judgments)["generator"].tolist()
        return Conditions.by_generator(self.readings(), generators)


def label(name: str) -> int | str:
    """An id as R prints it back: a whole number where it is one."""
    return int(name) if name.lstrip("-").isdigit() else name


def classic(rows: pd.DataFrame, cut: float | None = None) -> Readings:
    """Readings from the columns reader, case, truth (1 = positive), rating.

    ``cut`` turns the rating into a verdict (positive when rating >= cut).
    """
    readers = ordered(rows["reader"])
    row = rows["reader"].map({name: j for j, name in enumerate(readers)}).to_numpy()
    cases, column = np.unique(rows["case"].to_numpy(dtype=object), return_inverse=True)
    rating = rows["rating"].astype(float).to_numpy()
    score = np.full((len(readers), len(cases)), np.nan)
    score[row, column] = rating if cut is None else rating >= cut
    call = np.full_like(score, np.nan)
    call[row, column] = rating >= cut if cut is not None else rating > 0
    positive = np.zeros(len(cases), dtype=bool)
    positive[column] = (rows["truth"].astype(int) == 1).to_numpy()
    return Readings(
        tuple(readers),
        tuple(cases.tolist()),
        "1",
        "0",
        positive,
        np.arange(len(cases), dtype=np.int64),
        score,
        call,
    )
