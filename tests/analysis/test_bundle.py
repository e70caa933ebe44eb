"""The export bundle: exact columns, round trip, identical bytes, nothing personal or sealed."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from django.core.management import CommandError, call_command

from readerstudy.analysis import bundle as bundles
from readerstudy.analysis import csvtext, readme, selectors, services
from readerstudy.analysis.errors import NothingToAnalyze, NotUnblinded
from readerstudy.analysis.models import Bundle, ResultsSnapshot
from readerstudy.analysis.stats.confusion import confusion
from readerstudy.analysis.stats.tidy import check, read_judgments, to_readings
from readerstudy.audit.models import AuditEvent
from readerstudy.audit.selectors import verify
from readerstudy.trials.models import Case, Trial
from tests.conftest import ROOT

from .factory import DEMO, make_trial

pytestmark = pytest.mark.django_db
FULL, BLIND = Bundle.Level.UNBLINDED, Bundle.Level.BLINDED


def contents(bundle: Bundle) -> dict[str, bytes]:
    with zipfile.ZipFile(bundle.path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def header(data: bytes) -> list[str]:
    return next(csv.reader(io.StringIO(data.decode())))


def test_unblinded_bundle_holds_everything_in_the_columns_of_the_reference(
    computed: ResultsSnapshot,
    unblinded: Trial,
) -> None:
    files = contents(services.make_bundle(unblinded, FULL))
    with DEMO.open() as reference:
        assert header(files["judgments.csv"]) == next(csv.reader(reference))
    assert {
        "README.txt", "SHA256SUMS", "allocation.csv", "cases.csv", "codebook.csv",
        "figures/forest.png", "figures/forest.svg", "judgments.csv", "manifest.json",
        "protocol.json", "results.json", "tables/readers.csv", "truth.json",
    } <= set(files)  # fmt: skip
    assert not any("screen" in name for name in files)
    rows = list(csv.DictReader(io.StringIO(files["judgments.csv"].decode())))
    assert [r["reader_id"] for r in rows] == sorted(r["reader_id"] for r in rows)
    protocol = unblinded.active_protocol
    assert hashlib.sha256(files["protocol.json"]).hexdigest() == protocol.sha256


def test_E2_round_trip_through_the_readme_gives_the_same_statistics(
    computed: ResultsSnapshot, unblinded: Trial, tmp_path: Path
) -> None:
    bundle = services.make_bundle(unblinded, FULL)
    shutil.unpack_archive(bundle.path, tmp_path / "out")
    script = _code(readme.UNBLINDED.split("Recompute with the platform's engine")[1])
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path / "out", env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    stored = json.loads((tmp_path / "out" / "results.json").read_text())
    assert done.stdout.strip() == stored["primary"]["sentence"]


def test_D7_the_truth_in_the_bundle_is_the_one_committed_to(
    computed: ResultsSnapshot, unblinded: Trial, tmp_path: Path
) -> None:
    bundle = services.make_bundle(unblinded, FULL)
    shutil.unpack_archive(bundle.path, tmp_path)
    script = _code(readme.UNBLINDED.split("Check the truth")[1])
    for said in ("True", "False"):
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == said
        truth = tmp_path / "truth.json"
        truth.write_text(truth.read_text().replace('"real"', '"synthetic"', 1))


def test_E2_pandas_alone_gives_the_same_rates(
    computed: ResultsSnapshot, unblinded: Trial, tmp_path: Path
) -> None:
    bundle = services.make_bundle(unblinded, FULL)
    shutil.unpack_archive(bundle.path, tmp_path)
    rows = pd.read_csv(tmp_path / "judgments.csv", dtype={"reader_id": str, "case_id": str})
    first = rows[rows["repeat"] == 1]
    right = first["verdict"] == first["truth"]
    rates = right.groupby([first["reader_id"], first["truth"]]).mean().unstack()
    stored = json.loads((tmp_path / "results.json").read_text())
    for reader in stored["readers"]:
        own = rates.loc[reader["reader"]]
        assert own["synthetic"] == pytest.approx(reader["sensitivity"]["estimate"], abs=1e-12)
        assert own["real"] == pytest.approx(reader["specificity"]["estimate"], abs=1e-12)


def test_export_equals_the_rows_it_was_made_from(
    unblinded: Trial, small_rows: list[dict[str, str]]
) -> None:
    source = pd.DataFrame(small_rows).drop(columns=["confidence", "score", "p_synthetic_pct"])
    source = source.assign(confidence="1", generator="")
    exported = selectors.judgments_csv(unblinded, FULL)
    ours = confusion(to_readings(check(read_judgments(io.BytesIO(exported)))))
    theirs = confusion(to_readings(check(source)))
    assert ours == theirs


def test_E3_two_bundles_are_identical_and_verify(
    computed: ResultsSnapshot, unblinded: Trial, tmp_path: Path
) -> None:
    for level in (BLIND, FULL):
        first, second = (services.make_bundle(unblinded, level) for _ in range(2))
        assert first.sha256 == second.sha256
        assert hashlib.sha256(first.path.read_bytes()).hexdigest() == first.sha256
        folder = tmp_path / level
        shutil.unpack_archive(first.path, folder)
        done = subprocess.run(
            ["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=folder, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        listed = {line.split("  ")[1] for line in (folder / "SHA256SUMS").read_text().splitlines()}
        present = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
        assert present - listed == {"SHA256SUMS"}
        manifest = json.loads((folder / "manifest.json").read_text())
        assert {f["path"] for f in manifest["files"]} == present - {"SHA256SUMS", "manifest.json"}


def test_E4_T10_blinded_bundle_does_not_change_with_the_truth(
    coordinator: Any, small_rows: list[dict[str, str]]
) -> None:
    made = []
    for swap in (False, True):
        trial = make_trial(coordinator, slug="same", state="open", rows=small_rows, swap_truth=swap)
        files = contents(services.make_bundle(trial, BLIND))
        manifest = json.loads(files.pop("manifest.json"))
        manifest.pop("audit_head")  # a hash over row ids, which differ between two databases
        manifest.pop("truth_commitment")  # salted: it differs, and tells nothing before the salt
        files.pop("SHA256SUMS")
        made.append((files, manifest))
        assert not {"truth", "generator", "size_mm"} & set(header(files["judgments.csv"]))
        assert not {"truth", "generator", "size_mm"} & set(header(files["cases.csv"]))
        assert not any(n.startswith(("results", "figures", "tables", "truth")) for n in files)
        assert manifest["truth_salt"] is None
        trial.slug = f"old-{swap}"
        trial.save()
    assert made[0] == made[1]


@pytest.mark.parametrize("state", ["open", "paused", "closed"])
def test_sealed_truth_is_not_exported(
    coordinator: Any, small_rows: list[dict[str, str]], state: str, tmp_path: Path
) -> None:
    trial = make_trial(coordinator, state=state, rows=small_rows)
    with pytest.raises(NotUnblinded):
        selectors.judgments_csv(trial, FULL)
    with pytest.raises(NotUnblinded):
        selectors.cases_csv(trial, FULL)
    out = tmp_path / "x.zip"
    with pytest.raises(CommandError) as caught:
        call_command("export_bundle", "demo", "--unblinded", "--out", str(out))
    assert caught.value.returncode == 2
    assert str(caught.value) == (
        f"Trial demo is {state}: its truth is sealed, so close and unblind the trial first, or "
        "export at the blinded level."
    )
    assert not out.exists()
    assert not Bundle.objects.exists()
    call_command("export_bundle", "demo", "--out", str(out))
    assert zipfile.is_zipfile(out)


def test_command_refuses_in_one_sentence(unblinded: Trial, tmp_path: Path) -> None:
    for args, said in (
        (
            ("nosuch", "--out", str(tmp_path / "x.zip")),
            "There is no trial 'nosuch'; known are: demo.",
        ),
        (("demo", "--out", str(tmp_path / "no" / "x.zip")), "does not exist"),
        (("demo", "--out", str(tmp_path)), "is a folder"),
    ):
        with pytest.raises(CommandError, match=r"\w") as caught:
            call_command("export_bundle", *args)
        assert caught.value.returncode == 2
        assert said in str(caught.value)


def test_draft_has_nothing_to_export(coordinator: Any) -> None:
    trial = Trial.objects.create(slug="new", title="New", seed=1)
    with pytest.raises(NothingToAnalyze, match="has no protocol in force"):
        services.make_bundle(trial, BLIND)


def test_E1_text_cells_cannot_become_formulas_and_numbers_stay_numbers() -> None:
    data = csvtext.table(
        ["a", "b"],
        [["=1+1", -3], ["+1", -0.5], ["-x", 1e-7], ["@cmd", None], ["\tx", True], ["fine", 2]],
    ).decode()
    assert data.splitlines() == [
        "a,b", "'=1+1,-3", "'+1,-0.5", "'-x,1e-07", "'@cmd,", "'\tx,true", "fine,2",
    ]  # fmt: skip


def test_E1_a_guarded_cell_reads_back_as_it_was(unblinded: Trial) -> None:
    Case.objects.filter(trial=unblinded, organ="liver").update(organ='=HYPERLINK("x")')
    data = selectors.judgments_csv(unblinded, FULL)
    assert b"'=HYPERLINK" in data
    assert '=HYPERLINK("x")' in set(read_judgments(io.BytesIO(data))["organ"])
    results = services.analyze_trial(unblinded)
    assert {g["group"] for g in results["fool_rate"]["by_organ"]} >= {'=HYPERLINK("x")'}


def test_E6_each_export_is_logged_with_its_hash_and_the_kept_head_verifies(
    computed: ResultsSnapshot, unblinded: Trial, coordinator: Any
) -> None:
    bundle = services.make_bundle(unblinded, FULL, actor=coordinator)
    event = AuditEvent.objects.filter(action="analysis.exported").get()
    assert event.data == {"level": "unblinded", "sha256": bundle.sha256, "bytes": bundle.size}
    assert event.chain == "trial:demo"
    head = json.loads(contents(bundle)["manifest.json"])["audit_head"]
    assert head["seq"] == event.seq - 1
    assert verify(head["chain"], (head["seq"], head["hash"])) is None
    assert bundles.audit_head(unblinded) == head


@pytest.mark.parametrize("level", [BLIND, FULL])
def test_E7_codebook_has_each_column_and_no_other(
    computed: ResultsSnapshot, unblinded: Trial, level: str
) -> None:
    files = contents(services.make_bundle(unblinded, level))
    rows = list(csv.DictReader(io.StringIO(files["codebook.csv"].decode())))
    assert [r["column"] for r in rows] == header(files["judgments.csv"])
    assert all(r["description"] and r["type"] for r in rows)


def test_nothing_personal_leaves(computed: ResultsSnapshot, unblinded: Trial) -> None:
    files = contents(services.make_bundle(unblinded, FULL))
    for name, data in files.items():
        for secret in (b"example.org", b"Secretname", b"HOSPITAL-", b"Carol"):
            assert secret not in data, (name, secret)
    patients = {r["patient_id"] for r in csv.DictReader(io.StringIO(files["cases.csv"].decode()))}
    assert patients == {f"P{i:03d}" for i in range(1, 31)}


def test_X8_practice_is_not_exported(unblinded: Trial) -> None:
    before = selectors.judgments_csv(unblinded, FULL).count(b"\n")
    case = unblinded.cases.first()
    read = case.assignments.count()
    case.assignments.update(phase=Case.Phase.PRACTICE)
    assert selectors.judgments_csv(unblinded, FULL).count(b"\n") == before - read


def test_results_do_not_move_with_order_index_of_other_readers(unblinded: Trial) -> None:
    """Order starts at 1 for the first counted case, whatever practice came before it."""
    rows = read_judgments(io.BytesIO(selectors.judgments_csv(unblinded, FULL)))
    for _, own in rows.groupby("reader_id"):
        assert own["order_index"].astype(int).tolist() == list(range(1, len(own) + 1))


def _code(text: str) -> str:
    """The first indented block of a README section."""
    lines = text.split("\n")
    start = next(i for i, line in enumerate(lines) if line.startswith("    "))
    block = []
    for line in lines[start:]:
        if line and not line.startswith("    "):
            break
        block.append(line[4:])
    return "\n".join(block)
