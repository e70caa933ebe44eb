"""Machines beside the readers of any table: right numbers, refusals, and readers left alone."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from readerstudy.analysis.stats.beside import compare
from readerstudy.analysis.stats.machine import model_vs_readers
from readerstudy.analysis.stats.perreader import per_reader
from readerstudy.analysis.stats.plan import Plan
from readerstudy.analysis.stats.tidy import JudgmentsError, check, read_judgments, to_readings
from readerstudy.analysis.tablefile import Wanted, analyze_file

from .factory import demo_rows

ROWS = [row for row in demo_rows(5, 60) if row["repeat"] == "1"]
KEPT = ("reader_id", "case_id", "truth", "verdict", "confidence")


def write(path: Path, rows: list[dict[str, Any]], columns: tuple[str, ...] = KEPT) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def score(row: dict[str, str]) -> int:
    return int(row["confidence"]) * (1 if row["verdict"] == "synthetic" else -1)


def as_machine(reader: str, name: str = "twin") -> list[dict[str, Any]]:
    """A machine that says what a reader says."""
    return [
        {"reader_id": name, "case_id": row["case_id"], "score": score(row)}
        for row in ROWS if row["reader_id"] == reader
    ]  # fmt: skip


@pytest.fixture
def judgments(tmp_path: Path) -> Path:
    return write(tmp_path / "readings.csv", ROWS)


@pytest.fixture
def machines(tmp_path: Path) -> Path:
    return write(tmp_path / "machines.csv", as_machine("R01") + as_machine("R02", "other"),
                 ("reader_id", "case_id", "score"))  # fmt: skip


def readings_of(path: Path, positive: str = "synthetic") -> Any:
    plan = Plan(positive, {"synthetic": "real", "real": "synthetic"}[positive])
    return to_readings(check(read_judgments(path), plan), plan)


@pytest.mark.parametrize("positive", ["synthetic", "real"])
def test_a_machine_that_says_what_a_reader_says_has_the_reader_s_numbers(
    judgments: Path, machines: Path, positive: str
) -> None:
    readings = readings_of(judgments, positive)
    human = next(row for row in per_reader(readings) if row.reader == "R01")
    found = compare(readings, read_judgments(machines))
    twin = next(one for one in found if one.name == "twin")
    assert twin.row.table == human.table
    assert twin.row.auc == human.auc
    assert twin.n_cases == 60
    assert twin.raw_auc is None


def test_the_difference_is_that_of_the_machine_engine_and_holm_goes_over_machines(
    judgments: Path, machines: Path
) -> None:
    readings = readings_of(judgments)
    found = compare(readings, read_judgments(machines))
    first = readings.score[readings.readers.index("R01")]
    alone = model_vs_readers(readings, first, "auc", name="twin")
    twin = next(one for one in found if one.name == "twin")
    assert next(v for v in twin.versus if v.metric == "auc") == alone
    p = [next(v for v in one.versus if v.metric == "auc").difference.p for one in found]
    assert [one.p_holm for one in found] == pytest.approx(
        [min(1.0, 2 * x) if x == min(p) else max(2 * min(p), x) for x in p]
    )


def test_a_machine_without_one_class_has_a_reason(judgments: Path) -> None:
    readings = readings_of(judgments)
    real = [c for c, made in zip(readings.cases, readings.is_positive, strict=True) if not made]
    import pandas as pd

    table = pd.DataFrame({"reader_id": "half", "case_id": real, "score": 1.0})
    (one,) = compare(readings, table)
    auc = next(v for v in one.versus if v.metric == "auc")
    assert auc.machine is None and auc.reason == "the machine rated no cases of a class"
    assert one.row.specificity.estimate == 0.0


def test_a_machine_that_calls_every_case_real_has_no_interval_of_width_zero(
    judgments: Path,
) -> None:
    import pandas as pd

    readings = readings_of(judgments)
    table = pd.DataFrame({"reader_id": "naive", "case_id": readings.cases, "score": -1.0})
    (one,) = compare(readings, table)
    found = {v.metric: v for v in one.versus}
    for metric, value in (("sensitivity", 0.0), ("specificity", 1.0), ("balanced_accuracy", 0.5)):
        assert found[metric].machine == value
        assert found[metric].machine_ci95 is None
        assert found[metric].reason == "the machine's value has no spread over the cases"
        assert found[metric].difference.ci95 is not None, "readers have spread"
    assert found["accuracy"].machine_ci95 is not None


def test_the_command_sets_machines_beside_and_leaves_readers_alone(
    judgments: Path, machines: Path
) -> None:
    def quiet(done: int, total: int, words: str) -> None:
        """No progress."""

    alone = analyze_file(Wanted(judgments), quiet).results
    beside = analyze_file(Wanted(judgments, machines=machines), quiet).results
    assert [one["name"] for one in beside.pop("machines")] == ["other", "twin"]
    assert json.dumps(beside) == json.dumps(alone)


def test_probabilities_take_their_threshold(judgments: Path, tmp_path: Path) -> None:
    rows = [{**row, "score": 0.5 + row["score"] / 20} for row in as_machine("R01")]
    path = write(tmp_path / "p.csv", rows, ("reader_id", "case_id", "score"))
    readings = readings_of(judgments)
    human = next(row for row in per_reader(readings) if row.reader == "R01")
    (cut,) = compare(readings, read_judgments(path), threshold=0.5)
    (uncut,) = compare(readings, read_judgments(path))
    assert cut.row.table == human.table
    assert uncut.row.sensitivity.estimate == 1.0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"score": "much"}, "machines.csv: score is not a number in row 2."),
        ({"case_id": "Z9"}, "machines.csv: no reader has read the case 'Z9' in row 2."),
        ({"reader_id": "R02"}, "a reader of the judgments has the same name 'R02' in row 2."),
        ({"case_id": ""}, "machines.csv: case_id is empty in row 2."),
    ],
)
def test_a_bad_table_of_machines_is_one_sentence_and_nothing_is_written(
    judgments: Path, tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:
    rows = as_machine("R01")
    rows[0] |= change
    path = write(tmp_path / "machines.csv", rows, ("reader_id", "case_id", "score"))
    out = tmp_path / "out"
    with pytest.raises(CommandError) as caught:
        call_command("analyze", str(judgments), out=out, machines=path)
    assert sentence in str(caught.value) and caught.value.returncode == 2
    assert not out.exists()


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        ("reader_id,case_id", "has no column score"),
        ("case_id,score", "has no column reader_id"),
        ("reader_id,case_id,score,mood", "unknown column 'mood'"),
        ("reader_id,case_id,score", "has a header but no rows"),
    ],
)
def test_a_wrong_header_is_named(judgments: Path, header: str, sentence: str) -> None:
    import io

    readings = readings_of(judgments)
    with pytest.raises(JudgmentsError, match=sentence):
        compare(readings, read_judgments(io.BytesIO(f"{header}\n".encode()), "machines.csv"))


def test_the_same_case_twice_is_refused(judgments: Path, tmp_path: Path) -> None:
    rows = as_machine("R01")
    path = write(tmp_path / "m.csv", [*rows, rows[0]], ("reader_id", "case_id", "score"))
    with pytest.raises(JudgmentsError, match="more than once in rows 2, 62"):
        compare(readings_of(judgments), read_judgments(path))


def test_ratings_without_verdicts_are_refused(tmp_path: Path, machines: Path) -> None:
    path = tmp_path / "mrmc.csv"
    path.write_text("reader,case,truth,rating\nA,1,1,2\nA,2,0,1\nB,1,1,3\nB,2,0,1\n")
    with pytest.raises(CommandError, match="--machines takes judgments with verdicts"):
        call_command("analyze", str(path), out=tmp_path / "out", machines=machines)
