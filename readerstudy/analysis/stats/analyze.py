"""Judgments and a plan in, one JSON-ready dictionary out: every number a report may print.

The dictionary is versioned by ``schema``. Values that do not exist are null beside a ``reason``.
Intervals are not truncated to the range of the statistic.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pandas as pd

from readerstudy.analysis.stats import ENGINE_VERSION, subgroup
from readerstudy.analysis.stats.confusion import RATES, pooled
from readerstudy.analysis.stats.covariance import Covariance
from readerstudy.analysis.stats.foolrate import by_case, by_group, fool_rate
from readerstudy.analysis.stats.imrmc import imrmc
from readerstudy.analysis.stats.inference import Verdict, verdict
from readerstudy.analysis.stats.mrmc import OrSingle, or_single, reader_average
from readerstudy.analysis.stats.perreader import per_reader
from readerstudy.analysis.stats.plan import Plan
from readerstudy.analysis.stats.readings import Readings
from readerstudy.analysis.stats.roc import average_roc
from readerstudy.analysis.stats.serialize import to_json
from readerstudy.analysis.stats.tidy import Judgments, case_facts, check, to_readings
from readerstudy.analysis.stats.wording import sentence

SCHEMA = "readerstudy.results/1"
#: Endpoints analysed with readers and cases random, the primary one first on a page.
ENDPOINTS = (
    "auc",
    "balanced_accuracy",
    "accuracy",
    "sensitivity",
    "specificity",
    "fool_rate",
    "dprime",
    "criterion",
)
#: Endpoints for which "equivalent to guessing" has a meaning on the scale of the margin.
_ON_UNIT_SCALE = frozenset(ENDPOINTS) - {"dprime", "criterion"}
#: Readers below this number say little about other readers.
FEW_READERS = 5


def analyze(judgments: pd.DataFrame, plan: Plan | None = None) -> dict[str, Any]:
    """Check the table and compute the whole analysis.

    Raises:
        JudgmentsError: the table breaks a rule.
    """
    plan = plan or Plan()
    checked = check(judgments, plan)
    readings = to_readings(checked, plan)
    facts = case_facts(checked, plan)
    endpoints = {key: _endpoint(readings, key, plan) for key in ENDPOINTS}
    rows = per_reader(readings, checked.first)
    primary = endpoints[plan.primary]
    answer = verdict(primary.rrrc, plan.margin)
    result = {
        "schema": SCHEMA,
        "engine": ENGINE_VERSION,
        "plan": asdict(plan),
        "positive": plan.positive,
        "negative": plan.negative,
        "data": _data(checked, readings),
        "primary": _primary(primary, answer, plan),
        "endpoints": endpoints,
        "methods": _methods(readings, plan),
        "reader_average": {
            key: reader_average(readings, key, margins=_margins(key, plan)) for key in ENDPOINTS
        },
        "readers": rows,
        "pooled": _pooled(readings),
        "roc_average": average_roc([row.roc for row in rows if row.roc is not None]),
        "fool_rate": {
            "overall": fool_rate(readings),
            "by_organ": by_group(readings, facts["organ"].tolist()),
            "by_size": _in_order(by_group(readings, facts["size_band"].tolist()), plan),
            "by_generator": by_group(readings, facts["generator"].tolist()),
        },
        "cases": _cases(readings, facts),
        "subgroups": {
            "organ": _subgroups(readings, facts["organ"].tolist(), plan),
            "size": _in_order(_subgroups(readings, facts["size_band"].tolist(), plan), plan),
        },
        "notes": _notes(checked, readings),
    }
    plain: dict[str, Any] = to_json(result)
    return plain


# ------------------------------------------------------------------------------------- sections


def _margins(key: str, plan: Plan) -> tuple[float, ...]:
    return (plan.margin,) if key in _ON_UNIT_SCALE else ()


def _endpoint(readings: Readings, key: str, plan: Plan) -> OrSingle:
    cov: Covariance = plan.covariance if key in ("auc", "balanced_accuracy") else "jackknife"
    return or_single(readings, key, cov, margins=_margins(key, plan))


def _primary(endpoint: OrSingle, answer: Verdict, plan: Plan) -> dict[str, Any]:
    result = endpoint.rrrc
    return {
        "metric": endpoint.metric,
        "label": endpoint.label,
        "positive": endpoint.positive,
        "result": result,
        "margin": plan.margin,
        "verdict": answer,
        "sentence": sentence(endpoint.label, result, answer, plan.positive, plan.negative),
    }


def _data(checked: Judgments, readings: Readings) -> dict[str, Any]:
    read = readings.read
    first = checked.first
    return {
        "n_readers": readings.n_readers,
        "n_cases": readings.n_cases,
        "n_positive": readings.n_positive,
        "n_negative": readings.n_negative,
        "n_readings": int(read.sum()),
        "n_possible": int(read.size),
        "n_missing": int((~read).sum()),
        "n_repeats": len(checked.repeats),
        "fully_crossed": readings.fully_crossed,
        "unit": readings.unit_name,
        "n_units": readings.n_units,
        "score_levels": sorted(float(s) for s in first["score"].unique()),
    }


def _methods(readings: Readings, plan: Plan) -> list[dict[str, Any]]:
    """The primary endpoint by every route, side by side."""
    key = plan.primary
    routes: list[dict[str, Any]] = []
    names = {
        "jackknife": "jackknife covariance",
        "delong": "DeLong covariance",
        "unbiased": "unbiased U-statistic covariance",
    }
    covs: tuple[Covariance, ...] = ("jackknife", "delong", "unbiased")
    for cov in covs:
        done = or_single(readings, key, cov, margins=(plan.margin,))
        routes.append(
            {
                "name": f"Obuchowski-Rockette, {names[cov]}",
                "generalizes_to": "other readers and other cases",
                "result": done.rrrc,
            }
        )
        if cov == plan.covariance:
            fixed = done
    routes.append(
        {
            "name": "U-statistic (iMRMC), BDG degrees of freedom",
            "generalizes_to": "other readers and other cases",
            "result": imrmc(readings, key, margins=(plan.margin,)).result,
        }
    )
    routes.append(
        {
            "name": "Readers fixed, cases random",
            "generalizes_to": "these readers, other cases",
            "result": fixed.frrc,
        }
    )
    routes.append(
        {
            "name": "Readers random, cases fixed",
            "generalizes_to": "other readers, these cases",
            "result": fixed.rrfc,
        }
    )
    return routes


def _pooled(readings: Readings) -> dict[str, Any]:
    done = pooled(readings)
    return {
        "label": done.label,
        "table": done.table,
        "rates": {
            key: {"wilson": done.wilson[key], "clopper_pearson": done.clopper_pearson[key]}
            for key in RATES
        },
        "derived": done.table.derived(),
    }


def _cases(readings: Readings, facts: pd.DataFrame) -> list[dict[str, Any]]:
    known = facts.set_index("case_id")
    rows = []
    for row in by_case(readings):
        fact = known.loc[row.case]
        size = float(fact["size_mm"])
        rows.append(
            {
                **to_json(row),
                "organ": str(fact["organ"]),
                "size_mm": None if size != size else size,
                "size_band": str(fact["size_band"]),
                "generator": str(fact["generator"]),
            }
        )
    return rows


def _subgroups(readings: Readings, labels: list[str], plan: Plan) -> tuple[subgroup.Subgroup, ...]:
    return subgroup.by(
        readings,
        labels,
        plan.primary,
        "jackknife",
        min_cases=plan.min_cases,
        min_readers=plan.min_readers,
    )


def _in_order(groups: tuple[Any, ...], plan: Plan) -> list[Any]:
    """Size bands in the order of the plan, unknown bands after them by name."""
    order = {band.label: i for i, band in enumerate(plan.size_bands)}
    return sorted(groups, key=lambda g: (order.get(g.group, len(order)), g.group))


def _notes(checked: Judgments, readings: Readings) -> list[str]:
    notes = list(checked.notes)
    if readings.n_readers < FEW_READERS:
        notes.append(
            f"{readings.n_readers} readers: the variation between readers is poorly known, and "
            "intervals that generalize to other readers are wide or missing."
        )
    missing = int((~readings.read).sum())
    if missing:
        notes.append(
            f"{missing} of {readings.read.size} readings are missing; each reader's values rest "
            "on the cases that reader answered."
        )
    if readings.unit_name == "patient":
        notes.append(
            f"{readings.n_cases} cases come from {readings.n_units} patients: the patient, not "
            "the case, is the unit of the jackknife."
        )
    return notes
