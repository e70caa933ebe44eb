"""`analyze` on tables from anywhere: each defect is one sentence with its rows, exit status 2."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from django.core.management import CommandError, call_command

from readerstudy.analysis.management.commands.analyze import Lines
from readerstudy.analysis.stats.files import read_source
from readerstudy.analysis.stats.modalities import analyze_ratings
from readerstudy.analysis.stats.ratings import check_ratings, to_conditions
from readerstudy.analysis.stats.tidy import JudgmentsError

HEAD = "reader_id,case_id,truth,verdict,confidence\n"
#: Two readers, two cases of each class: enough to be read, too little to conclude.
GOOD = HEAD + "".join(
    f"R{r},C{c},{'synthetic' if c < 3 else 'real'},{v},{1 + (r + c) % 3}\n"
    for r in (1, 2)
    for c, v in ((1, "synthetic"), (2, "real"), (3, "real"), (4, "synthetic"))
)
MRMC = "reader,modality,case,truth,rating\n" + "".join(
    f"{r},{m},c{c},{int(c > 2)},{(3 * r + 2 * c + m * c) % 5}\n"
    for r in (1, 2)
    for m in (1, 2)
    for c in (1, 2, 3, 4)
)


def refused(path: Path, *options: str) -> str:
    """The sentence of a refusal; nothing may be left behind."""
    out = path.parent / "out"
    with pytest.raises(CommandError) as caught:
        call_command("analyze", str(path), "--out", str(out), *options)
    assert caught.value.returncode == 2
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith("."), text
    assert not out.exists()
    assert not list(path.parent.glob(".*part"))
    return text


def row(text: str, number: int, new: str) -> str:
    """The table with one line replaced; the header is row 1."""
    lines = text.splitlines()
    lines[number - 1] = new
    return "\n".join(lines) + "\n"


VTT_DEFECTS = {
    "empty": ("", "readings.csv is empty: it needs a header and one row per reading."),
    "header only": (HEAD, "header but no rows"),
    "unknown column": (
        GOOD.replace("confidence", "colour", 1),
        "Unknown column 'colour': the known ones are reader_id",
    ),
    "column twice": (GOOD.replace("confidence", "verdict", 1), "Column verdict appears twice"),
    "no truth": (GOOD.replace("truth", "organ", 1), "Column truth is missing"),
    "duplicate reading": (
        GOOD + "R1,C2,synthetic,real,1\n",
        "Reader R1 has the same reading of case C2 more than once in rows 3, 10",
    ),
    "truth changes": (
        row(GOOD, 6, "R2,C1,real,synthetic,1"),
        "truth changes within case C1: row 2 has 'synthetic', another value stands in row 6.",
    ),
    "one arm": (
        "\n".join(line for line in GOOD.splitlines() if ",synthetic," not in line[5:17]) + "\n",
        "No first reading has truth 'synthetic'",
    ),
    "rating in words": (
        row(GOOD, 4, "R1,C3,real,real,sure"),
        "confidence is not a number in row 4",
    ),
    "semicolons": (GOOD.replace(",", ";"), "readings.csv is separated by semicolons"),
    "tabs": (GOOD.replace(",", "\t"), "readings.csv is separated by tabs"),
    "ragged": (row(GOOD, 5, "R1,C4,real,synthetic"), "has 4 cells in row 5 but 5 columns"),
    "hole": (GOOD.replace("R2,C1", "\nR2,C1", 1), "has an empty line in row 6"),
    "clipped ids": (
        GOOD.replace("C2", "1.1").replace("C3", "1.2") + "R1,1.1,synthetic,real,1\n",
        "in rows 3, 10: number later readings in the repeat column (if a spreadsheet made 1.1 of "
        "1.10, export the id column as text).",
    ),
    "reader empty": (row(GOOD, 3, " ,C2,synthetic,real,1"), "reader_id is empty in row 3"),
}


@pytest.mark.parametrize("defect", VTT_DEFECTS)
def test_defective_judgments(defect: str, tmp_path: Path) -> None:
    text, said = VTT_DEFECTS[defect]
    path = tmp_path / "readings.csv"
    path.write_text(text, encoding="utf-8")
    assert said in refused(path)


def last_case_is(truth: str) -> str:
    """The ratings with another truth for case c4 in all of its rows."""
    return MRMC.replace("c4,1,", f"c4,{truth},")


MRMC_DEFECTS = {
    "duplicate": (
        MRMC + "1,1,c1,0,3\n",
        "Reader 1 rates case c1 in modality 1 more than once in rows 2, 18",
    ),
    "truth changes": (
        row(MRMC, 6, "1,2,c1,1,3"),
        "truth changes within case c1: row 2 has '0', another value stands in row 6.",
    ),
    "one arm": (MRMC.replace(",1,", ",0,"), "Every case has truth '0': both arms are needed"),
    "three truths": (last_case_is("2"), "truth has the values '0', '1', '2'"),
    "rating in words": (row(MRMC, 4, "1,1,c3,1,high"), "rating is not a number in row 4"),
    "unknown column": (MRMC.replace("modality", "arm", 1), "Unknown column 'arm'"),
    "no case": (row(MRMC, 4, "1,1,,1,3"), "case is empty in row 4"),
}


@pytest.mark.parametrize("defect", MRMC_DEFECTS)
def test_defective_ratings(defect: str, tmp_path: Path) -> None:
    text, said = MRMC_DEFECTS[defect]
    path = tmp_path / "ratings.csv"
    path.write_text(text, encoding="utf-8")
    assert said in refused(path)


IMRMC = (
    "Two readers\nN0: 2\nN1: 2\nNR: 2\nNM: 1\n\nBEGIN DATA:\n"
    + "".join(f"-1,c{c},0,{int(c > 2)}\n" for c in (1, 2, 3, 4))
    + "".join(f"r{r},c{c},A,{(r * c) % 4}\n" for r in (1, 2) for c in (1, 2, 3, 4))
)


IMRMC_DEFECTS = {
    "no truth": (
        IMRMC.replace("-1,c2,0,0\n", ""),
        "Case c2 has no truth (rows 12, 16): add a row with reader -1.",
    ),
    "truth twice": (
        IMRMC.replace("BEGIN DATA:\n", "BEGIN DATA:\n-1,c2,0,0\n"),
        "The truth of case c2 is given again in row 10",
    ),
    "duplicate": (IMRMC + "r1,c1,A,2\n", "more than once in rows 12, 20"),
    "semicolons": (
        IMRMC + "r1;c1;A;2\n",
        "has 1 cells in row 20: an iMRMC row is reader,case,modality,score.",
    ),
    "no rows": (IMRMC.split("-1")[0], "has no rows after 'BEGIN DATA:'"),
    "words": (IMRMC.replace("r1,c1,A,1", "r1,c1,A,x"), "rating is not a number in row 12"),
}


@pytest.mark.parametrize("defect", IMRMC_DEFECTS)
def test_defective_imrmc_file(defect: str, tmp_path: Path) -> None:
    text, said = IMRMC_DEFECTS[defect]
    path = tmp_path / "study.imrmc"
    path.write_text(text, encoding="utf-8")
    assert said in refused(path)


def test_refusals_of_options_and_places(tmp_path: Path) -> None:
    path = tmp_path / "readings.csv"
    path.write_text(GOOD, encoding="utf-8")
    plan = tmp_path / "plan.yaml"
    for text, said in (
        ("primary: accuracy\n", "The plan cannot be used: the primary endpoint is one of"),
        ("margins: 0.1\n", "unknown key 'margins'; the keys are positive"),
        ("margin: wide\n", "margin must be a number, not 'wide'"),
        ("replicates: 10\n", "replicates lie between 100 and"),
        ("size_bands: [{low: 3}]\n", "a size band has the keys label, low and high"),
        (
            "size_bands: [{label: a, high: 10}, {label: b, low: 5}]\n",
            "size bands 'a' and 'b' overlap",
        ),
        (
            "size_bands: [{label: a, high: 5}, {label: a, low: 5}]\n",
            "two size bands have the same label",
        ),
        ("- a\n", "is not a plan"),
        ("a: [\n", "is not YAML in line"),
    ):
        plan.write_text(text, encoding="utf-8")
        assert said in refused(path, "--plan", str(plan))
    assert "truth is never 'fake'" in refused(path, "--positive", "fake")
    assert "is not an iMRMC input file" in refused(path, "--schema", "imrmc")
    assert "There is no file" in refused(tmp_path / "none.csv")
    assert "is a folder" in refused(tmp_path)
    full = tmp_path / "full"
    full.mkdir()
    (full / "kept.txt").write_text("kept")
    with pytest.raises(CommandError, match="is not empty: give another folder"):
        call_command("analyze", str(path), "--out", str(full))
    assert [p.name for p in full.iterdir()] == ["kept.txt"]


def test_encodings(tmp_path: Path) -> None:
    path = tmp_path / "readings.csv"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert read_source(path).table.columns[0] == "reader_id"
    path.write_bytes(GOOD.replace("\n", "\r\n").encode())
    assert len(read_source(path).table) == 8
    path.write_bytes(GOOD.replace("R2", "Zo\xeb").encode("latin-1"))
    assert "row 6 holds the byte 0xeb" in refused(path)
    path.write_bytes(GOOD.encode("utf-16"))
    assert "UTF-16" in refused(path)


def test_parquet_is_read_and_number_ids_are_refused(tmp_path: Path) -> None:
    import fastparquet

    csv = tmp_path / "readings.csv"
    csv.write_text(GOOD.replace("C1", "1.10").replace("C2", "1.1"), encoding="utf-8")
    source = read_source(csv)
    path = tmp_path / "readings.parquet"
    fastparquet.write(str(path), source.table.astype(object))
    assert set(read_source(path).table["case_id"]) == {"1.10", "1.1", "C3", "C4"}
    numbers = source.table.astype(object)
    numbers["case_id"] = [1.1, 1.1, 3.0, 4.0] * 2
    fastparquet.write(str(path), numbers)
    said = refused(path)
    assert (
        "case_id was read as numbers, so 1.10 and 1.1 would be one id (in rows 2, 3, 6, 7)" in said
    )
    path.write_bytes(b"nothing")
    assert "is not a Parquet file" in refused(path)


def test_the_layout_is_told_by_the_header(tmp_path: Path) -> None:
    for name, text, layout in (
        ("a.csv", GOOD, "vtt"),
        ("b.csv", MRMC, "mrmc"),
        ("c.imrmc", IMRMC, "imrmc"),
    ):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        assert read_source(path).layout == layout
    conditions = to_conditions(check_ratings(read_source(tmp_path / "c.imrmc")))
    assert conditions.names == ("A",)
    assert conditions.each[0].is_positive.tolist() == [False, False, True, True]
    assert conditions.each[0].score.tolist() == [[1, 2, 3, 0], [2, 0, 2, 0]]


def test_the_same_study_as_table_and_as_imrmc_file(tmp_path: Path, shared_stats: Path) -> None:
    table = shared_stats / "imrmc_example.csv"
    rows = pd.read_csv(table, dtype=str)
    lines = ["example", "BEGIN DATA:"]
    lines += [f"-1,{c},0,{t}" for c, t in rows.drop_duplicates("case")[["case", "truth"]].values]
    lines += [",".join(r) for r in rows[["reader", "case", "modality", "rating"]].values]
    path = tmp_path / "example.imrmc"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    one = analyze_ratings(check_ratings(read_source(table)))
    assert one == analyze_ratings(check_ratings(read_source(path)))
    published = json.loads((shared_stats / "imrmc_example.expected.json").read_text())
    assert published["dataset"] == "imrmc_example"
    assert one["data"]["modalities"] == ["testA", "testB"]


def test_van_dyke_gives_the_published_difference(shared_stats: Path) -> None:
    """OR-DBM MRMC prints F = 4.46, df 15.26, p 0.0517, and -0.08796 to 0.00036."""
    ratings = check_ratings(read_source(shared_stats / "vandyke.csv"))
    results = analyze_ratings(ratings)
    test = results["comparison"]["rrrc"]["test"]
    assert (round(test["statistic"], 2), round(test["df2"], 2)) == (4.46, 15.26)
    assert round(test["p"], 4) == 0.0517
    low, high = results["primary"]["result"]["ci95"]
    assert (round(low, 5), round(high, 5)) == (-0.08796, 0.00036)
    assert results["primary"]["question"] == "difference"


def test_progress_is_silent_at_first_and_then_tells_the_time_left() -> None:
    said: list[str] = []
    lines = Lines(said.append)
    lines.half(0)(1, 2, "Endpoints")
    assert said == []
    lines.started -= 10.0
    lines.said -= 10.0
    lines.half(0)(1, 2, "Endpoints")
    lines.half(0)(1, 2, "Endpoints")
    assert said == [" 25 %  Endpoints, about 30 s left"]


def test_ratings_need_no_modality_and_may_name_their_classes(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    words = {"truth": "truth", "0": "sound", "1": "ill"}
    rows = [line.split(",") for line in MRMC.splitlines()]
    kept = [(r, c, words[t], v) for r, m, c, t, v in rows if m != "2"]
    text = "".join(",".join(cells) + "\n" for cells in kept)
    path.write_text(text, encoding="utf-8")
    source = read_source(path)
    with pytest.raises(JudgmentsError, match=r"truth is 'ill' or 'sound': name the one"):
        check_ratings(source)
    ratings = check_ratings(source, "ill")
    assert (ratings.positive, ratings.negative) == ("ill", "sound")
    results = analyze_ratings(ratings)
    assert results["comparison"] is None
    assert results["primary"]["question"] == "guessing"
