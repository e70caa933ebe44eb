"""The sections of a results document about one condition, each from the readings and the plan."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from readerstudy.analysis.stats import subgroup
from readerstudy.analysis.stats.bootstrap import Bootstrap, bootstrap_2way
from readerstudy.analysis.stats.conditions import Conditions
from readerstudy.analysis.stats.confusion import RATES, pooled
from readerstudy.analysis.stats.covariance import Covariance
from readerstudy.analysis.stats.foolrate import by_case, by_group, fool_rate
from readerstudy.analysis.stats.imrmc import imrmc
from readerstudy.analysis.stats.inference import verdict
from readerstudy.analysis.stats.mrmc import OrSingle, or_single
from readerstudy.analysis.stats.multi import or_multi
from readerstudy.analysis.stats.permutation import Permutation, label_permutation
from readerstudy.analysis.stats.perreader import ReaderRow, per_reader
from readerstudy.analysis.stats.plan import Plan
from readerstudy.analysis.stats.planning import Components
from readerstudy.analysis.stats.plantable import cases_needed, plan_table
from readerstudy.analysis.stats.readings import Readings
from readerstudy.analysis.stats.roc import RocCurve, average_roc
from readerstudy.analysis.stats.secondary import given
from readerstudy.analysis.stats.serialize import to_json
from readerstudy.analysis.stats.tidy import Judgments
from readerstudy.analysis.stats.wording import sentence

#: Columns that a table may lack; the report says which.
_OPTIONAL = (
    "organ",
    "size_mm",
    "generator",
    "experience_years",
    "order_index",
    "confidence",
    "p_synthetic_pct",
    "response_time_s",
)
BOTH = "other readers and other cases"


def data(checked: Judgments, readings: Readings) -> dict[str, Any]:
    """Counts of readers, cases and readings, and of each reader."""
    own = counts(readings)
    first, repeats = checked.first, checked.repeats
    own["n_repeats"] = len(repeats)
    again = repeats["reader_id"].value_counts()
    for row in own["by_reader"]:
        row["n_repeats"] = int(again.get(row["reader"], 0))
    own["score_levels"] = sorted(float(s) for s in first["score"].unique())
    own["has"] = {column: given(first, column) for column in _OPTIONAL}
    return own


def counts(readings: Readings) -> dict[str, Any]:
    """How much was read."""
    read = readings.read
    return {
        "n_readers": readings.n_readers,
        "n_cases": readings.n_cases,
        "n_positive": readings.n_positive,
        "n_negative": readings.n_negative,
        "n_readings": int(read.sum()),
        "n_possible": int(read.size),
        "n_missing": int((~read).sum()),
        "n_repeats": 0,
        "fully_crossed": readings.fully_crossed,
        "unit": readings.unit_name,
        "n_units": readings.n_units,
        "by_reader": [
            {
                "reader": name,
                "n_positive": int((row & readings.is_positive).sum()),
                "n_negative": int((row & ~readings.is_positive).sum()),
                "n_missing": int((~row).sum()),
            }
            for name, row in zip(readings.readers, read, strict=True)
        ],
    }


def primary(endpoint: OrSingle, plan: Plan) -> dict[str, Any]:
    """The endpoint that the plan names, with the verdict and its sentence."""
    answer = verdict(endpoint.rrrc, plan.margin)
    return {
        "metric": endpoint.metric,
        "label": endpoint.label,
        "positive": endpoint.positive,
        "result": endpoint.rrrc,
        "margin": plan.margin,
        "verdict": answer,
        "sentence": sentence(
            endpoint.label, endpoint.rrrc, answer, plan.positive, plan.negative
        ),
    }  # fmt: skip


def methods(readings: Readings, plan: Plan, rng: np.random.Generator) -> list[dict[str, Any]]:
    """The primary endpoint by every route, side by side; the route of the plan is marked."""
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
        routes.append(_route(f"Obuchowski-Rockette, {names[cov]}", BOTH, done.rrrc,
                             primary=cov == plan.covariance))  # fmt: skip
        if cov == plan.covariance:
            fixed = done
    u = imrmc(readings, key, margins=(plan.margin,)).result
    routes.append(_route("U-statistic (iMRMC), BDG degrees of freedom", BOTH, u))
    resampled: Bootstrap = bootstrap_2way(readings, key, plan.replicates, rng=rng)
    routes.append(
        _route(f"Bootstrap of readers and cases, {plan.replicates} replicates, percentile", BOTH,
               resampled.as_inference())
    )  # fmt: skip
    routes.append(_route("Readers fixed, cases random", "these readers, other cases", fixed.frrc))
    routes.append(_route("Readers random, cases fixed", "other readers, these cases", fixed.rrfc))
    return routes


def _route(name: str, scope: str, result: Any, *, primary: bool = False) -> dict[str, Any]:
    return {"name": name, "generalizes_to": scope, "is_primary": primary, "result": result}


def permutation(readings: Readings, plan: Plan, rng: np.random.Generator) -> Permutation:
    """Exact test that no reader can tell, for the primary endpoint."""
    return label_permutation(readings, plan.primary, plan.replicates, rng=rng)


def readers(readings: Readings, first: pd.DataFrame) -> tuple[ReaderRow, ...]:
    return per_reader(readings, first)


def average_curve(rows: tuple[ReaderRow, ...]) -> RocCurve | None:
    return average_roc([row.roc for row in rows if row.roc is not None])


def pooled_section(readings: Readings) -> dict[str, Any]:
    """All readings thrown together, labelled naive."""
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


def fool_rates(readings: Readings, facts: pd.DataFrame, plan: Plan) -> dict[str, Any]:
    return {
        "overall": fool_rate(readings),
        "by_organ": by_group(readings, facts["organ"].tolist()),
        "by_size": in_order(by_group(readings, facts["size_band"].tolist()), plan),
        "by_generator": by_group(readings, facts["generator"].tolist()),
    }


def cases(readings: Readings, facts: pd.DataFrame) -> list[dict[str, Any]]:
    """Every case with its facts, hardest first."""
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


def subgroups(readings: Readings, facts: pd.DataFrame, plan: Plan) -> dict[str, Any]:
    """The primary endpoint inside each organ and each size band."""

    def by(labels: list[str]) -> tuple[subgroup.Subgroup, ...]:
        return subgroup.by(
            readings, labels, plan.primary, "jackknife", min_cases=plan.min_cases,
            min_readers=plan.min_readers,
        )  # fmt: skip

    return {
        "organ": by(facts["organ"].tolist()),
        "size": in_order(by(facts["size_band"].tolist()), plan),
    }


def generators(readings: Readings, facts: pd.DataFrame, plan: Plan) -> Any:
    """Several generators compared on the same readers; null where there is only one."""
    labels = facts["generator"].tolist()
    made = readings.is_positive if readings.of_deceiving() is readings else ~readings.is_positive
    names = {label for label, ours in zip(labels, made, strict=True) if ours} - {""}
    if len(names) < 2:
        return None
    conditions = Conditions.by_generator(readings, labels)
    return or_multi(conditions, plan.primary, plan.covariance, margins=(plan.margin,))


def precision(endpoint: OrSingle, readings: Readings, plan: Plan) -> dict[str, Any]:
    """What this trial could show, and what would be needed, from its own components."""
    parts = Components.from_trial(endpoint, readings.n_cases, "this study")
    if parts is None:
        return {"components": None, "designs": [], "needed": [],
                "reason": endpoint.rrrc.reason or "the components cannot be estimated"}  # fmt: skip
    n = readings.n_readers
    sizes = sorted({round(readings.n_cases * factor) for factor in (0.5, 1, 1.5, 2, 3)})
    goals: tuple[Any, ...] = ("tost", "precision")
    return {
        "components": asdict(parts),
        "designs": plan_table(parts, [n], sizes, margin=plan.margin),
        "needed": [
            cases_needed(n, parts, goal=goal, margin=plan.margin, half_width=0.05)
            for goal in goals
        ],
        "reason": None,
    }  # fmt: skip


def in_order(groups: tuple[Any, ...], plan: Plan) -> list[Any]:
    """Size bands in the order of the plan, unknown bands after them by name."""
    order = {band.label: i for i, band in enumerate(plan.size_bands)}
    return sorted(groups, key=lambda g: (order.get(g.group, len(order)), g.group))
