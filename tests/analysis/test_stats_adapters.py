"""Checks on sets nobody has seen: words for answers, odd headers, formulas, a named machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from readerstudy.analysis.stats import agreement, cluster
from readerstudy.analysis.stats.machine import model_vs_readers
from readerstudy.analysis.stats.reference import formula, run_file

from .degenerate import NAN, frame, study


def run(folder: Path, name: str, table: pd.DataFrame, checks: list[dict[str, Any]]) -> list[Any]:
    table.to_csv(folder / f"{name}.csv", index=False)
    document = {
        "dataset": name, "data_file": f"{name}.csv",
        "checks": [{"id": str(i), "args": {}, "atol": 1e-9, "rtol": 1e-9, **c}
                   for i, c in enumerate(checks)],
    }  # fmt: skip
    path = folder / f"{name}.expected.json"
    path.write_text(json.dumps(document))
    return list(run_file(path))


def test_words_and_gaps_and_any_header_give_the_numbers_of_the_codes(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    codes = rng.integers(1, 4, (15, 3)).astype(float)
    codes[0, 0] = codes[4, 2] = NAN
    words = {1.0: "faint", 2.0: "grainy", 3.0: "sharp"}
    table = pd.DataFrame(codes, columns=["left", "right", "third"]).map(lambda v: words.get(v, ""))
    table.insert(0, "Unit", [f"u{i}" for i in range(15)])
    whole = codes[~np.isnan(codes).any(axis=1)]
    test = agreement.stuart_maxwell(codes[:, 0], codes[:, 1])
    pair = agreement.cohen(codes[:, 0], codes[:, 2], "linear")
    outcomes = run(tmp_path, "words", table, [
        {"method": "chance_corrected", "args": {"weights": "quadratic"}, "expected": {
            "gwet_ac": {"coeff": agreement.gwet_ac(codes, "quadratic").estimate}}},
        {"method": "fleiss_kappa", "expected": {
            "n": len(whole), "kappa": agreement.fleiss(whole).estimate,
            "per_category": [{"category": w} for w in words.values()]}},
        {"method": "krippendorff_alpha", "expected": {
            "ordinal": agreement.kripp_alpha(codes, "ordinal").estimate}},
        {"method": "stuart_maxwell", "expected": {"statistic": test.statistic, "p": test.p}},
        {"method": "cohen_kappa", "args": {"raters": [1, 3]}, "expected": {
            "linear": {"kappa": pair.estimate, "ci95": pair.ci95}}},
        {"method": "cohen_kappa_matrix", "expected": [
            {"a": 1, "b": 2}, {"a": 1, "b": 3, "kappa": agreement.cohen(
                codes[:, 0], codes[:, 2]).estimate}, {"a": 2, "b": 3}]},
        {"method": "icc", "expected": [{"type": i.kind, "icc": i.estimate}
                                       for i in agreement.icc(codes)]},
    ])  # fmt: skip
    assert [(o.check, o.state, o.lines) for o in outcomes if o.state != "passed"] == []


@pytest.mark.parametrize("args", [{}, {"cad_reader": "2"}])
def test_the_machine_is_the_reader_named_or_the_first(tmp_path: Path, args: dict) -> None:
    r = study(readers=12, cases=20)
    row, column = np.nonzero(r.read)
    table = pd.DataFrame({
        "reader": [str(j + 1) for j in row], "case": np.asarray(r.cases, dtype=object)[column],
        "truth": r.is_positive[column].astype(int), "rating": r.score[row, column],
    })  # fmt: skip
    at = 1 if args else 0
    people = np.arange(12) != at
    want = model_vs_readers(r.of_readers(people), r.score[at])
    gap = want.difference
    outcomes = run(tmp_path, "nicolike", table, [{"method": "model_vs_readers", "args": args,
        "expected": {"fomCAD": want.machine, "avgDiffFom": -gap.estimate, "effect": gap.estimate,
                     "fomRAD": [v.value for v in want.per_reader], "df": gap.df, "pval": gap.p,
                     "CIAvgDiffFom": [-gap.ci95[1], -gap.ci95[0]], "cov2": want.cov2}}],
    )  # fmt: skip
    assert [(o.state, o.lines) for o in outcomes] == [("passed", ())]


def test_formulas_become_columns_or_are_refused() -> None:
    rows = frame(study(readers=3, cases=12)).assign(organ=lambda d: d["case_id"].str[-1])
    got = formula.design(
        rows, "(order_index - mean(order_index))/50 + correct + organ + experience_years + (1|case)"
    )
    assert list(got)[:2] == ["ord", "ok"]
    assert [n for n in got if n.startswith("organ")] == [f"organ{v}" for v in range(1, 10)]
    assert got["ord"].mean() == pytest.approx(0, abs=1e-12)
    assert formula.design(rows, "ns(order_index, 3)") is None
    assert formula.outcome(rows, "log(response_time_s)") == pytest.approx(
        np.log(rows["response_time_s"].to_numpy())
    )
    assert formula.outcome(rows, "reader_id") is None


def test_gee_and_wald_take_any_factor_and_say_what_they_cannot_do(tmp_path: Path) -> None:
    rows = frame(study(readers=5, cases=24))
    table = rows.drop(columns="patient_id").assign(
        organ=[("colon", "liver", "lung")[int(c[1:]) % 3] for c in rows["case_id"]],
        confidence=rows["score"].abs(), order_index=rows["order_index"].astype(int),
        experience_years=1,
    )  # fmt: skip
    right = (table["verdict"] == table["truth"]).to_numpy(dtype=float)
    design = {n: (table["organ"] == n).to_numpy(dtype=float) for n in ("liver", "lung")}
    want = cluster.gee(right, table["reader_id"], design, name="reader_id")
    args = {"formula": "correct ~ organ", "groups": "reader_id", "corstr": "independence"}
    outcomes = run(tmp_path, "small_vtt", table, [
        {"method": "gee", "args": args, "expected": {
            "coef": {"organliver": want.coefficients[1].estimate}}},
        {"method": "gee_wald", "args": args, "expected": {"chi2": want.wald[0], "df": 2}},
        {"method": "gee", "args": {**args, "formula": "correct ~ poly(order_index, 2)"},
         "expected": {}},
        {"method": "glmm", "args": {"formula": "say_synthetic ~ organ + (1|reader)"},
         "expected": {}},
    ])  # fmt: skip
    assert [o.state for o in outcomes] == ["passed", "passed", "skipped", "skipped"], outcomes
