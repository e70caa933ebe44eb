"""Defective tables are refused in one sentence with the rows."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from readerstudy.analysis.stats.analyze import analyze
from readerstudy.analysis.stats.plan import Plan
from readerstudy.analysis.stats.tidy import (
    JudgmentsError,
    check,
    read_judgments,
    to_readings,
)

CSV = Path(__file__).parent / "data" / "vtt_demo.csv"


@pytest.fixture(scope="module")
def good() -> pd.DataFrame:
    return read_judgments(CSV)


def refused(table: pd.DataFrame, plan: Plan | None = None) -> str:
    with pytest.raises(JudgmentsError) as caught:
        to_readings(check(table, plan), plan)
    text = str(caught.value)
    assert text.endswith("."), text
    assert "\n" not in text
    return text


def edited(table: pd.DataFrame, row: int, column: str, value: object) -> pd.DataFrame:
    """``row`` as in the file: the header is row 1."""
    out = table.astype(object)
    out.loc[row - 2, column] = value
    return out


def test_the_demo_table_passes(good: pd.DataFrame) -> None:
    readings = to_readings(check(good))
    assert (readings.n_readers, readings.n_cases, readings.unit_name) == (13, 120, "case")


@pytest.mark.parametrize(
    ("row", "column", "value", "said"),
    [
        (7, "truth", "fake", "truth is neither 'synthetic' nor 'real' in row 7"),
        (7, "verdict", "", "verdict is neither"),
        (9, "confidence", "high", "confidence is not a number in row 9"),
        (9, "confidence", "0", "confidence must be above zero in row 9"),
        (9, "score", "0", "score is not the confidence with the sign of the verdict in row 9"),
        (5, "reader_id", " ", "reader_id is empty in row 5"),
        (5, "repeat", "1.5", "repeat must be a whole number from 1 up in row 5"),
        (5, "p_synthetic_pct", "101", "p_synthetic_pct is outside 0 to 100 in row 5"),
        (5, "size_mm", "-3", "size_mm is negative in row 5"),
        (5, "response_time_s", "inf", "response_time_s is not a number in row 5"),
        (4, "organ", "spleen", "organ changes within case"),
        (4, "experience_years", "40", "experience_years changes within reader R01"),
    ],
)
def test_defective_cell(
    good: pd.DataFrame, row: int, column: str, value: object, said: str
) -> None:
    assert said in refused(edited(good, row, column, value))


def test_truth_that_changes_within_a_case_names_both_rows(good: pd.DataFrame) -> None:
    case = good.loc[0, "case_id"]
    rows = [i + 2 for i in good.index[good["case_id"] == case]]
    text = refused(edited(good, rows[1], "truth", "real"))
    assert f"truth changes within case {case}: row {rows[0]} has 'synthetic'" in text
    assert f"in row {rows[1]}" in text


def test_duplicate_reading(good: pd.DataFrame) -> None:
    text = refused(pd.concat([good, good.iloc[[3]]], ignore_index=True))
    assert "Reader R01 has the same reading of case" in text
    assert "rows 5, 1822" in text


def test_ids_stay_text(tmp_path: Path, good: pd.DataFrame) -> None:
    few = good[good["case_id"].isin(good["case_id"].unique()[:38])].copy()
    ids = [f"1.{i}" for i in range(1, 21)] + [f"1.{i}0" for i in range(1, 21)]  # 1.1 and 1.10
    few["case_id"] = few["case_id"].map(dict(zip(few["case_id"].unique(), sorted(set(ids)))))
    path = tmp_path / "ids.csv"
    few.to_csv(path, index=False)
    readings = to_readings(check(read_judgments(path)))
    assert {"1.1", "1.10"} <= set(readings.cases)
    text = refused(pd.read_csv(path))
    assert "case_id was read as numbers, so 1.10 and 1.1 would be one id" in text


def test_columns(good: pd.DataFrame) -> None:
    assert "Unknown column 'colour'" in refused(good.assign(colour="red"))
    assert "Column truth is missing" in refused(good.drop(columns="truth"))
    assert "Give confidence or score" in refused(good.drop(columns=["confidence", "score"]))
    twice = pd.concat([good, good[["organ"]]], axis=1)
    assert "Column organ appears twice" in refused(twice)


def test_one_arm_missing(good: pd.DataFrame) -> None:
    assert "No first reading has truth 'real'" in refused(good[good["truth"] == "synthetic"])


def test_empty(tmp_path: Path, good: pd.DataFrame) -> None:
    assert "header but no rows" in refused(good.head(0))
    path = tmp_path / "empty.csv"
    path.write_text("")
    with pytest.raises(JudgmentsError, match=r"empty\.csv is empty"):
        read_judgments(path)
    path.write_bytes(b"\xff\xfe\x00\x01binary")
    with pytest.raises(JudgmentsError, match="is not a CSV table in UTF-8"):
        read_judgments(path)


def test_only_repeats_is_refused(good: pd.DataFrame) -> None:
    assert "No row has repeat 1" in refused(good[good["repeat"] == "2"])


def test_patient_as_unit(good: pd.DataFrame) -> None:
    assert "patient_id is missing" in refused(good, Plan(unit="patient"))
    pairs = good.assign(patient_id=good["case_id"].map(lambda c: f"P{int(c[1:]) // 2:03d}"))
    plain, paired = analyze(good), analyze(pairs)
    assert paired["data"]["unit"] == "patient"
    assert paired["data"]["n_units"] < paired["data"]["n_cases"]
    assert plain["primary"]["result"]["estimate"] == paired["primary"]["result"]["estimate"]
    assert any("the patient, not" in note for note in paired["notes"])


def test_score_is_derived_from_confidence(good: pd.DataFrame) -> None:
    assert analyze(good.drop(columns="score")) == analyze(good)


@pytest.mark.parametrize(
    "bad", [{"primary": "accuracy"}, {"margin": 0.5}, {"margin": 0.0}, {"positive": "real"}]
)
def test_an_impossible_plan_is_refused(bad: dict) -> None:
    with pytest.raises(ValueError, match=r"between|one of|two names"):
        Plan(**bad)
