"""The engine against reference numbers: R's MRMCaov, pROC, DescTools and closed formulas."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from django.core.management import CommandError, call_command

from readerstudy.analysis import validation
from readerstudy.analysis.stats.conditions import Conditions
from readerstudy.analysis.stats.multi import or_multi
from readerstudy.analysis.stats.planning import power_two_modalities
from readerstudy.analysis.stats.reference import compare, run_check, run_folder
from readerstudy.analysis.stats.reference.adapters import ADAPTERS
from readerstudy.analysis.stats.reference.dataset import Dataset
from readerstudy.analysis.stats.simulation import RoeMetz, simulate_conditions

OWN = Path(__file__).parent / "data"


def _own_checks() -> list[pytest.param]:
    found = []
    for path in sorted(OWN.glob("*.expected.json")):
        document = json.loads(path.read_text())
        dataset = Dataset(OWN, document)
        found += [
            pytest.param(dataset, check, id=f"{dataset.name}-{check['id']}")
            for check in document["checks"]
            if check["method"] in ADAPTERS
        ]
    return found


@pytest.mark.parametrize(("dataset", "check"), _own_checks())
def test_reference_number(dataset: Dataset, check: dict) -> None:
    outcome = run_check(dataset, check)
    assert outcome.state == "passed", "\n".join(outcome.lines)


def test_every_check_of_the_shared_references_passes(shared_stats: Path) -> None:
    outcomes = list(run_folder(shared_stats))
    others = [f"{o.dataset} {o.check} {o.state}: {o.lines[0]}" for o in outcomes
              if o.state != "passed"]  # fmt: skip
    assert not others, "\n".join(others)
    assert len(outcomes) >= 99
    assert validation.summary(outcomes) == validation.stored(), (
        "reports print another outcome: run manage.py check_statistics ../shared/stats --record"
    )


def test_own_copies_equal_the_shared_files(shared_stats: Path) -> None:
    for path in OWN.iterdir():
        assert path.read_bytes() == (shared_stats / path.name).read_bytes(), path.name


@pytest.mark.parametrize(
    ("want", "got"),
    [
        (1.0, 1.001),
        (1.0, float("nan")),
        ([1, 2], [1]),
        ({"a": 1}, {}),
        (None, 0),
        (True, False),
        (1.0, None),
    ],
)
def test_compare_finds_a_difference(want: object, got: object) -> None:
    assert list(compare(want, got, 1e-9, 1e-7))


def test_command_prints_the_count_and_fails_on_a_wrong_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("check_statistics", str(OWN))
    out = capsys.readouterr().out
    assert out.splitlines()[-1].endswith(" 0 failed, 0 skipped")
    document = json.loads((OWN / "sdt.expected.json").read_text())
    document["checks"][0]["expected"]["dprime"] += 1e-6
    document["checks"].append({"id": "odd", "method": "tarot", "args": [], "expected": {}})
    broken = {"id": "bare", "method": "power_single", "args": {}, "expected": {"se": 1}}
    document["checks"].append(broken)
    (tmp_path / "sdt.expected.json").write_text(json.dumps(document))
    with pytest.raises(CommandError, match=r"4 passed, 2 failed, 1 skipped") as caught:
        call_command("check_statistics", str(tmp_path))
    assert caught.value.returncode == 1
    out = capsys.readouterr().out
    assert "sdt 20_5_10_15 .dprime: expected" in out
    assert "sdt odd skipped: the engine has no method tarot" in out
    assert "sdt bare could not be computed: KeyError: 'J'" in out


def test_what_cannot_be_run_is_named_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.expected.json").write_text('{"checks": [')
    (tmp_path / "b.expected.json").write_text("[]")
    check = {"id": "f", "method": "fleiss_kappa", "args": {}, "expected": {"kappa": 1}}
    (tmp_path / "c.expected.json").write_text(
        json.dumps({"dataset": "c", "data_file": "gone.csv", "checks": [{}, check]})
    )
    with pytest.raises(CommandError, match="0 passed, 4 failed, 0 skipped"):
        call_command("check_statistics", str(tmp_path))
    a, b, c, d = capsys.readouterr().out.splitlines()
    assert a.startswith("a - a.expected.json is not JSON: ")
    assert b.startswith('b - b.expected.json needs "dataset" and "checks"')
    assert c == 'c 1 check 1 needs "id", "method" and "expected"'
    assert d == "c f could not be computed: gone.csv does not stand beside the check"


@pytest.fixture(scope="module")
def other_set(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Conditions]:
    """A set in the same format that nobody has seen: ten readers, three modalities, a gap."""
    rng = np.random.default_rng(31)
    aucs = {"1": 0.7, "2": 0.8, "10": 0.75}
    made = simulate_conditions(RoeMetz.of("HL"), aucs, 10, 14, 16, rng)
    named = [replace(own, readers=tuple(str(j + 1) for j in range(10))) for own in made.each]
    rows = [
        {"reader": reader, "modality": name, "case": case, "truth": int(positive), "rating": rating}
        for name, own in zip(made.names, named, strict=True)
        for reader, row in zip(own.readers, own.score, strict=True)
        for case, positive, rating in zip(own.cases, own.is_positive, row, strict=True)
    ]
    folder = tmp_path_factory.mktemp("other")
    pd.DataFrame(rows).to_csv(folder / "other.csv", index=False)
    return folder, Conditions(made.names, tuple(named))


def ask(folder: Path, method: str, args: dict, expected: object) -> list[str]:
    document = {"dataset": "other", "data_file": "other.csv"}
    check = {"id": method, "method": method, "args": args, "expected": expected, "atol": 1e-9}
    outcome = run_check(Dataset(folder, document), check)
    return [] if outcome.state == "passed" else list(outcome.lines)


@pytest.mark.parametrize("cov", ["jackknife", "DeLong", "unbiased"])
def test_adapters_take_other_sets_with_more_modalities_and_numbered_names(
    other_set: tuple[Path, Conditions], cov: str
) -> None:
    folder, conditions = other_set
    want = or_multi(conditions, "auc", cov.lower())
    expected = {
        "RRRC": {
            "reader_level": [
                {"reader": str(j + 1), "modality": name}
                for name in ("1", "2", "10") for j in range(10)
            ],
            "global_test": {"F": want.rrrc.test.statistic, "df1": 2, "p": want.rrrc.test.p},
            "differences": [
                {"comparison": pair, "p": found.result.p}
                for pair, found in zip(("1 - 2", "1 - 10", "2 - 10"), want.rrrc.differences)
            ],
            "modality_means": [{"modality": name} for name in ("1", "2", "10")],
        },
        "FRRC": {"global_test": {"chi2": want.frrc.test.statistic, "df": 2}},
        "RRFC": {"global_test": {"F": want.rrfc.test.statistic, "df1": 2, "df2": 18}},
    }  # fmt: skip
    args = {"metric": "empirical_auc", "cov": cov, "positive": "truth==1"}
    assert ask(folder, "or_mrmc", args, expected) == []


def test_adapters_of_every_multireader_method_run_on_another_set(
    other_set: tuple[Path, Conditions],
) -> None:
    folder, conditions = other_set
    want = or_multi(conditions)
    assert ask(folder, "dbm_mrmc", {"fom": "Wilcoxon"}, {"F": want.rrrc.test.statistic}) == []
    cut = {"binarise": "rating>=2"}
    for metric in ("binary_sens", "binary_spec", "accuracy", "empirical_auc on 0/1 rating"):
        assert ask(folder, "or_mrmc", {"metric": metric, "cov": "jackknife", **cut}, {}) == []
        one = {"metric": metric, "subset": "modality==10", **cut}
        assert ask(folder, "or_single", one, {}) == []
    rows = [{"reader": str(j + 1), "modality": m} for m in ("1", "2", "10") for j in range(10)]
    assert ask(folder, "delong", {}, rows) == []
    numbered = [{k: int(v) for k, v in row.items()} for row in rows]
    assert ask(folder, "binormal", {}, numbered) == []
    pairs = [("1", "1"), ("2", "2"), ("10", "10"), ("1", "2"), ("1", "10"), ("2", "10")]
    results = [{"modality_1": a, "modality_2": b} for a, b in pairs]
    assert ask(folder, "imrmc", {}, {"results": results, "per_reader": rows}) == []
    assert ask(folder, "holm", {"p": [0.01, 0.04]}, [0.02, 0.04]) == []
    parts = {"VarR": 1e-3, "VarTR": 2e-4, "Cov1": 3.5e-4, "Cov2": 3.4e-4, "Cov3": 2.4e-4,
             "Var": 8e-4}  # fmt: skip
    power = power_two_modalities(7, 90, effect=0.04, var_tr=2e-4, var_error=8e-4, cov1=3.5e-4,
                                 cov2=3.4e-4, cov3=2.4e-4, pilot_cases=30)  # fmt: skip
    asked = {"J7_K90_RRRC_es04": power.power}
    assert ask(folder, "power_mrmc", {"K_star": 30, "var_components": parts}, asked) == []


@pytest.mark.parametrize(
    ("rule", "cases"), [("", 120), ("organ==liver", 24), ("generator==genA", 120)]
)
def test_a_subset_of_a_trial_is_taken_by_any_column(rule: str, cases: int) -> None:
    document = json.loads((OWN / "vtt_demo.expected.json").read_text())
    found = Dataset(OWN, document).subset(rule)
    assert found.n_cases == cases
    assert found.unit_name == "case"
    with pytest.raises(KeyError, match="colour"):
        Dataset(OWN, document).subset("colour==red")


def test_command_names_a_folder_without_checks(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"holds no \*\.expected\.json") as caught:
        call_command("check_statistics", str(tmp_path))
    assert caught.value.returncode == 2
