"""Unlucky readers and tables: a reason where a number is missing, never NaN, never an exception."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from readerstudy.analysis.stats import agreement, calibration, cluster, subgroup, timing
from readerstudy.analysis.stats.foolrate import by_case
from readerstudy.analysis.stats.glmm import sdt_glmm
from readerstudy.analysis.stats.machine import model_vs_readers
from readerstudy.analysis.stats.readings import Readings
from readerstudy.analysis.stats.serialize import to_json

from .degenerate import NAN, STUDIES, frame, readings


def _right(r: Readings) -> tuple[Any, Any]:
    rows = frame(r)
    return (rows["verdict"] == rows["truth"]).to_numpy(dtype=float), rows


def _groups(r: Readings) -> list[str]:
    return [("a", "b", "c")[k % 3] for k in range(len(r.cases))]


METHODS: dict[str, Callable[[Readings], Any]] = {
    "inter": lambda r: agreement.inter_reader(r, rng=np.random.default_rng(0), replicates=20),
    "intra": lambda r: agreement.intra_reader(frame(r), frame(r, repeat=2)),
    "no repeats": lambda r: agreement.intra_reader(frame(r), frame(r, repeat=2).iloc[:0]),
    "chance": lambda r: [
        agreement.chance_corrected(agreement.ratings_of(r, "score"), w)
        for w in ("linear", "quadratic", "radical", "circular", "bipolar")
    ],
    "alpha": lambda r: [
        agreement.kripp_alpha(agreement.ratings_of(r, "score"), level)
        for level in ("nominal", "ordinal", "interval", "ratio")
    ],
    "marginal": lambda r: [
        agreement.stuart_maxwell(r.score[0], r.score[-1]), agreement.bowker(r.call[0], r.call[-1])
    ],
    "glmm": sdt_glmm,
    "order": lambda r: timing.order_effect(frame(r), unit="patient_id"),
    "time": lambda r: timing.rt_model(frame(r)),
    "cochran": timing.cochran_q,
    "experience": lambda r: timing.experience(r, frame(r)),
    "calibration": lambda r: calibration.calibration(
        frame(r), rng=np.random.default_rng(0), replicates=20
    ),
    "confidence": calibration.confidence,
    "heterogeneity": lambda r: subgroup.heterogeneity(
        r, _groups(r), "accuracy", min_cases=1, min_readers=1
    ),
    "machine": lambda r: model_vs_readers(r, np.arange(len(r.cases)) - 1.5),
    "machine without scores": lambda r: model_vs_readers(r, np.full(len(r.cases), NAN)),
    "cases": by_case,
    "gee": lambda r: cluster.gee(
        _right(r)[0], _right(r)[1]["reader_id"], {"o": _right(r)[1]["order_index"].to_numpy()},
        name="reader_id", robust="bias_reduced",
    ),
    "two-way": lambda r: cluster.twoway_cluster(
        _right(r)[0], _right(r)[1]["reader_id"], _right(r)[1]["case_id"]
    ),
    "slope": lambda r: cluster.twoway_slope(
        _right(r)[0], _right(r)[1]["order_index"].to_numpy(), _right(r)[1]["reader_id"],
        _right(r)[1]["case_id"],
    ),
}  # fmt: skip


#: Numbers and intervals that need a reason when there is none.
NAMED = ("estimate", "ci", "ci95", "mean", "rate", "value", "kappa", "p_rope")


def silent(found: Any, at: str = "") -> list[str]:
    """Places that have no estimate and do not say why."""
    if isinstance(found, dict):
        return [p for k, v in found.items() for p in silent(v, f"{at}.{k}")]
    if isinstance(found, (list, tuple)):
        return [p for i, v in enumerate(found) for p in silent(v, f"{at}[{i}]")]
    if not is_dataclass(found):
        return []
    own = {f.name: getattr(found, f.name) for f in fields(found)}
    bad = []
    missing = any(own.get(name, 0) is None for name in NAMED)
    if "reason" in own and own["reason"] is None and missing:
        bad.append(at)
    return bad + [p for k, v in own.items() for p in silent(v, f"{at}.{k}")]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", list(STUDIES))
def test_unlucky_studies_get_reasons_not_errors(name: str) -> None:
    for method, run in METHODS.items():
        found = run(STUDIES[name])
        to_json(found)
        assert not silent(found), (method, silent(found))


@given(
    st.integers(1, 4).flatmap(
        lambda k: st.lists(
            st.lists(st.sampled_from([-3.0, -1.0, 1.0, 2.0, NAN]), min_size=2 * k, max_size=2 * k),
            min_size=1, max_size=4,
        )
    ),
    st.integers(0, 255),
)  # fmt: skip
@settings(max_examples=8, deadline=None)
def test_any_small_study_gets_numbers_or_reasons(score: list[list[float]], truth: int) -> None:
    k = len(score[0])
    r = readings(score, [(truth >> i) & 1 for i in range(k)])
    if not r.read.any():
        return
    for method, run in METHODS.items():
        found = run(r)
        to_json(found)
        assert not silent(found), (method, silent(found))
