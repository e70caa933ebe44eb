"""One row per reader: counts, rates, AUC, signal detection, time, and the curve behind them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from readerstudy.analysis.stats.confusion import Confusion, confusion
from readerstudy.analysis.stats.inference import holm
from readerstudy.analysis.stats.proportions import Proportion, exact_p
from readerstudy.analysis.stats.readings import Readings
from readerstudy.analysis.stats.roc import Auc, RocCurve, delong, roc_points
from readerstudy.analysis.stats.sdt import SignalDetection, sdt


@dataclass(frozen=True)
class ReaderRow:
    """Everything about one reader. Intervals are valid: her cases are independent."""

    reader: str
    experience_years: float | None
    table: Confusion
    accuracy: Proportion
    accuracy_exact: Proportion
    sensitivity: Proportion
    specificity: Proportion
    fool_rate: Proportion
    said_positive: Proportion
    balanced_accuracy: float | None
    balanced_accuracy_reason: str | None
    p_accuracy: float | None
    p_accuracy_holm: float | None
    auc: Auc
    sdt: SignalDetection
    median_response_s: float | None
    roc: RocCurve | None


def per_reader(readings: Readings, first: pd.DataFrame | None = None) -> tuple[ReaderRow, ...]:
    """One row per reader, in the order of ``readings.readers``.

    Args:
        first: the table of first readings, for experience and response time.
    """
    tables = confusion(readings)
    p_values = [exact_p(t.tp + t.tn, t.n) for t in tables]
    adjusted = holm(p_values)
    years, seconds = _facts(first)
    rows = []
    for j, (name, table) in enumerate(zip(readings.readers, tables, strict=True)):
        seen = readings.read[j]
        balanced = table.balanced_accuracy()
        x = readings.score[j][seen & readings.is_positive]
        y = readings.score[j][seen & ~readings.is_positive]
        rows.append(
            ReaderRow(
                name,
                years.get(name),
                table,
                table.rate("accuracy"),
                table.rate("accuracy", "clopper_pearson"),
                table.rate("sensitivity"),
                table.rate("specificity"),
                table.rate("fool_rate"),
                table.rate("said_positive"),
                balanced.estimate,
                balanced.reason,
                p_values[j],
                adjusted[j],
                delong(x, y, positive=readings.positive),
                sdt(table.tp, table.fn, table.fp, table.tn, positive=readings.positive),
                seconds.get(name),
                roc_points(x, y),
            )
        )
    return tuple(rows)


def _facts(first: pd.DataFrame | None) -> tuple[dict[str, float], dict[str, float]]:
    years: dict[str, float] = {}
    seconds: dict[str, float] = {}
    if first is None:
        return years, seconds
    for name, rows in first.groupby("reader_id", sort=True):
        if "experience_years" in rows and np.isfinite(rows["experience_years"].iloc[0]):
            years[str(name)] = float(rows["experience_years"].iloc[0])
        if "response_time_s" in rows and rows["response_time_s"].notna().any():
            seconds[str(name)] = float(rows["response_time_s"].median())
    return years, seconds
