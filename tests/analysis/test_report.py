"""The report: every number from results.json, accessible, the same bytes twice."""

from __future__ import annotations

import copy
import csv
import io
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from django.core.management import call_command
from pypdf import PdfReader

from readerstudy.analysis import figures, outputs, report, services, tables, validation
from readerstudy.analysis.report import checklists, published
from readerstudy.analysis.report.assemble import assemble
from readerstudy.analysis.report.document import Absent, FigureBlock, TableBlock
from readerstudy.analysis.report.inline import FORMATS, lookup, to_text
from readerstudy.analysis.report.tree import plain
from readerstudy.analysis.stats import ENGINE_VERSION, metrics
from readerstudy.analysis.stats.files import read_source
from readerstudy.analysis.stats.ratings import check_ratings, to_conditions
from readerstudy.analysis.stats.schema import results_schema
from readerstudy.analysis.tablefile import Wanted, analyze_file
from readerstudy.trials.models import Trial
from tests.conftest import ROOT

from .factory import DEMO, demo_rows

PUBLISHED = ROOT / "docs" / "results.schema.json"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`analyze vtt_demo.csv` from end to end, with few replicates."""
    folder = tmp_path_factory.mktemp("analyze")
    plan = folder / "plan.yaml"
    plan.write_text("replicates: 100\nseed: 7\nmargin: 0.1\n", encoding="utf-8")
    call_command(
        "analyze", str(DEMO), "--out", str(folder / "out"), "--plan", str(plan),
        "--title", "The demo study",
    )  # fmt: skip
    return folder / "out"


@pytest.fixture(scope="module")
def results(out: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((out / "results.json").read_text(encoding="utf-8"))
    return document


@pytest.fixture(scope="module")
def drawn(out: Path) -> list[figures.Drawn]:
    """The figures as stored, without drawing them again."""
    return [
        figures.Drawn(
            row["name"], row["title"], row["alt"],
            {f"{row['name']}.svg": (out / "figures" / f"{row['name']}.svg").read_bytes()},
            row["width"], row["height"],
        )
        for row in json.loads((out / "figures.json").read_text(encoding="utf-8"))
    ]  # fmt: skip


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 3 readers and 24 cases with the required columns alone."""
    path = tmp_path_factory.mktemp("small") / "small.csv"
    columns = ("reader_id", "case_id", "truth", "verdict", "confidence")
    rows = [row for row in demo_rows(3, 24) if row["repeat"] == "1"]
    lines = [",".join(columns), *(",".join(row[c] for c in columns) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def quiet(done: int, total: int, message: str) -> None:
    """No progress."""


# ---------------------------------------------------------------------------------- what is made


def test_everything_is_there(out: Path, results: dict[str, Any]) -> None:
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert {"results.json", "report.html", "report.pdf", "figures.json"} <= names
    source = read_source(out / "for-r" / "imrmc.imrmc")
    given = to_conditions(check_ratings(source)).each[0]
    again = to_conditions(check_ratings(read_source(out / "for-r" / "ratings.csv"))).each[0]
    for readings in (given, again):
        auc = metrics.values(readings, "auc")
        assert auc.tolist() == [row["auc"]["estimate"] for row in results["readers"]]
    for kind in figures.kinds():
        assert {f"figures/{kind.name}.svg", f"figures/{kind.name}.png"} <= names
    for name, table in tables.all_tables(results).items():
        assert (out / "tables" / f"{name}.csv").read_bytes() == table.csv()
    assert results["source"]["title"] == "The demo study"
    assert results["source"]["rows"] == 1820
    assert results["plan"]["seed"] == 7


def test_the_published_schema_is_that_of_the_code_and_holds(
    results: dict[str, Any], small: Path
) -> None:
    schema = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    assert schema == results_schema(), (
        "run: python -m readerstudy.analysis.stats.schema > docs/results.schema.json"
    )
    validator = jsonschema_rs.Draft202012Validator(schema)
    assert [str(error) for error in validator.iter_errors(results)] == []
    assert validator.is_valid(analyze_file(Wanted(small), quiet).results)
    broken = copy.deepcopy(results)
    broken["primary"]["verdict"]["code"] = "maybe"
    assert not validator.is_valid(broken)
    broken = copy.deepcopy(results)
    broken["data"]["n_readers"] = -1
    assert not validator.is_valid(broken)
    broken = copy.deepcopy(results)
    del broken["endpoints"]["auc"]["rrrc"]["reason"]
    assert not validator.is_valid(broken)


def test_the_same_table_gives_the_same_bytes(
    out: Path, small: Path, results: dict[str, Any], drawn: list[figures.Drawn]
) -> None:
    once, again = (
        outputs.results_bytes(analyze_file(Wanted(small), quiet).results) for _ in range(2)
    )
    assert once == again
    for kind in figures.kinds()[:2]:
        fresh = figures.draw(kind, results, screen=False)
        stored = next(figure for figure in drawn if figure.name == kind.name)
        assert fresh is not None
        assert fresh.files[f"{kind.name}.svg"] == stored.files[f"{kind.name}.svg"]
    for form in report.FORMATS:
        assert report.render(results, drawn, form) == (out / f"report.{form}").read_bytes()


# ------------------------------------------------------------------------------------- the words


def test_X9_every_number_in_the_text_is_the_one_in_the_results(
    results: dict[str, Any], drawn: list[figures.Drawn]
) -> None:
    document = assemble(results, drawn)
    numbers = document.numbers()
    assert len(numbers) > 40
    for number in numbers:
        value = lookup(results, number.path)
        assert value == number.value
        assert number.text in {show(value) for show in FORMATS.values() if _shows(show, value)}
    listed = plain(document)["numbers"]
    assert [row["index"] for row in listed] == list(range(1, len(numbers) + 1))
    assert all(json.loads(row["value"]) == lookup(results, row["path"]) for row in listed)


def _shows(show: Any, value: Any) -> bool:
    try:
        show(value)
    except (TypeError, ValueError):
        return False
    return True


def test_the_text_says_what_the_numbers_say(results: dict[str, Any]) -> None:
    document = assemble(results, [])
    said = [to_text(block.content) for block in document.sections[1].blocks]
    assert (
        "The mean AUC was 0.669 (95 % interval 0.610 to 0.729; df 64.2; p\xa0<\xa00.001" in said[0]
    )
    assert document.answer == "Readers can tell"
    assert "whole 90 % interval lies beyond the margin" in document.meaning
    assert "at a Fleiss' kappa of 0.17" in said[2]
    worse = copy.deepcopy(results)
    worse["data"]["n_missing"] = 60
    worse["agreement"]["groups"]["all"]["fleiss"]["n"] = 4
    rows = {row[3]: row[1] for row in tables.all_tables(worse)["agreement"].rows[:9]}
    assert (rows["Fleiss' kappa"], rows["Gwet's AC1"]) == (4, 120)
    worse["endpoints"]["auc"]["n_readers"] = 12
    worse["primary"]["result"]["ci90"] = [0.55, 0.7]
    found = assemble(worse, [])
    told = [to_text(block.content) for block in found.sections[1].blocks]
    assert "was 0.669 in the 12 readers who answered cases of both classes (95 %" in told[0]
    assert "at a Krippendorff's alpha of 0.17" in told[2]
    assert "may differ from it by more than the margin" in found.meaning
    worse["primary"]["verdict"]["code"] = "inconclusive"
    assert "not evidence that readers cannot tell" in assemble(worse, []).meaning
    worse["primary"]["verdict"] |= {"code": "different", "above_null": False}
    assert assemble(worse, []).answer == "Readers can tell, but the wrong way round"


def test_every_table_and_figure_is_there_or_says_why_not(
    results: dict[str, Any], drawn: list[figures.Drawn], small: Path
) -> None:
    bare = analyze_file(Wanted(small), quiet).results
    plan = to_text(dict(assemble(bare, []).header.rows)["Plan"])
    assert "nothing here shows that the margin was set before" in plan
    for document, absent in ((assemble(results, drawn), {"T7", "T14"}), (assemble(bare, []), None)):
        labels, missing = set(), set()
        for section in document.sections:
            for block in section.blocks:
                if isinstance(block, TableBlock | FigureBlock | Absent):
                    labels.add(block.label)
                if isinstance(block, Absent):
                    missing.add(block.label)
                    assert block.why
        assert {f"T{i}" for i in range(1, 16)} <= labels
        assert {f"F{i}" for i in range(1, 13)} <= labels
        if absent is not None:
            assert missing == absent
        else:
            assert {"T10", "T11", "T12"} <= missing
        pointed = {reference.label for reference in document.references()}
        known = labels | {section.label for section in document.sections} | {"S-numbers"}
        assert pointed <= known


def test_df_of_an_answer_without_interval_is_a_dash(small: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(small.read_text(encoding="utf-8"))))
    for row in rows:
        row["verdict"] = "real"
    path = small.parent / "alike.csv"
    path.write_text(
        "\n".join([",".join(rows[0]), *(",".join(row.values()) for row in rows)]) + "\n",
        encoding="utf-8",
    )
    results = analyze_file(Wanted(path), quiet).results
    made = tables.all_tables(results)["endpoints"]
    at = [column.key for column in made.columns].index("df")
    shown = {row[0].text: row[at].text for row in made.body()}
    assert shown["Sensitivity (synthetic called synthetic)"] == "–"
    assert tables.degrees(float("inf")) == "∞"
    assert report.render(results, [], "pdf").startswith(b"%PDF")


def test_checklists_are_complete() -> None:
    counts = {one.name.split()[0]: len(one.items) for one in checklists.guidelines()}
    assert counts == {"STARD": 38, "CLAIM,": 22, "GRRAS": 15}
    for one in checklists.guidelines():
        assert all(item.topic and item.trial.endswith(".") for item in one.items)
        # A table from elsewhere came without a protocol, a bundle or a blinding of ours.
        for item in one.items:
            assert not re.search(r"protocol|bundle|Blinded", item.elsewhere), item


def test_what_two_published_numbers_imply() -> None:
    """Arithmetic on 51.1 % sensitivity and 60.8 % accuracy with as many real as synthetic."""
    found = published.implied(0.511, 0.608, 0.5)
    assert found.specificity == pytest.approx(0.705)
    assert found.dprime == pytest.approx(0.566, abs=0.001)
    assert found.criterion == pytest.approx(0.256, abs=0.001)
    assert found.auc == pytest.approx(0.656, abs=0.001)
    with pytest.raises(ValueError, match="no specificity"):
        published.implied(0.9, 0.2, 0.5)


def test_the_validation_badge_is_about_this_engine() -> None:
    record = validation.stored()
    assert record is not None, "run: manage.py check_statistics ../shared/stats --record"
    assert record["engine"] == ENGINE_VERSION
    assert record["failed"] == 0
    assert record["passed"] == sum(one["passed"] for one in record["sets"])


# ------------------------------------------------------------------------------------ the formats


class Seen(HTMLParser):
    """Collects what the accessibility of a page hangs on."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_html_is_one_accessible_file(out: Path, drawn: list[figures.Drawn]) -> None:
    text = (out / "report.html").read_text(encoding="utf-8")
    seen = Seen()
    seen.feed(text)
    images = seen.of("img")
    assert {image["alt"] for image in images} == {figure.alt for figure in drawn}
    assert all((image["src"] or "").startswith("data:image/svg+xml;base64,") for image in images)
    assert not seen.of("script")
    assert not seen.of("link")
    assert seen.of("html")[0]["lang"] == "en"
    outside = [a["href"] for a in seen.of("a") if not (a["href"] or "").startswith("#")]
    assert outside == []
    ids = [attributes["id"] for _, attributes in seen.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {(a["href"] or "")[1:] for a in seen.of("a")} <= set(ids)
    levels = [int(tag[1]) for tag, _ in seen.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    assert all(cell.get("scope") for cell in seen.of("th"))


def test_text_of_a_table_cannot_become_markup(small: Path) -> None:
    path = small.parent / "hostile.csv"
    path.write_text(small.read_text().replace("R01", '<b>"#$*_`'), encoding="utf-8")
    results = analyze_file(Wanted(path, title="<script>alert(1)</script> #eval"), quiet).results
    html = report.render(results, [], "html").decode()
    assert "<script" not in html
    assert "<b>&quot;" not in html
    assert "&lt;b&gt;&quot;#$*_`" in html
    pages = PdfReader(io.BytesIO(report.render(results, [], "pdf"))).pages
    text = "".join(page.extract_text() for page in pages)
    assert '<b>"#$*_`' in text.replace("“", '"').replace("”", '"')


def test_pdf_shows_every_script_or_its_number(small: Path) -> None:
    results = analyze_file(Wanted(small, title="李 Ελλάς Жук"), quiet).results
    pages = PdfReader(io.BytesIO(report.render(results, [], "pdf"))).pages
    assert "U+674E Ελλάς Жук" in pages[0].extract_text()


def test_pdf_opens_and_is_tagged(out: Path, drawn: list[figures.Drawn]) -> None:
    data = (out / "report.pdf").read_bytes()
    assert b"pdfuaid" in data
    pdf = PdfReader(io.BytesIO(data))
    root = pdf.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"]
    assert root["/Lang"] == "en"
    assert pdf.metadata is not None
    assert pdf.metadata.title == "The demo study: Visual Turing Test: statistical report"
    assert 10 < len(pdf.pages) < 30
    found: dict[str, int] = {}
    alternatives: set[str] = set()
    stack = [root["/StructTreeRoot"]]
    while stack:
        node = stack.pop().get_object()
        if isinstance(node, list):
            stack += node
        elif isinstance(node, dict):
            if "/S" in node:
                found[str(node["/S"])] = found.get(str(node["/S"]), 0) + 1
            if "/Alt" in node:
                alternatives.add(str(node["/Alt"]))
            if "/K" in node:
                stack.append(node["/K"])
    assert found["/Table"] >= 20
    assert found["/TH"] > 100
    assert found["/H1"] >= 5
    assert {figure.alt for figure in drawn} <= alternatives


@pytest.mark.django_db
def test_the_report_of_a_trial_names_protocol_times_and_flow(unblinded: Trial) -> None:
    results = services.analyze_trial(unblinded)
    schema = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    found = jsonschema_rs.Draft202012Validator(schema).iter_errors(results)
    assert [str(error) for error in found] == []
    document = assemble(results, [])
    header = {label: to_text(content) for label, content in document.header.rows}
    assert document.title == "Fidelity of synthetic tumors"
    assert header["Trial"] == "demo"
    assert unblinded.active_protocol.sha256 in header["Protocol"]
    assert header["Closed"] == "11 April 2026, 08:00 UTC"
    assert header["Unblinded"] == "12 April 2026, 08:00 UTC"
    assert header["Seed"].startswith("7; 2000 replicates")
    assert results["flow"]["assigned"] == results["flow"]["answered"] > 0
    text = report.render(results, [], "html").decode()
    assert "without knowing which was which" in text
    assert "Secretname" not in text
    assert "HOSPITAL" not in text
