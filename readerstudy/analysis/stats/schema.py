"""The JSON Schema of a results document, from the result types themselves.

docs/results.schema.json is what :func:`results_schema` gives; a test keeps them equal. Write it
anew with ``python -m readerstudy.analysis.stats.schema > docs/results.schema.json``.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from readerstudy.analysis.stats.agreement import InterReader, IntraReader
from readerstudy.analysis.stats.analyze import ENDPOINTS, SCHEMA
from readerstudy.analysis.stats.beside import MachineResult
from readerstudy.analysis.stats.calibration import Calibration, Confidence
from readerstudy.analysis.stats.cluster import Gee, TwoWay
from readerstudy.analysis.stats.confusion import RATES, Confusion
from readerstudy.analysis.stats.foolrate import CaseRow, FoolGroup
from readerstudy.analysis.stats.glmm import Glmm
from readerstudy.analysis.stats.inference import Inference, Verdict
from readerstudy.analysis.stats.mrmc import OrSingle, ReaderAverage
from readerstudy.analysis.stats.multi import GlobalTest, OrMulti
from readerstudy.analysis.stats.permutation import Permutation
from readerstudy.analysis.stats.perreader import ReaderRow
from readerstudy.analysis.stats.plan import Plan
from readerstudy.analysis.stats.planning import Components
from readerstudy.analysis.stats.plantable import CasesNeeded, PlanRow
from readerstudy.analysis.stats.proportions import Proportion
from readerstudy.analysis.stats.roc import Auc, RocCurve
from readerstudy.analysis.stats.subgroup import Heterogeneity, Subgroup
from readerstudy.analysis.stats.timing import CochranQ, OrderEffect, RtModel, Spearman
from readerstudy.analysis.stats.types import Value

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
_PLAIN: dict[Any, Schema] = {
    str: TEXT, int: {"type": "integer"}, float: NUMBER, bool: FLAG, type(None): {"type": "null"},
}  # fmt: skip


class Types:
    """Schemas of Python types; each dataclass becomes one definition."""

    def __init__(self) -> None:
        self.definitions: dict[str, Schema] = {}

    def of(self, kind: Any) -> Schema:
        """Schema of what ``to_json`` makes of a value of this type."""
        if kind in _PLAIN:
            return _PLAIN[kind]
        origin, arguments = get_origin(kind), get_args(kind)
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            return self._define(kind)
        if origin in (Union, types.UnionType):
            return {"anyOf": [self.of(argument) for argument in arguments]}
        if origin is Literal:
            return {"enum": list(arguments)}
        if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
            return {"type": "array", "items": self.of(arguments[0])}
        if origin is tuple:
            n = len(arguments)
            return {"type": "array", "prefixItems": [self.of(a) for a in arguments],
                    "minItems": n, "maxItems": n}  # fmt: skip
        if origin is list:
            return {"type": "array", "items": self.of(arguments[0])}
        if origin is dict:
            return {"type": "object", "additionalProperties": self.of(arguments[1])}
        return {"type": "array"}  # an array of numbers

    def _define(self, kind: type) -> Schema:
        name = kind.__name__
        if name not in self.definitions:
            self.definitions[name] = {}  # a type may hold itself
            hints = get_type_hints(kind)
            fields = [field.name for field in dataclasses.fields(kind)]
            self.definitions[name] = {
                "description": (kind.__doc__ or "").strip().split("\n")[0],
                **record({field: self.of(hints[field]) for field in fields}),
            }
        return {"$ref": f"#/$defs/{name}"}


def record(properties: dict[str, Schema], optional: tuple[str, ...] = ()) -> Schema:
    """An object with exactly these keys."""
    return {
        "type": "object",
        "properties": properties,
        "required": [key for key in properties if key not in optional],
        "additionalProperties": False,
    }


def maybe(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def rows(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def results_schema() -> Schema:
    """The whole schema."""
    t = Types()
    shared = _shared(t)
    vtt = record({**shared, **_verdicts(t)}, optional=(*_HEADERS, *_MACHINES))
    ratings = record({**shared, **_ratings(t)}, optional=_HEADERS)
    vtt["properties"]["layout"] = {"const": "vtt"}
    ratings["properties"]["layout"] = {"const": "mrmc"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Results of a reader study",
        "description": "Every number of an analysis, unrounded. A value that does not exist is "
        "null beside a reason. Layout vtt: judgments with verdicts; layout mrmc: ratings of one or "
        "several modalities.",
        "oneOf": [{"$ref": "#/$defs/VttResults"}, {"$ref": "#/$defs/MrmcResults"}],
        "$defs": {"VttResults": vtt, "MrmcResults": ratings, **dict(sorted(t.definitions.items()))},
    }


#: Where the data came from: of a trial, or of a file.
_HEADERS = ("trial", "flow", "source", "validation")


#: Present where machines read the same cases; the cards say what each was trained on.
_MACHINES = ("machines", "machine_cards")


def _shared(t: Types) -> dict[str, Schema]:
    texts = (
        "slug", "title", "protocol_sha256", "software", "judgments_sha256", "cases_sha256",
    )  # fmt: skip
    trial = dict.fromkeys(texts, TEXT)
    trial |= {key: maybe(TEXT) for key in ("opened_at", "closed_at", "unblinded_at")}
    source = dict.fromkeys(("name", "layout", "sha256", "software"), TEXT)
    source |= {key: maybe(TEXT) for key in ("title", "plan", "plan_sha256")}
    checked = dict.fromkeys(("passed", "failed", "skipped"), COUNT)
    return {
        "schema": {"const": SCHEMA},
        "trial": record({**trial, "protocol_version": COUNT}),
        "flow": record(dict.fromkeys(("assigned", "answered", "practice"), COUNT)),
        "source": record({**source, "rows": COUNT}),
        "validation": maybe(
            record({"engine": TEXT, **checked, "sets": rows(record({"name": TEXT, **checked}))})
        ),
        "engine": TEXT,
        "layout": TEXT,
        "plan": t.of(Plan),
        "positive": TEXT,
        "negative": TEXT,
        "notes": rows(TEXT),
    }


def _counts() -> dict[str, Schema]:
    keys = (
        "n_readers", "n_cases", "n_positive", "n_negative", "n_readings", "n_possible",
        "n_missing", "n_repeats", "n_units",
    )  # fmt: skip
    reader = dict.fromkeys(("n_positive", "n_negative", "n_missing", "n_repeats"), COUNT)
    return {
        **dict.fromkeys(keys, COUNT),
        "fully_crossed": FLAG,
        "unit": {"enum": ["case", "patient"]},
        "by_reader": rows(record({"reader": TEXT, **reader}, optional=("n_repeats",))),
    }


def _primary(t: Types) -> Schema:
    return record(
        {
            "metric": TEXT,
            "label": TEXT,
            "positive": TEXT,
            "result": maybe(t.of(Inference)),
            "margin": NUMBER,
            "verdict": t.of(Verdict),
            "sentence": TEXT,
            "question": {"enum": ["guessing", "difference", "any difference"]},
            "test": maybe(t.of(GlobalTest)),
        },
        optional=("question", "test"),
    )


def _precision(t: Types) -> Schema:
    return record({
        "components": maybe(t.of(Components)),
        "designs": rows(t.of(PlanRow)),
        "needed": rows(t.of(CasesNeeded)),
        "reason": maybe(TEXT),
    })  # fmt: skip


def _route(t: Types) -> dict[str, Schema]:
    return {"name": TEXT, "generalizes_to": TEXT, "is_primary": FLAG, "result": t.of(Inference)}


def _verdicts(t: Types) -> dict[str, Schema]:
    fooled = rows(t.of(FoolGroup))
    groups = rows(t.of(Subgroup))
    both = {"wilson": t.of(Proportion), "clopper_pearson": t.of(Proportion)}
    t.of(CaseRow)
    case = t.definitions["CaseRow"]["properties"] | {
        "organ": TEXT, "size_mm": maybe(NUMBER), "size_band": TEXT, "generator": TEXT,
    }  # fmt: skip
    differ = maybe(t.of(Heterogeneity))
    return {
        "data": record({
            **_counts(),
            "score_levels": rows(NUMBER),
            "has": {"type": "object", "additionalProperties": FLAG},
        }),
        "primary": _primary(t),
        "endpoints": record({key: t.of(OrSingle) for key in ENDPOINTS}),
        "methods": rows(record(_route(t))),
        "permutation": t.of(Permutation),
        "reader_average": record({key: t.of(ReaderAverage) for key in ENDPOINTS}),
        "readers": rows(t.of(ReaderRow)),
        "pooled": record({
            "label": TEXT,
            "table": t.of(Confusion),
            "rates": record({key: record(both) for key in RATES}),
            "derived": {"type": "object", "additionalProperties": t.of(Value)},
        }),
        "roc_average": maybe(t.of(RocCurve)),
        "fool_rate": record({
            "overall": t.of(FoolGroup), "by_organ": fooled, "by_size": fooled,
            "by_generator": fooled,
        }),
        "cases": rows(record(case)),
        "subgroups": record({"organ": groups, "size": groups}),
        "heterogeneity": record({"organ": differ, "size": differ}),
        "generators": maybe(t.of(OrMulti)),
        "agreement": t.of(InterReader),
        "intra_reader": maybe(t.of(IntraReader)),
        "order": maybe(t.of(OrderEffect)),
        "response_time": maybe(t.of(RtModel)),
        "reader_facts": record({"heterogeneity": t.of(CochranQ), "experience": t.of(Spearman)}),
        "confidence": t.of(Confidence),
        "calibration": maybe(t.of(Calibration)),
        "sensitivity": record({
            "outcome": TEXT, "twoway_cluster": t.of(TwoWay), "gee_reader": t.of(Gee),
            "gee_case": t.of(Gee), "sdt_glmm": t.of(Glmm),
        }),
        "precision": _precision(t),
        "machines": rows(t.of(MachineResult)),
        "machine_cards": rows(record({
            **dict.fromkeys(("name", "title", "looks_at", "learned_from", "rule"), TEXT),
            "trained": FLAG, "read_before_unblinding": FLAG, "read_at": TEXT,
            "out_of_fold_auc": maybe(t.of(Auc)), "folds": COUNT, "cuts": rows(NUMBER),
            "facts": {"type": "object"}, "examples": maybe({"type": "object"}),
        })),
    }  # fmt: skip


def _ratings(t: Types) -> dict[str, Schema]:
    reader = {
        "reader": TEXT, "n_positive": COUNT, "n_negative": COUNT, "auc": t.of(Auc),
        "roc": maybe(t.of(RocCurve)),
    }  # fmt: skip
    return {
        "data": record({**_counts(), "n_modalities": COUNT, "modalities": rows(TEXT)}),
        "primary": _primary(t),
        "conditions": rows(record({
            "name": TEXT,
            "data": record(_counts()),
            "endpoint": t.of(OrSingle),
            "methods": rows(record(_route(t))),
            "readers": rows(record(reader)),
            "roc_average": maybe(t.of(RocCurve)),
        })),
        "comparison": maybe(t.of(OrMulti)),
        "precision": maybe(_precision(t)),
    }  # fmt: skip


if __name__ == "__main__":
    json.dump(results_schema(), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
