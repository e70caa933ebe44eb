"""The engine against reference numbers: R's MRMCaov, pROC, DescTools and closed formulas."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from readerstudy.analysis.stats.reference import compare, run_check, run_folder
from readerstudy.analysis.stats.reference.adapters import ADAPTERS
from readerstudy.analysis.stats.reference.dataset import Dataset

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


def test_shared_reference_folder_has_no_failure(shared_stats: Path) -> None:
    outcomes = list(run_folder(shared_stats))
    failed = [f"{o.dataset} {o.check}: {o.lines[0]}" for o in outcomes if o.state == "failed"]
    assert not failed, "\n".join(failed)
    assert sum(o.state == "passed" for o in outcomes) >= 54


def test_own_copies_equal_the_shared_files(shared_stats: Path) -> None:
    for path in OWN.iterdir():
        assert path.read_bytes() == (shared_stats / path.name).read_bytes(), path.name


@pytest.mark.parametrize(
    ("want", "got"),
    [(1.0, 1.001), ([1, 2], [1]), ({"a": 1}, {}), (None, 0), (True, False), (1.0, None)],
)
def test_compare_finds_a_difference(want: object, got: object) -> None:
    assert list(compare(want, got, 1e-9, 1e-7))


def test_command_prints_the_count_and_fails_on_a_wrong_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("check_statistics", str(OWN))
    out = capsys.readouterr().out
    assert out.splitlines()[-1].endswith("skipped")
    assert " 0 failed" in out
    assert "the engine has no method" in out
    document = json.loads((OWN / "sdt.expected.json").read_text())
    document["checks"][0]["expected"]["dprime"] += 1e-6
    (tmp_path / "sdt.expected.json").write_text(json.dumps(document))
    with pytest.raises(CommandError, match=r"4 passed, 1 failed, 0 skipped") as caught:
        call_command("check_statistics", str(tmp_path))
    assert caught.value.returncode == 1
    assert "sdt 20_5_10_15 .dprime: expected" in capsys.readouterr().out


def test_command_names_a_folder_without_checks(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"holds no \*\.expected\.json") as caught:
        call_command("check_statistics", str(tmp_path))
    assert caught.value.returncode == 2
