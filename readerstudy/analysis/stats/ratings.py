"""The classic layout of multi-reader multi-case studies: reader, modality, case, truth, rating.

There is no verdict, only a rating that grows with belief in the positive class. Each modality (a
generator, an imaging technique) becomes one condition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from readerstudy.analysis.stats.conditions import Conditions
from readerstudy.analysis.stats.files import RATING_COLUMNS, Source
from readerstudy.analysis.stats.readings import Readings
from readerstudy.analysis.stats.tidy import (
    JudgmentsError,
    clipped_id_hint,
    refuse_number_ids,
    rows_text,
)
from readerstudy.analysis.stats.types import BoolArray

#: Names of the classes where the file says 1 and 0.
NUMBERED = {"1": "positive", "0": "negative"}


@dataclass(frozen=True, eq=False)
class Ratings:
    """A checked table of ratings.

    Attributes:
        table: reader, modality, case, truth as text, rating as float64.
        positive, negative: names of the classes in the results.
    """

    table: pd.DataFrame
    positive: str
    negative: str


def check_ratings(source: Source, positive: str | None = None) -> Ratings:
    """Check every rule of the layout.

    Args:
        positive: the value of ``truth`` that ratings grow towards; 1 where the file says 0 and 1.

    Raises:
        JudgmentsError: the first broken rule, with its rows.
    """
    rows = _Rows(source)
    table = source.table
    clean = pd.DataFrame(
        {
            column: rows.text(column)
            for column in RATING_COLUMNS[:4]
            if column in table or column != "modality"
        }
    )
    if "modality" not in clean:
        clean.insert(1, "modality", "1")
    clean["rating"] = rows.numbers("rating")
    keep = ~rows.skipped
    for column in ("reader", "modality", "case", "truth"):
        rows.refuse(keep & (clean[column] == "").to_numpy(), f"{column} is empty")
    key = clean[["reader", "modality", "case"]].where(pd.Series(keep), other=np.nan)
    twice = (keep & key.duplicated(keep=False)).to_numpy()
    if twice.any():
        first = clean[twice].iloc[0]
        same = twice & (key == key[twice].iloc[0]).all(axis=1).to_numpy()
        raise JudgmentsError(
            f"Reader {first['reader']} rates case {first['case']} in modality {first['modality']} "
            f"more than once {rows.where(same)}: keep one"
            f"{clipped_id_hint(first['reader'], first['case'])}."
        )
    _check_truth(clean[keep], rows, keep)
    names = _classes(clean.loc[keep, "truth"], positive)
    clean["is_positive"] = clean["truth"] == names[0]
    shown = (NUMBERED.get(names[0], names[0]), NUMBERED.get(names[1], names[1]))
    return Ratings(clean[keep].reset_index(drop=True), *shown)


def to_conditions(ratings: Ratings) -> Conditions:
    """One condition per modality, in the order of their names."""
    named = {
        str(name): _readings(part, ratings)
        for name, part in ratings.table.groupby("modality", sort=True)
    }
    return Conditions.of(named)


# --------------------------------------------------------------------------------------- details


class _Rows:
    """Columns of a source, with messages that count rows as the file does."""

    def __init__(self, source: Source) -> None:
        self.table, self.first_row = source.table, source.first_row
        columns = [str(c) for c in self.table.columns]
        for column in columns:
            if columns.count(column) > 1:
                raise JudgmentsError(f"Column {column} appears twice: keep one.")
            if column not in (*RATING_COLUMNS, "_skip"):
                raise JudgmentsError(
                    f"Unknown column {column!r}: the known ones are {', '.join(RATING_COLUMNS)}."
                )
        for column in RATING_COLUMNS:
            if column not in columns and column != "modality":
                raise JudgmentsError(f"Column {column} is missing: it is needed.")
        skip = self.table["_skip"] if "_skip" in columns else np.zeros(len(self.table), dtype=bool)
        self.skipped: BoolArray = np.asarray(skip, dtype=bool)
        if not (~self.skipped).any():
            raise JudgmentsError("The table has a header but no rows: there are no readings.")

    def text(self, column: str) -> pd.Series[Any]:
        if column != "truth":
            refuse_number_ids(self.table[column], column)
        values = self.table[column].reset_index(drop=True)
        return values.map(lambda v: "" if v is None or v != v else str(v).strip()).astype(str)

    def numbers(self, column: str) -> pd.Series[Any]:
        text = self.text(column) if self.table[column].dtype == object else self.table[column]
        number = pd.to_numeric(text.reset_index(drop=True), errors="coerce").astype(np.float64)
        self.refuse(~np.isfinite(number.to_numpy()) & ~self.skipped, f"{column} is not a number")
        return number

    def refuse(self, bad: Any, rule: str) -> None:
        mask = np.asarray(bad, dtype=bool)
        if mask.any():
            raise JudgmentsError(f"{rule} {self.where(mask)}.")

    def where(self, mask: BoolArray) -> str:
        return rows_text(mask, self.first_row)


def _check_truth(kept: pd.DataFrame, rows: _Rows, keep: BoolArray) -> None:
    changing = kept.groupby("case", sort=True)["truth"].nunique() > 1
    if not changing.any():
        return
    case = str(changing.index[changing.to_numpy()][0])
    own = kept[kept["case"] == case]
    first = own["truth"].iloc[0]
    differs = np.zeros(len(keep), dtype=bool)
    differs[own.index[own["truth"] != first]] = True
    raise JudgmentsError(
        f"truth changes within case {case}: row {own.index[0] + rows.first_row} has {first!r}, "
        f"another value stands {rows.where(differs)}."
    )


def _classes(truth: pd.Series[Any], positive: str | None) -> tuple[str, str]:
    """(positive, negative) as the file writes them."""
    found = sorted(truth.unique())
    if len(found) == 1:
        raise JudgmentsError(
            f"Every case has truth {found[0]!r}: both arms are needed to tell them apart."
        )
    if len(found) > 2:
        raise JudgmentsError(
            f"truth has the values {', '.join(map(repr, found[:_MANY]))}: there must be two."
        )
    if positive is None or (positive not in found and set(found) == {"0", "1"}):
        if set(found) != {"0", "1"}:
            raise JudgmentsError(
                f"truth is {found[0]!r} or {found[1]!r}: name the one that ratings grow towards "
                "with --positive."
            )
        positive = "1"
    if positive not in found:
        raise JudgmentsError(
            f"truth is {found[0]!r} or {found[1]!r}, never {positive!r}: name one of them with "
            "--positive."
        )
    return positive, found[0] if positive == found[1] else found[1]


_MANY = 5


def _readings(part: pd.DataFrame, ratings: Ratings) -> Readings:
    readers, row = np.unique(part["reader"].to_numpy(dtype=object), return_inverse=True)
    cases, column = np.unique(part["case"].to_numpy(dtype=object), return_inverse=True)
    score = np.full((len(readers), len(cases)), np.nan)
    score[row, column] = part["rating"].to_numpy()
    is_positive = np.zeros(len(cases), dtype=bool)
    is_positive[column] = part["is_positive"].to_numpy()
    return Readings(
        tuple(readers.tolist()), tuple(cases.tolist()), ratings.positive, ratings.negative,
        is_positive, np.arange(len(cases), dtype=np.int64), score, np.full_like(score, np.nan),
    )  # fmt: skip
