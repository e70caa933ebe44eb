"""The judgments table: one row per reading, checked before a single number is computed.

Columns are those of a trial's ``judgments.csv``. Ids are text (``1.10`` is not ``1.1``). A broken
rule is reported as one sentence that names the rows; rows are counted as in the file, the header
being row 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from readerstudy.analysis.stats.plan import Plan
from readerstudy.analysis.stats.readings import Readings
from readerstudy.analysis.stats.types import BoolArray, deceiving

#: Columns of an unblinded ``judgments.csv``, in this order.
COLUMNS = (
    "reader_id",
    "experience_years",
    "case_id",
    "organ",
    "size_mm",
    "truth",
    "generator",
    "repeat",
    "order_index",
    "verdict",
    "confidence",
    "score",
    "p_synthetic_pct",
    "response_time_s",
)
#: Columns that tell, or could tell, the arm; absent from a blinded export.
TRUTH_COLUMNS = ("size_mm", "truth", "generator")
#: Facts about a case that ``cases.csv`` adds.
CASE_COLUMNS = ("patient_id", "size_band")
REQUIRED = ("reader_id", "case_id", "truth", "verdict")
_IDS = ("reader_id", "case_id", "patient_id")
_CASE_FACTS = ("truth", "organ", "size_mm", "size_band", "generator", "patient_id")
_NUMBERS = (
    "experience_years",
    "size_mm",
    "confidence",
    "score",
    "p_synthetic_pct",
    "response_time_s",
)
_COUNTS = ("repeat", "order_index")
_MISSING = frozenset({"", "NA", "NaN", "nan", "null", "None"})
_SHOWN_ROWS = 5
#: An id that may have lost a zero at its end.
_DECIMAL = re.compile(r"\d+\.\d*[1-9]")
#: A spreadsheet takes a text cell that starts with one of these for a formula.
FORMULA_STARTS = "=+-@\t\r"


class JudgmentsError(ValueError):
    """The table breaks a rule; the message is one sentence with row numbers."""


@dataclass(frozen=True, eq=False)
class Judgments:
    """A checked table.

    Attributes:
        table: all rows; text columns as ``str`` ("" = unknown), numbers as float64 (NaN =
            unknown), ``repeat`` as int64, ``score`` always filled.
        notes: sentences about rows that are kept but not used.
    """

    table: pd.DataFrame
    positive: str
    negative: str
    notes: tuple[str, ...] = ()

    @property
    def first(self) -> pd.DataFrame:
        """The analysis set: the first reading of each reader and case."""
        return self.table[self.table["repeat"] == 1]

    @property
    def repeats(self) -> pd.DataFrame:
        return self.table[self.table["repeat"] > 1]


def read_judgments(source: str | Path | IO[bytes], name: str = "") -> pd.DataFrame:
    """Read a CSV with every cell as text, so that no id is turned into a number.

    Args:
        source: a path, or an open file whose ``name`` is used in messages.

    Raises:
        JudgmentsError: not readable as CSV, or empty.
    """
    from readerstudy.analysis.stats.files import decode, parse

    name = name or (Path(source).name if isinstance(source, (str, Path)) else "The table")
    data = Path(source).read_bytes() if isinstance(source, (str, Path)) else source.read()
    return parse(decode(data, name), name)


def unguard(cell: str) -> str:
    """Take off the apostrophe that keeps a spreadsheet from running a cell as a formula."""
    return cell[1:] if len(cell) > 1 and cell[0] == "'" and cell[1] in FORMULA_STARTS else cell


def check(table: pd.DataFrame, plan: Plan | None = None) -> Judgments:
    """Check every rule and return the table with typed columns.

    Raises:
        JudgmentsError: the first broken rule, with its rows.
    """
    plan = plan or Plan()
    _check_columns(table)
    clean = pd.DataFrame(index=pd.RangeIndex(len(table)))
    for column in (*COLUMNS, *CASE_COLUMNS):
        if column in table:
            clean[column] = _typed(table[column].reset_index(drop=True), column)
    if "repeat" not in clean:
        clean["repeat"] = np.int64(1)
    _check_values(clean, plan)
    _fill_scores(clean, plan)
    _check_unique(clean)
    for fact in _CASE_FACTS:
        if fact in clean:
            _check_constant(clean, "case_id", fact, "case")
    if "experience_years" in clean:
        _check_constant(clean, "reader_id", "experience_years", "reader")
    _check_arms(clean, plan)
    # One order whatever the file's: sums then round alike and results are equal to the last digit.
    clean = clean.sort_values(["reader_id", "case_id", "repeat"], ignore_index=True)
    return Judgments(clean, plan.positive, plan.negative, _notes(clean))


def to_readings(judgments: Judgments, plan: Plan | None = None) -> Readings:
    """Arrange the first readings as readers x cases, both sorted by id."""
    plan = plan or Plan(judgments.positive, judgments.negative)
    first = judgments.first
    readers, row = np.unique(first["reader_id"].to_numpy(dtype=object), return_inverse=True)
    cases, column = np.unique(first["case_id"].to_numpy(dtype=object), return_inverse=True)
    score = np.full((len(readers), len(cases)), np.nan)
    call = np.full_like(score, np.nan)
    score[row, column] = first["score"].to_numpy()
    call[row, column] = (first["verdict"] == judgments.positive).to_numpy(dtype=float)
    is_positive = np.zeros(len(cases), dtype=bool)
    is_positive[column] = (first["truth"] == judgments.positive).to_numpy()
    unit, unit_name = _units(first, cases, column, plan)
    return Readings(
        tuple(readers.tolist()),
        tuple(cases.tolist()),
        judgments.positive,
        judgments.negative,
        is_positive,
        unit,
        score,
        call,
        unit_name,
    )


def case_facts(judgments: Judgments, plan: Plan | None = None) -> pd.DataFrame:
    """One row per case of the analysis set: organ, size, band, generator, truth; sorted by id."""
    plan = plan or Plan(judgments.positive, judgments.negative)
    facts = judgments.first.drop_duplicates("case_id").sort_values("case_id")
    out = facts[["case_id", "truth"]].reset_index(drop=True)
    for column in ("organ", "generator"):
        out[column] = facts[column].to_numpy() if column in facts else ""
    out["size_mm"] = facts["size_mm"].to_numpy() if "size_mm" in facts else np.nan
    given = facts["size_band"].to_numpy() if "size_band" in facts else [""] * len(out)
    out["size_band"] = [
        band or _band(size, plan) for band, size in zip(given, out["size_mm"], strict=True)
    ]
    return out


# --------------------------------------------------------------------------------------- checks


def _check_columns(table: pd.DataFrame) -> None:
    known = set(COLUMNS) | set(CASE_COLUMNS)
    columns = [str(c) for c in table.columns]
    twice = sorted({c for c in columns if columns.count(c) > 1})
    if twice:
        raise JudgmentsError(f"Column {twice[0]} appears twice: keep one.")
    unknown = [c for c in columns if c not in known]
    if unknown:
        raise JudgmentsError(
            f"Unknown column {unknown[0]!r}: the known ones are {', '.join(COLUMNS)}."
        )
    missing = [c for c in REQUIRED if c not in columns]
    if missing:
        raise JudgmentsError(f"Column {missing[0]} is missing: it is needed for every analysis.")
    if "confidence" not in columns and "score" not in columns:
        raise JudgmentsError("Give confidence or score: without either there is no ROC curve.")
    if len(table) == 0:
        raise JudgmentsError("The table has a header but no rows: there are no readings.")


def _typed(column: pd.Series[Any], name: str) -> pd.Series[Any]:
    if name in _IDS:
        refuse_number_ids(column, name)
    text = column.map(lambda v: "" if v is None or v is pd.NA or v != v else str(v).strip())
    if name not in _NUMBERS and name not in _COUNTS:
        return text.astype(str)
    text = text.where(~text.isin(_MISSING), "")
    number = pd.to_numeric(text.where(text != "", None), errors="coerce").astype(np.float64)
    bad = ((text != "") & ~np.isfinite(number)).to_numpy()
    if bad.any():
        raise JudgmentsError(f"{name} is not a number {rows_text(bad)}.")
    if name == "repeat":
        number = number.fillna(1.0)
    if name in _COUNTS:
        bad = (number.notna() & ((number % 1 != 0) | (number < 1))).to_numpy()
        if bad.any():
            raise JudgmentsError(f"{name} must be a whole number from 1 up {rows_text(bad)}.")
    return number.astype(np.int64) if name == "repeat" else number


def refuse_number_ids(column: pd.Series[Any], name: str) -> None:
    """Ids that some program took for decimal numbers may have lost their last digits."""
    if pd.api.types.is_float_dtype(column):
        rows = rows_text((column % 1 != 0).to_numpy())
        where = f" ({rows})" if rows else ""
        raise JudgmentsError(
            f"Column {name} was read as numbers, so 1.10 and 1.1 would be one id{where}: read it "
            "as text."
        )


def _check_values(clean: pd.DataFrame, plan: Plan) -> None:
    for column in ("reader_id", "case_id"):
        _require(clean[column] != "", f"{column} is empty")
    classes = (plan.positive, plan.negative)
    for column in ("truth", "verdict"):
        _require(
            clean[column].isin(classes), f"{column} is neither {classes[0]!r} nor {classes[1]!r}"
        )
    if "confidence" in clean:
        known = clean["confidence"].notna()
        _require(~known | (clean["confidence"] > 0), "confidence must be above zero")
    if "p_synthetic_pct" in clean:
        percent = clean["p_synthetic_pct"]
        _require(percent.isna() | percent.between(0, 100), "p_synthetic_pct is outside 0 to 100")
    for column in ("size_mm", "response_time_s", "experience_years"):
        if column in clean:
            _require(clean[column].isna() | (clean[column] >= 0), f"{column} is negative")


def _fill_scores(clean: pd.DataFrame, plan: Plan) -> None:
    """In a file the score grows with belief in ``synthetic``; here with the positive class."""
    toward = deceiving(plan.positive, plan.negative)
    sign = np.where(clean["verdict"] == toward, 1.0, -1.0)
    if "score" not in clean:
        clean["score"] = sign * clean["confidence"]
    elif "confidence" in clean:
        signed = sign * clean["confidence"]
        clean["score"] = clean["score"].fillna(signed)
        _require(
            clean["confidence"].isna() | (clean["score"] == signed),
            "score is not the confidence with the sign of the verdict",
        )
    _require(clean["score"].notna(), "neither score nor confidence is given")
    _require(clean["score"] * sign > 0, "score has not the sign of the verdict")
    if toward != plan.positive:
        clean["score"] = -clean["score"]


def _check_unique(clean: pd.DataFrame) -> None:
    twice = clean.duplicated(["reader_id", "case_id", "repeat"], keep=False).to_numpy()
    if twice.any():
        row = clean[twice].iloc[0]
        same = twice & (clean["reader_id"] == row["reader_id"]).to_numpy()
        same &= (clean["case_id"] == row["case_id"]).to_numpy()
        raise JudgmentsError(
            f"Reader {row['reader_id']} has the same reading of case {row['case_id']} more than "
            f"once {rows_text(same)}: number later readings in the repeat column"
            f"{clipped_id_hint(row['reader_id'], row['case_id'])}."
        )


def clipped_id_hint(*ids: str) -> str:
    """What may have happened to an id that looks like a decimal number."""
    if not any(_DECIMAL.fullmatch(value) for value in ids):
        return ""
    return " (if a spreadsheet made 1.1 of 1.10, export the id column as text)"


def _check_constant(clean: pd.DataFrame, key: str, fact: str, what: str) -> None:
    changing = (clean.groupby(key, sort=True)[fact].nunique(dropna=False) > 1).to_numpy()
    if not changing.any():
        return
    name = sorted(clean[key].unique())[int(np.flatnonzero(changing)[0])]
    rows = clean[clean[key] == name]
    first = rows[fact].iloc[0]
    here = (clean[key] == name).to_numpy()
    differs = here & ~(clean[fact].isna() if first != first else clean[fact] == first).to_numpy()
    at = int(np.flatnonzero(here)[0]) + 2
    raise JudgmentsError(
        f"{fact} changes within {what} {name}: row {at} has {_show(first)}, another value stands "
        f"{rows_text(differs)}."
    )


def _check_arms(clean: pd.DataFrame, plan: Plan) -> None:
    first = clean[clean["repeat"] == 1]
    if first.empty:
        raise JudgmentsError("No row has repeat 1: the analysis uses first readings only.")
    for arm in (plan.positive, plan.negative):
        if not (first["truth"] == arm).any():
            raise JudgmentsError(
                f"No first reading has truth {arm!r}: both arms are needed to tell them apart."
            )


def _notes(clean: pd.DataFrame) -> tuple[str, ...]:
    pairs = clean.groupby(["reader_id", "case_id"])["repeat"].min()
    orphans = int((pairs > 1).sum())
    if not orphans:
        return ()
    return (f"{orphans} repeat readings have no first reading and are not used.",)


def _require(ok: pd.Series[bool], rule: str) -> None:
    bad = ~ok.to_numpy(dtype=bool)
    if bad.any():
        raise JudgmentsError(f"{rule} {rows_text(bad)}.")


def rows_text(mask: BoolArray | Iterable[bool], first_row: int = 2) -> str:
    """``in rows 3, 9 and 12``; empty where no row is marked."""
    numbers = [int(i) + first_row for i in np.flatnonzero(np.asarray(mask))]
    if not numbers:
        return ""
    shown = ", ".join(map(str, numbers[:_SHOWN_ROWS]))
    more = len(numbers) - _SHOWN_ROWS
    word = "row" if len(numbers) == 1 else "rows"
    return f"in {word} {shown}" + (f" and {more} more" if more > 0 else "")


def _show(value: object) -> str:
    return "nothing" if value == "" or value != value else repr(value)


def _band(size_mm: float, plan: Plan) -> str:
    if size_mm != size_mm:
        return ""
    return next((band.label for band in plan.size_bands if band.holds(size_mm)), "")


def _units(first: pd.DataFrame, cases: Any, column: Any, plan: Plan) -> tuple[Any, str]:
    """Codes of the unit the jackknife leaves out, and its name."""
    own = np.arange(len(cases), dtype=np.int64)
    if plan.unit == "case":
        return own, "case"
    if "patient_id" not in first or (first["patient_id"] == "").any():
        if plan.unit == "patient":
            raise JudgmentsError(
                "The plan takes the patient as the unit, but patient_id is missing or incomplete."
            )
        return own, "case"
    patients = np.empty(len(cases), dtype=object)
    patients[column] = first["patient_id"].to_numpy(dtype=object)
    names, unit = np.unique(patients, return_inverse=True)
    if plan.unit == "auto" and len(names) == len(cases):
        return own, "case"
    return unit.astype(np.int64), "patient"
