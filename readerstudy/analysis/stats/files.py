"""Tables of readings from files: CSV, Parquet and iMRMC input, with every id kept as text.

A broken rule is one sentence with the rows; rows are counted as in the file, the first being
row 1 (in Parquet: the header counts as row 1, as a spreadsheet would show it).
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from readerstudy.analysis.stats.names import Schema
from readerstudy.analysis.stats.tidy import JudgmentsError, unguard

#: Columns of the classic multi-reader multi-case sets; a file with one modality may leave it out.
RATING_COLUMNS = ("reader", "modality", "case", "truth", "rating")
IMRMC_COLUMNS = ("readerID", "caseID", "modalityID", "score")
#: How the rows that hold the truth are marked: by the program, and by its R package.
_TRUTH_READERS = ("-1", "truth")
_BEGIN = "BEGIN DATA:"
_SHOWN = 5


@dataclass(frozen=True, eq=False)
class Source:
    """A table as it stood in a file.

    Attributes:
        table: cells as text (numbers where a Parquet column holds numbers).
        schema: "vtt" (one row per judgment) or "mrmc" (reader, modality, case, truth, rating).
            An iMRMC file is turned into "mrmc".
        layout: the layout the file came in.
        first_row: number in the file of the first data row.
    """

    table: pd.DataFrame
    schema: Literal["vtt", "mrmc"]
    layout: Schema
    first_row: int = 2


def read_source(path: Path, schema: Schema | None = None, data: bytes | None = None) -> Source:
    """Read a file; its layout is told by its header where ``schema`` does not name one.

    Args:
        data: the bytes of the file where they were read before.

    Raises:
        JudgmentsError: not a table, or not in the layout asked for.
        OSError: the file cannot be read.
    """
    if path.suffix.lower() in (".parquet", ".pq"):
        table = _parquet(path)
        return _by_columns(table, path.name, schema)
    text = decode(path.read_bytes() if data is None else data, path.name)
    if any(line.strip().upper() == _BEGIN for line in text.splitlines()[:1000]):
        if schema not in (None, "imrmc"):
            raise JudgmentsError(
                f"{path.name} is an iMRMC input file ({_BEGIN!r} stands in it): use --schema imrmc."
            )
        return _imrmc_file(text, path.name)
    if schema == "imrmc" and not _is_imrmc_table(_header(text)):
        raise JudgmentsError(
            f"{path.name} has neither a line {_BEGIN!r} nor the columns "
            f"{', '.join(IMRMC_COLUMNS)}: it is not an iMRMC input file."
        )
    return _by_columns(parse(text, path.name), path.name, schema)


def decode(data: bytes, name: str) -> str:
    """Text of a UTF-8 file, with or without a byte-order mark."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise JudgmentsError(
            f"{name} is not a CSV table in UTF-8 but in UTF-16 or binary: save it as “CSV UTF-8”."
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        raise JudgmentsError(
            f"{name} is not a CSV table in UTF-8: row {row} holds the byte "
            f"0x{data[error.start]:02x}; save it as “CSV UTF-8”."
        ) from None


def parse(text: str, name: str) -> pd.DataFrame:
    """The cells of a CSV text, all of them text.

    Raises:
        JudgmentsError: empty, separated by something else than commas, or ragged rows.
    """
    if not text.strip():
        raise JudgmentsError(f"{name} is empty: it needs a header and one row per reading.")
    if "\0" in text:
        raise JudgmentsError(f"{name} is not a CSV table in UTF-8: it holds binary data.")
    header = [cell.strip() for cell in _header(text)]
    if len(header) == 1:
        for sign, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if sign in header[0]:
                raise JudgmentsError(
                    f"{name} is separated by {word}: save it with commas (and decimal points)."
                )
    rows = _rows(text, name, len(header))
    columns = {
        i: pd.Series([unguard(row[i]) for row in rows], dtype=str) for i in range(len(header))
    }
    table = pd.DataFrame(columns)
    table.columns = pd.Index(header)
    return table


def _header(text: str) -> list[str]:
    return next(csv.reader(io.StringIO(text)), [])


def _rows(text: str, name: str, width: int) -> list[list[str]]:
    """Data rows of the same width; empty lines are allowed at the end only."""
    reader = csv.reader(io.StringIO(text), strict=True)
    rows: list[list[str]] = []
    blank = 0
    try:
        next(reader)
        for number, row in enumerate(reader, start=2):
            if not any(cell.strip() for cell in row):
                blank = blank or number
                continue
            if blank:
                raise JudgmentsError(f"{name} has an empty line in row {blank}: take it out.")
            if len(row) != width:
                raise JudgmentsError(
                    f"{name} has {len(row)} cells in row {number} but {width} columns in the "
                    "header: give each row one cell per column."
                )
            rows.append(row)
    except csv.Error as error:
        raise JudgmentsError(
            f"{name} is not a CSV table in UTF-8: {error} in row {len(rows) + 2}."
        ) from None
    return rows


def _parquet(path: Path) -> pd.DataFrame:
    # pandas' own reader needs pyarrow, 170 MB installed; this one takes 13.
    import fastparquet

    with path.open("rb") as file:
        if file.read(4) != b"PAR1":
            raise JudgmentsError(f"{path.name} is not a Parquet file.")
    try:
        table: pd.DataFrame = fastparquet.ParquetFile(str(path)).to_pandas()
    except (ValueError, TypeError, RuntimeError, KeyError, OSError, AttributeError) as error:
        detail = str(error).strip().splitlines()[0] if str(error).strip() else "damaged"
        raise JudgmentsError(f"{path.name} is not a readable Parquet file: {detail}.") from None
    if len(table.columns) == 0:
        raise JudgmentsError(f"{path.name} is empty: it needs one row per reading.")
    return table.reset_index(drop=True)


# --------------------------------------------------------------------------------------- layouts


def _by_columns(table: pd.DataFrame, name: str, schema: Schema | None) -> Source:
    columns = [str(column) for column in table.columns]
    if schema == "imrmc" or (schema is None and _is_imrmc_table(columns)):
        cells = table.rename(columns=dict(zip(columns, columns, strict=True)))
        if _is_imrmc_table(columns):
            return _from_imrmc(cells, name, first_row=2)
        raise JudgmentsError(
            f"{name} lacks the columns {', '.join(IMRMC_COLUMNS)} of an iMRMC table."
        )
    if schema == "mrmc" or (schema is None and "rating" in columns and "reader_id" not in columns):
        return Source(table, "mrmc", "mrmc")
    return Source(table, "vtt", "vtt")


def _is_imrmc_table(columns: list[str]) -> bool:
    return set(IMRMC_COLUMNS) <= {column.strip() for column in columns}


def _imrmc_file(text: str, name: str) -> Source:
    """Lines ``reader,case,modality,score`` after the line BEGIN DATA:, truth by reader -1."""
    lines = text.splitlines()
    begin = next(i for i, line in enumerate(lines) if line.strip().upper() == _BEGIN)
    first = next((i for i in range(begin + 1, len(lines)) if lines[i].strip()), len(lines))
    body = "\n".join(lines[first:])
    if not body.strip():
        raise JudgmentsError(f"{name} has no rows after {_BEGIN!r}: there are no readings.")
    rows = []
    for number, line in enumerate(lines[first:], start=first + 1):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != len(IMRMC_COLUMNS):
            raise JudgmentsError(
                f"{name} has {len(cells)} cells in row {number}: an iMRMC row is "
                "reader,case,modality,score."
            )
        rows.append(cells)
    return _from_imrmc(pd.DataFrame(rows, columns=list(IMRMC_COLUMNS)), name, first_row=first + 1)


def _from_imrmc(table: pd.DataFrame, name: str, *, first_row: int) -> Source:
    """Move the truth from rows of its own beside each rating; row numbers stay those of the file.

    Raises:
        JudgmentsError: a case without truth, or with two.
    """
    reader = table["readerID"].astype(str).str.strip()
    is_truth = reader.str.lower().isin(_TRUTH_READERS).to_numpy()
    truth: dict[str, str] = {}
    for row in np.flatnonzero(is_truth):
        case, value = str(table["caseID"].iloc[row]).strip(), _plain(table["score"].iloc[row])
        if case in truth:
            raise JudgmentsError(
                f"The truth of case {case} is given again in row {row + first_row}: give it once."
            )
        truth[case] = value
    if not truth:
        raise JudgmentsError(
            f"{name} has no truth: iMRMC gives it in rows whose reader is -1 (or truth)."
        )
    cases = table["caseID"].astype(str).str.strip()
    unknown = np.flatnonzero(~is_truth & ~cases.isin(list(truth)).to_numpy())
    if len(unknown):
        case = cases.iloc[unknown[0]]
        its = [row + first_row for row in unknown if cases.iloc[row] == case][:_SHOWN]
        rows = f"row{'s' if len(its) > 1 else ''} {', '.join(map(str, its))}"
        raise JudgmentsError(f"Case {case} has no truth ({rows}): add a row with reader -1.")
    out = pd.DataFrame(
        {
            "reader": reader,
            "modality": table["modalityID"].astype(str).str.strip(),
            "case": cases,
            "truth": cases.map(truth),
            "rating": table["score"].map(_plain),
        }
    )
    # Row numbers in messages follow the position, so the truth rows stay until after the check.
    return Source(out.assign(_skip=is_truth), "mrmc", "imrmc", first_row)


def _plain(value: Any) -> str:
    """``1`` for a number that a Parquet column or a program wrote as ``1.0``."""
    text = str(value).strip()
    return text.removesuffix(".0")
