"""The secondary sections of a results document: agreement, course of reading, calibration."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from readerstudy.analysis.stats import subgroup
from readerstudy.analysis.stats.agreement import InterReader, inter_reader, intra_reader
from readerstudy.analysis.stats.calibration import Calibration, Confidence, calibration, confidence
from readerstudy.analysis.stats.cluster import gee, twoway_cluster
from readerstudy.analysis.stats.glmm import sdt_glmm
from readerstudy.analysis.stats.plan import Plan
from readerstudy.analysis.stats.readings import Readings
from readerstudy.analysis.stats.tidy import Judgments
from readerstudy.analysis.stats.timing import (
    CochranQ,
    Spearman,
    cochran_q,
    experience,
    order_effect,
    rt_model,
)


def between_readers(readings: Readings, plan: Plan, rng: np.random.Generator) -> InterReader:
    """Agreement of different readers."""
    return inter_reader(readings, rng=rng, replicates=min(plan.replicates, MOST_FOR_ALPHA))


#: The interval of alpha settles long before that of the endpoint.
MOST_FOR_ALPHA = 1000


def within_readers(checked: Judgments) -> Any:
    """Agreement of each reader with herself; null without repeats."""
    if checked.repeats.empty:
        return None
    return intra_reader(checked.first, checked.repeats, positive=checked.positive)


def course(checked: Judgments, readings: Readings) -> Any:
    """Accuracy over the order of reading; null where the order is not known."""
    first = checked.first
    if not given(first, "order_index"):
        return None
    return order_effect(first, unit=unit_column(readings))


def times(checked: Judgments) -> Any:
    """Response times; null where they are not known."""
    if not given(checked.first, "response_time_s"):
        return None
    return rt_model(checked.first, positive=checked.positive)


def reader_facts(checked: Judgments, readings: Readings) -> dict[str, CochranQ | Spearman]:
    """Whether readers differ, and whether experience matters."""
    return {
        "heterogeneity": cochran_q(readings),
        "experience": experience(readings, checked.first),
    }


def stated_probability(
    checked: Judgments, readings: Readings, plan: Plan, rng: np.random.Generator
) -> Calibration | None:
    """Calibration of the stated probability; null where none was asked."""
    first = checked.first
    if not given(first, "p_synthetic_pct"):
        return None
    return calibration(
        first, positive=checked.positive, rng=rng, unit=unit_column(readings),
        replicates=min(plan.replicates, MOST_FOR_ALPHA),
    )  # fmt: skip


def stated_confidence(readings: Readings) -> Confidence:
    return confidence(readings)


def heterogeneity(readings: Readings, facts: pd.DataFrame, plan: Plan) -> dict[str, Any]:
    """Whether the primary endpoint differs between organs and between size bands."""

    def test(column: str) -> Any:
        labels = facts[column].tolist()
        if len(set(labels) - {""}) < 2:
            return None
        return subgroup.heterogeneity(
            readings, labels, plan.primary, min_cases=plan.min_cases, min_readers=plan.min_readers
        )

    return {"organ": test("organ"), "size": test("size_band")}


def sensitivity(checked: Judgments, readings: Readings) -> dict[str, Any]:
    """Other models of the verdicts, labelled as sensitivity analyses."""
    first = checked.first
    right = (first["truth"] == first["verdict"]).to_numpy(dtype=np.float64)
    reader, case = first["reader_id"], first[unit_column(readings)]
    few = reader.nunique() < FEW_CLUSTERS
    return {
        "outcome": "correct verdict",
        "twoway_cluster": twoway_cluster(right, reader, case),
        "gee_reader": gee(
            right, reader, name="reader", robust="bias_reduced" if few else "robust"
        ),
        "gee_case": gee(right, case, name=readings.unit_name),
        "sdt_glmm": sdt_glmm(readings),
    }  # fmt: skip


#: Below this many clusters the plain sandwich is too small.
FEW_CLUSTERS = 40


def given(table: pd.DataFrame, column: str) -> bool:
    """Whether a column is there and says something."""
    return column in table and bool((table[column].notna() & (table[column] != "")).any())


def unit_column(readings: Readings) -> str:
    """The column that names the unit of resampling."""
    return "patient_id" if readings.unit_name == "patient" else "case_id"
