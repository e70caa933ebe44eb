"""Machines beside the readers: their own row, and the difference from the readers' mean.

A table of machine ratings comes beside the judgments and never into them, so that nothing said
about the readers can change by a digit because a machine read too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from readerstudy.analysis.stats.inference import holm
from readerstudy.analysis.stats.machine import ModelVsReaders, model_vs_readers
from readerstudy.analysis.stats.perreader import ReaderRow, per_reader
from readerstudy.analysis.stats.readings import Readings, ordered
from readerstudy.analysis.stats.roc import Auc, delong
from readerstudy.analysis.stats.tidy import JudgmentsError, rows_text
from readerstudy.analysis.stats.types import FloatArray, deceiving

#: What is compared with the readers; the plan's primary endpoint is tested with Holm's adjustment.
COMPARED = ("auc", "balanced_accuracy", "accuracy", "sensitivity", "specificity")
#: Names of the columns, the first one ours; the rest of a table of ours is for people.
_NAMES = {"reader_id": ("reader_id", "reader", "machine"), "case_id": ("case_id", "case")}
_NUMBERS = ("score", "raw_score")
_FOR_PEOPLE = frozenset({"title", "rating", "verdict", "confidence"})


@dataclass(frozen=True)
class MachineResult:
    """One machine on the cases of the readers.

    Attributes:
        row: its counts, rates, AUC and curve, as for a reader.
        raw_auc: AUC of the unrounded score, where the table gives one: finer than the six steps
            of a reader, so not compared with readers.
        versus: machine minus readers' mean, one entry per compared endpoint.
        p_holm: p of the primary endpoint, adjusted over the machines.
    """

    name: str
    n_cases: int
    row: ReaderRow
    raw_auc: Auc | None
    versus: tuple[ModelVsReaders, ...]
    p_holm: float | None


def compare(
    readings: Readings,
    table: pd.DataFrame,
    *,
    primary: str = "auc",
    threshold: float = 0.0,
    name: str = "The table of machines",
) -> tuple[MachineResult, ...]:
    """Every machine of the table, by name.

    Args:
        table: text or numbers in the columns ``reader_id``, ``case_id``, ``score`` (growing with
            belief in ``synthetic``, or in the positive class where no class is called so) and,
            where there is one, ``raw_score``.
        threshold: a score above it is the verdict towards which scores grow.
        name: of the table, for messages.

    Raises:
        JudgmentsError: the table breaks a rule; one sentence.
    """
    given = _checked(table, readings, name)
    sign = 1.0 if deceiving(readings.positive, readings.negative) == readings.positive else -1.0
    found = []
    for machine in ordered(given["reader_id"].tolist()):
        own = given[given["reader_id"] == machine].set_index("case_id")
        score = _aligned(own["score"], readings)
        raw = _aligned(own["raw_score"], readings) if "raw_score" in own else None
        found.append(_one(readings, machine, sign * (score - threshold),
                          None if raw is None else sign * raw))  # fmt: skip
    tested = [next((v for v in one.versus if v.metric == primary), None) for one in found]
    adjusted = holm([None if v is None else v.difference.p for v in tested])
    return tuple(replace(one, p_holm=p) for one, p in zip(found, adjusted, strict=True))


def _one(
    readings: Readings, machine: str, score: FloatArray, raw: FloatArray | None
) -> MachineResult:
    seen = ~np.isnan(score)
    alone = replace(
        readings.of_cases(seen),
        readers=(machine,),
        score=score[None, seen],
        call=(score[None, seen] > 0).astype(np.float64),
    )
    raw_auc = None
    if raw is not None and np.isfinite(raw[seen]).all():
        truth = readings.is_positive
        raw_auc = delong(raw[seen & truth], raw[seen & ~truth], positive=readings.positive)
    versus = tuple(model_vs_readers(readings, score, key, name=machine) for key in COMPARED)
    return MachineResult(
        machine, int(seen.sum()), per_reader(alone)[0], raw_auc, versus, None
    )  # fmt: skip


def _aligned(column: pd.Series[float], readings: Readings) -> FloatArray:
    """Values in the order of the cases; NaN where the machine gave none."""
    out: FloatArray = column.reindex(list(readings.cases)).to_numpy(np.float64)
    return out


def _checked(table: pd.DataFrame, readings: Readings, name: str) -> pd.DataFrame:
    columns = [str(column) for column in table.columns]
    clean = pd.DataFrame(index=pd.RangeIndex(len(table)))
    known = {*_NUMBERS, *_FOR_PEOPLE}
    for key, aliases in _NAMES.items():
        known |= set(aliases)
        column = next((alias for alias in aliases if alias in columns), None)
        if column is None:
            raise JudgmentsError(
                f"{name} has no column {key}: it needs reader_id, case_id and score."
            )
        clean[key] = table[column].map(lambda v: str(v).strip()).to_numpy()
        _refuse((clean[key] == "").to_numpy(), f"{name}: {key} is empty")
    unknown = [column for column in columns if column not in known]
    if unknown:
        raise JudgmentsError(
            f"{name} has an unknown column {unknown[0]!r}: it takes reader_id, case_id, score and "
            "raw_score."
        )
    if "score" not in columns:
        raise JudgmentsError(f"{name} has no column score: it needs reader_id, case_id and score.")
    if not len(table):
        raise JudgmentsError(f"{name} has a header but no rows: no machine read anything.")
    for key in _NUMBERS:
        if key in columns:
            number = pd.to_numeric(table[key].to_numpy(), errors="coerce")
            clean[key] = np.asarray(number, np.float64)
            _refuse(~np.isfinite(clean[key].to_numpy()), f"{name}: {key} is not a number")
    strange = ~clean["case_id"].isin(readings.cases).to_numpy()
    _refuse(strange, f"{name}: no reader has read the case", clean["case_id"])
    human = clean["reader_id"].isin(readings.readers).to_numpy()
    _refuse(human, f"{name}: a reader of the judgments has the same name", clean["reader_id"])
    twice = clean.duplicated(["reader_id", "case_id"], keep=False).to_numpy()
    _refuse(twice, f"{name}: the same machine rates the same case more than once")
    return clean


def _refuse(bad: np.ndarray, rule: str, values: pd.Series[str] | None = None) -> None:
    if bad.any():
        what = "" if values is None else f" {values[bad].iloc[0]!r}"
        raise JudgmentsError(f"{rule}{what} {rows_text(bad)}.")
