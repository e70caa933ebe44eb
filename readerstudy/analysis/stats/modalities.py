"""Ratings of one or several modalities in, the same kind of results document out.

There are no verdicts here, so the AUC of the ratings is the only endpoint. One modality is tested
against guessing; of two, their difference is the primary answer; of more, the global test.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from readerstudy.analysis.stats import ENGINE_VERSION, sections
from readerstudy.analysis.stats.analyze import SCHEMA, Progress, notes, silent
from readerstudy.analysis.stats.conditions import Conditions
from readerstudy.analysis.stats.inference import Verdict, verdict
from readerstudy.analysis.stats.mrmc import OrSingle, or_single
from readerstudy.analysis.stats.multi import OrMulti, or_multi
from readerstudy.analysis.stats.plan import Plan
from readerstudy.analysis.stats.ratings import Ratings, to_conditions
from readerstudy.analysis.stats.readings import Readings
from readerstudy.analysis.stats.roc import average_roc, delong, roc_points
from readerstudy.analysis.stats.serialize import to_json
from readerstudy.analysis.stats.wording import difference_sentence, global_sentence


def analyze_ratings(
    ratings: Ratings, plan: Plan | None = None, *, progress: Progress = silent
) -> dict[str, Any]:
    """The whole analysis of a checked table of ratings.

    Raises:
        ValueError: the plan asks for an endpoint that ratings alone do not give.
    """
    plan = plan or Plan(ratings.positive, ratings.negative)
    if plan.primary != "auc":
        raise ValueError("ratings without verdicts have one endpoint, the AUC: set primary to auc")
    conditions = to_conditions(ratings)
    names = conditions.names
    streams = np.random.SeedSequence(plan.seed).spawn(len(names))
    total = len(names) + 1
    each, singles = [], []
    for number, (name, own, seed) in enumerate(zip(names, conditions.each, streams, strict=True)):
        progress(number, total, f"Modality {name}")
        one = own.of_cases(np.asarray(own.read.any(axis=0)))
        done = or_single(one, "auc", plan.covariance, margins=(plan.margin,))
        singles.append(done)
        each.append(_condition(name, one, done, plan, np.random.default_rng(seed)))
    progress(len(names), total, "Comparison of the modalities")
    comparison = _comparison(conditions, plan)
    whole = conditions.stacked()
    document = {
        "schema": SCHEMA,
        "engine": ENGINE_VERSION,
        "layout": "mrmc",
        "plan": asdict(plan),
        "positive": ratings.positive,
        "negative": ratings.negative,
        "data": {**sections.counts(whole), "n_readers": conditions.n_readers,
                 "n_modalities": len(names), "modalities": list(names), "by_reader": []},
        "primary": _primary(singles, comparison, plan),
        "conditions": each,
        "comparison": comparison,
        "precision": sections.precision(singles[0], conditions.each[0], plan)
        if len(names) == 1 else None,
        "notes": notes((), whole) if len(names) == 1 else _gaps(conditions),
    }  # fmt: skip
    plain: dict[str, Any] = to_json(document)
    return plain


def _condition(
    name: str, own: Readings, done: OrSingle, plan: Plan, rng: np.random.Generator
) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    for j, reader in enumerate(own.readers):
        seen = own.read[j]
        x = own.score[j][seen & own.is_positive]
        y = own.score[j][seen & ~own.is_positive]
        rows.append({
            "reader": reader, "n_positive": len(x), "n_negative": len(y),
            "auc": delong(x, y, positive=own.positive), "roc": roc_points(x, y),
        })  # fmt: skip
    return {
        "name": name,
        "data": sections.counts(own),
        "endpoint": done,
        "methods": sections.methods(own, plan, rng),
        "readers": rows,
        "roc_average": average_roc([r["roc"] for r in rows if r["roc"] is not None]),
    }  # fmt: skip


def _comparison(conditions: Conditions, plan: Plan) -> OrMulti | None:
    if conditions.n_conditions < 2:
        return None
    return or_multi(conditions, "auc", plan.covariance, margins=(plan.margin,))


def _primary(singles: list[OrSingle], comparison: OrMulti | None, plan: Plan) -> dict[str, Any]:
    """The one question of the study: against guessing, a difference, or any difference at all."""
    if comparison is None:
        return {**sections.primary(singles[0], plan), "question": "guessing", "test": None}
    shared = {
        "metric": comparison.metric, "positive": comparison.positive, "margin": plan.margin,
        "test": comparison.rrrc.test,
    }  # fmt: skip
    if len(comparison.names) == 2:
        pair = comparison.rrrc.differences[0]
        answer = verdict(pair.result, plan.margin)
        return {
            **shared,
            "question": "difference",
            "label": f"difference in AUC ({pair.first} minus {pair.second})",
            "result": pair.result,
            "verdict": answer,
            "sentence": difference_sentence(pair.first, pair.second, pair.result, answer),
        }
    test = comparison.rrrc.test
    code = "undefined" if test.p is None else "different" if test.p < 0.05 else "inconclusive"
    return {
        **shared,
        "question": "any difference",
        "label": "AUC of the modalities",
        "result": None,
        "verdict": Verdict(code, test.p, None, plan.margin, None, test.reason),  # type: ignore[arg-type]
        "sentence": global_sentence(comparison.names, test),
    }


def _gaps(conditions: Conditions) -> list[str]:
    found = []
    for name, own in zip(conditions.names, conditions.each, strict=True):
        seen = own.of_cases(np.asarray(own.read.any(axis=0)))
        missing = int((~seen.read).sum())
        if missing:
            found.append(
                f"Modality {name}: {missing} of {seen.read.size} readings are missing; each "
                "reader's values rest on the cases that reader rated."
            )
    return found
