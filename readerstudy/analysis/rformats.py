"""The ratings in the layouts of other programs, so that any statistician can run them again.

``for-r/imrmc.imrmc`` is an input file of iMRMC (Java, or ``iMRMC::doIMRMC`` in R); its truth stands
in rows of reader -1. ``for-r/ratings.csv`` holds one row per first reading with numeric truth (1 =
positive), as ``MRMCaov::mrmc`` and ``pROC::roc`` take it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import csvtext

if TYPE_CHECKING:
    from .stats.conditions import Conditions

COLUMNS = ("reader", "modality", "case", "truth", "rating")


def exports(conditions: Conditions, title: str) -> dict[str, bytes]:
    """Path and bytes of both files."""
    return {
        "for-r/imrmc.imrmc": imrmc_file(conditions, title),
        "for-r/ratings.csv": ratings_csv(conditions),
    }


def ratings_csv(conditions: Conditions) -> bytes:
    """reader, modality, case, truth (1 = positive), rating; gaps are left out."""
    rows = [
        (reader, name, case, int(own.is_positive[k]), _number(own.score[j, k]))
        for name, own in zip(conditions.names, conditions.each, strict=True)
        for j, reader in enumerate(own.readers)
        for k, case in enumerate(own.cases)
        if own.read[j, k]
    ]
    return csvtext.table(COLUMNS, rows)


def imrmc_file(conditions: Conditions, title: str) -> bytes:
    """The text file that iMRMC reads; commas in ids, which it cannot hold, become points."""
    first = conditions.each[0]
    lines = [
        " ".join(title.split()),
        f"N0: {first.n_negative}",
        f"N1: {first.n_positive}",
        f"NR: {conditions.n_readers}",
        f"NM: {conditions.n_conditions}",
        "",
        "BEGIN DATA:",
    ]
    lines += [
        f"-1,{_id(case)},0,{int(positive)}"
        for case, positive in zip(first.cases, first.is_positive, strict=True)
    ]
    for name, own in zip(conditions.names, conditions.each, strict=True):
        lines += [
            f"{_id(reader)},{_id(case)},{_id(name)},{_number(own.score[j, k])}"
            for j, reader in enumerate(own.readers)
            for k, case in enumerate(own.cases)
            if own.read[j, k]
        ]
    return ("\n".join(lines) + "\n").encode()


def _id(name: str) -> str:
    return name.replace(",", ".")


def _number(value: float) -> int | float:
    """A whole number without its point."""
    number = float(value)
    return int(number) if number.is_integer() else number
