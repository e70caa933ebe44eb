"""Judgments and a plan in, one JSON-ready dictionary out: every number a report may print.

The dictionary is versioned by ``schema``; docs/results.schema.json describes it. Values that do
not exist are null beside a ``reason``. Intervals are not truncated to the range of the statistic.
The same code serves a trial of this platform and a table from elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from readerstudy.analysis.stats import ENGINE_VERSION, secondary, sections
from readerstudy.analysis.stats.beside import compare
from readerstudy.analysis.stats.mrmc import OrSingle, or_single, reader_average
from readerstudy.analysis.stats.plan import Plan
from readerstudy.analysis.stats.readings import Readings
from readerstudy.analysis.stats.serialize import to_json
from readerstudy.analysis.stats.tidy import Judgments, case_facts, check, to_readings

SCHEMA = "readerstudy.results/3"
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

Progress = Callable[[int, int, str], None]
Step = tuple[str, str, Callable[[], Any]]


def silent(done: int, total: int, message: str) -> None:
    """Progress for callers that show none."""


@dataclass(frozen=True)
class Machines:
    """Ratings of machines on the same cases; see ``beside.compare``."""

    table: pd.DataFrame
    threshold: float = 0.0
    name: str = "The table of machines"


def analyze(
    judgments: pd.DataFrame,
    plan: Plan | None = None,
    *,
    machines: Machines | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Check the table and compute the whole analysis.

    Args:
        machines: with them the document has one section more, ``machines``, and no other change.

    Raises:
        JudgmentsError: a table breaks a rule.
    """
    plan = plan or Plan()
    checked = check(judgments, plan)
    readings = to_readings(checked, plan)
    found: dict[str, Any] = {}
    steps = _steps(checked, readings, plan, found)
    if machines is not None:
        # First, so that a table that cannot be used is refused at once.
        steps = (("machines", "Machines", _beside(readings, plan, machines)), *steps)
    for number, (key, words, compute) in enumerate(steps):
        progress(number, len(steps), words)
        found[key] = compute()
    progress(len(steps), len(steps), "Writing down")
    result = {
        "schema": SCHEMA,
        "engine": ENGINE_VERSION,
        "layout": "vtt",
        "plan": asdict(plan),
        "positive": plan.positive,
        "negative": plan.negative,
        "data": sections.data(checked, readings),
        "primary": sections.primary(found["endpoints"][plan.primary], plan),
        **found,
        "notes": notes(checked.notes, readings),
    }
    plain: dict[str, Any] = to_json(result)
    return plain


def _steps(
    checked: Judgments, readings: Readings, plan: Plan, found: dict[str, Any]
) -> tuple[Step, ...]:
    """(key, words for the progress line, computation) of every section, in the order computed.

    Each drawing section has a stream of its own, so that leaving one out changes no other.
    """
    facts = case_facts(checked, plan)
    streams = dict(zip(_DRAWING, np.random.SeedSequence(plan.seed).spawn(len(_DRAWING))))

    def rng(name: str) -> np.random.Generator:
        return np.random.default_rng(streams[name])

    return (
        ("endpoints", "Endpoints",
         lambda: {key: _endpoint(readings, key, plan) for key in ENDPOINTS}),
        ("methods", "The primary endpoint by other methods",
         lambda: sections.methods(readings, plan, rng("bootstrap"))),
        ("permutation", "Permutation test",
         lambda: sections.permutation(readings, plan, rng("permutation"))),
        ("reader_average", "Readers",
         lambda: {
             key: reader_average(readings, key, margins=_margins(key, plan)) for key in ENDPOINTS
         }),
        ("readers", "Readers", lambda: sections.readers(readings, checked.first)),
        ("pooled", "Readers", lambda: sections.pooled_section(readings)),
        ("roc_average", "Readers", lambda: sections.average_curve(found["readers"])),
        ("fool_rate", "Groups", lambda: sections.fool_rates(readings, facts, plan)),
        ("cases", "Cases", lambda: sections.cases(readings, facts)),
        ("subgroups", "Groups", lambda: sections.subgroups(readings, facts, plan)),
        ("heterogeneity", "Groups", lambda: secondary.heterogeneity(readings, facts, plan)),
        ("generators", "Generators", lambda: sections.generators(readings, facts, plan)),
        ("agreement", "Agreement",
         lambda: secondary.between_readers(readings, plan, rng("agreement"))),
        ("intra_reader", "Agreement", lambda: secondary.within_readers(checked)),
        ("order", "Order of reading", lambda: secondary.course(checked, readings)),
        ("response_time", "Response times", lambda: secondary.times(checked)),
        ("reader_facts", "Readers", lambda: secondary.reader_facts(checked, readings)),
        ("confidence", "Confidence", lambda: secondary.stated_confidence(readings)),
        ("calibration", "Calibration",
         lambda: secondary.stated_probability(checked, readings, plan, rng("calibration"))),
        ("sensitivity", "Sensitivity analyses",
         lambda: secondary.sensitivity(checked, readings)),
        ("precision", "Precision reached",
         lambda: sections.precision(found["endpoints"][plan.primary], readings, plan)),
    )  # fmt: skip


def _beside(readings: Readings, plan: Plan, machines: Machines) -> Callable[[], Any]:
    return lambda: compare(
        readings,
        machines.table,
        primary=plan.primary,
        threshold=machines.threshold,
        name=machines.name,
    )


#: Sections that draw random numbers.
_DRAWING = ("bootstrap", "permutation", "agreement", "calibration")


def _margins(key: str, plan: Plan) -> tuple[float, ...]:
    return (plan.margin,) if key in _ON_UNIT_SCALE else ()


def _endpoint(readings: Readings, key: str, plan: Plan) -> OrSingle:
    cov = plan.covariance if key in ("auc", "balanced_accuracy") else "jackknife"
    return or_single(readings, key, cov, margins=_margins(key, plan))


def notes(known: tuple[str, ...], readings: Readings) -> list[str]:
    """What a person should know before reading any number."""
    out = list(known)
    if readings.n_readers < FEW_READERS:
        word = "reader" if readings.n_readers == 1 else "readers"
        out.append(
            f"{readings.n_readers} {word}: the variation between readers is poorly known, and "
            "intervals that generalize to other readers are wide or missing."
        )
    missing = int((~readings.read).sum())
    if missing:
        out.append(
            f"{missing} of {readings.read.size} readings are missing; each reader's values rest "
            "on the cases that reader answered."
        )
    if readings.unit_name == "patient":
        out.append(
            f"{readings.n_cases} cases come from {readings.n_units} patients: the patient, not "
            "the case, is the unit of the jackknife."
        )
    return out
