"""Reports of studies that compare: modalities in a table of ratings, generators in a test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from readerstudy.analysis import figures, report, tables
from readerstudy.analysis.report import texts
from readerstudy.analysis.report.assemble import assemble
from readerstudy.analysis.report.inline import fill, to_text
from readerstudy.analysis.tablefile import Wanted, analyze_file
from tests.conftest import ROOT

from .factory import demo_rows


def quiet(done: int, total: int, message: str) -> None:
    """No progress."""


def results_text(results: dict[str, Any]) -> str:
    return " ".join(to_text(fill(part, results)) for part in texts.results_text(results))


def ratings(path: Path, *modalities: str) -> dict[str, Any]:
    """Results of 3 readers, 18 cases and these modalities."""
    rows = ["reader,modality,case,truth,rating"]
    rows += [
        f"R{r},{m},C{c:02d},{int(c % 3 == 0)},{(5 * r + 3 * c + len(m) * (c % 3 == 0)) % 7}"
        for r in (1, 2, 3)
        for m in modalities
        for c in range(18)
    ]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    found: dict[str, Any] = analyze_file(Wanted(path), quiet).results
    return found


def generators(path: Path, *names: str) -> dict[str, Any]:
    """Results of the demo study with its synthetic cases shared among generators."""
    rows = [row for row in demo_rows(5, 120) if row["repeat"] == "1"]
    made = sorted({row["case_id"] for row in rows if row["truth"] == "synthetic"})
    maker = {case: names[i % len(names)] for i, case in enumerate(made)}
    for row in rows:
        row["generator"] = maker.get(row["case_id"], "")
    lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    found: dict[str, Any] = analyze_file(Wanted(path), quiet).results
    return found


def test_a_study_of_modalities_has_the_same_report(tmp_path: Path) -> None:
    results = ratings(tmp_path / "ratings.csv", "old", "newer", "newest")
    assert results["primary"]["question"] == "any difference"
    assert ("Possible first readings (readers × cases × modalities)", 162) in [
        row[:2] for row in tables.all_tables(results)["flow"].rows
    ]
    schema = json.loads((ROOT / "docs" / "results.schema.json").read_text(encoding="utf-8"))
    found = jsonschema_rs.Draft202012Validator(schema).iter_errors(results)
    assert [str(error) for error in found] == []
    made = tables.all_tables(results)
    assert len(made["comparison"].rows) == 3
    figures_made = list(figures.draw_all(results, screen=False))
    assert {f.name for f in figures_made} == {"differences", "means", "roc", "flow"}
    document = assemble(results, figures_made)
    assert "F(2" in document.sentence
    text = results_text(results)
    assert "The modalities were compared at once with F(2" in text
    assert "after Holm" in text
    assert report.render(results, figures_made, "pdf").startswith(b"%PDF")


def test_each_modality_is_shown_by_every_method(tmp_path: Path) -> None:
    made = tables.all_tables(ratings(tmp_path / "ratings.csv", "old", "newer"))
    rows = [row[:3] for row in made["condition_methods"].rows]
    for modality in ("old", "newer"):
        own = [" ".join(row) for row in rows if row[0] == modality]
        for word in ("jackknife", "DeLong", "unbiased", "iMRMC", "Bootstrap", "Readers fixed"):
            assert any(word in line for line in own), (modality, word)


def test_two_modalities_have_their_difference_in_the_results_text(tmp_path: Path) -> None:
    results = ratings(tmp_path / "ratings.csv", "old", "newer")
    done = results["comparison"]["rrrc"]["differences"][0]
    first, second = done["first"], done["second"]
    text = results_text(results)
    assert f"Between the modalities {first} and {second} the mean AUC differed by" in text
    assert tables.share(done["result"]["estimate"]) in text
    assert tables.open_bounds(done["result"]["ci95"]) in text
    assert "against no difference" in text
    assert "equivalence within ±0.1" in text


@pytest.mark.parametrize("names", [("ours", "theirs"), ("ours", "theirs", "others")])
def test_generators_are_compared_in_the_results_text(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    results = generators(tmp_path / "judgments.csv", *names)
    text = results_text(results)
    done = results["generators"]["rrrc"]
    if len(names) == 2:
        gap = done["differences"][0]["result"]
        assert "Between the generators ours and theirs the mean" in text
        assert tables.share(gap["estimate"]) in text
        assert tables.open_bounds(gap["ci95"]) in text
    else:
        assert "The generators were compared at once with F(2" in text
        assert "after Holm) " in text or "No two generators differ" in text
    one = generators(tmp_path / "one.csv", "ours")
    assert one["generators"] is None
    assert "generators" not in results_text(one)


def test_a_difference_without_an_interval_says_why(tmp_path: Path) -> None:
    path = tmp_path / "one_reader.csv"
    rows = ["reader,modality,case,truth,rating"]
    rows += [f"R1,{m},C{c},{c % 2},{(c + len(m)) % 5}" for m in ("old", "newer") for c in range(8)]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    text = results_text(analyze_file(Wanted(path), quiet).results)
    assert "its uncertainty cannot be computed: fewer than two readers" in text
