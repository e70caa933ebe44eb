"""The engine against reference numbers: R's MRMCaov, pROC, DescTools and closed formulas."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from readerstudy.analysis.stats.reference import Dataset, compare, run_check, run_folder
from readerstudy.analysis.stats.reference.adapters import ADAPTERS

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
    assert sum(o.state == "passed" for o in outcomes) >= 35


def test_own_copies_equal_the_shared_files(shared_stats: Path) -> None:
    for path in OWN.iterdir():
        assert path.read_bytes() == (shared_stats / path.name).read_bytes(), path.name


@pytest.mark.parametrize(
    ("want", "got"),
    [(1.0, 1.001), ([1, 2], [1]), ({"a": 1}, {}), (None, 0), (True, False), (1.0, None)],
)
def test_compare_finds_a_difference(want: object, got: object) -> None:
    assert list(compare(want, got, 1e-9, 1e-7))
