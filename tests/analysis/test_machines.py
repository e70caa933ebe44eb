"""Machines that sit the test: on the pool, sealed; then beside the readers and never among them."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import jsonschema_rs
import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from readerstudy.analysis import bundle, outputs, selectors, services
from readerstudy.analysis.machines import reading
from readerstudy.analysis.machines import selectors as seats_of
from readerstudy.analysis.models import MachineReader, MachineReading
from readerstudy.audit.models import AuditEvent
from readerstudy.cases.models import Candidate
from readerstudy.cases.rendition import Rule, generator_of
from readerstudy.cases.sight import as_seen, seen
from readerstudy.errors import Conflict, UserError
from readerstudy.jobs.models import Job
from readerstudy.jobs.registry import JobCancelled
from readerstudy.trials.models import CaseTruth, Trial
from readerstudy.trials.preparation import rendition_seed
from recognition.engine.readers.cnn import Cnn, Settings
from recognition.engine.readers.registry import machine_names
from tests.conftest import ROOT

from . import seats

pytestmark = pytest.mark.django_db
QUICK = ["radiomics", "forensic"]
ONE = ["forensic"]
SLOW = {"cnn": Cnn(Settings(shape=(6, 16, 16), step_mm=(5, 2, 2), width=4, most_steps=12))}
FLIPPED = {"real": "synthetic", "synthetic": "real"}


@pytest.fixture
def trial(coordinator: Any, reader: Any, peer_reader: Any) -> Trial:
    """An open trial whose synthetic lesions are too quiet, answered by two readers."""
    made = seats.opened(coordinator, reader, peer_reader, tamper=True)
    seats.answered(made)
    return made


@pytest.fixture
def taught(trial: Trial) -> Trial:
    """The same with lesions of other patients to learn from."""
    seats.pool(11, tamper=True)
    return trial


def scores(trial: Trial, name: str) -> dict[str, float]:
    rows = MachineReading.objects.filter(machine__trial=trial, machine__name=name)
    return {str(row.case): row.score for row in rows.select_related("case")}


# ---------------------------------------------------------------------------------- what they see


def test_both_ways_of_seeing_give_the_same_block(trial: Trial) -> None:
    case = trial.cases.select_related("rendition").first()
    own = Candidate.objects.select_related("volume").get(pk=case.truth.candidate)
    sent = seen(case.rendition)
    rule = Rule.from_document(case.rendition.rule)
    made = as_seen(own, rule, generator_of(own, rendition_seed(trial)))
    assert np.array_equal(sent.hu, made.hu)
    assert (sent.box, sent.spacing, sent.margin_mm) == (made.box, made.spacing, made.margin_mm)
    assert sent.spacing == (0.8, 0.8, 2.5)


def test_images_that_are_gone_are_one_sentence(trial: Trial) -> None:
    from readerstudy.cases.paths import rendition_folder

    folder = rendition_folder(trial.cases.first().rendition_id)
    folder.rename(folder.with_name("gone"))
    with pytest.raises(UserError, match="missing in the data directory"):
        reading.read_by_machines(trial, ["gate"])
    assert not trial.machines.exists()


# ------------------------------------------------------------------------------------- who reads


def test_the_pool_holds_no_patient_of_the_trial(taught: Trial) -> None:
    own = taught.cases.first()
    seats.lesion("real", 77, patient=own.patient_key)
    rows = seats_of.pool(taught)
    assert len(rows) == 22
    assert not {row.volume.patient for row in rows} & set(
        taught.cases.values_list("patient_key", flat=True)
    )


def test_a_draft_is_refused(coordinator: Any) -> None:
    from tests.trials import world

    world.stock()
    with pytest.raises(Conflict, match="is a draft"):
        reading.read_by_machines(world.drafted(coordinator))


def test_too_few_lesions_leave_out_those_that_learn(
    trial: Trial, client_for: Any, coordinator: Any
) -> None:
    seats.pool(9)
    done = reading.read_by_machines(trial, QUICK)
    assert done.read == [] and set(done.left_out) == set(QUICK)
    assert done.left_out["forensic"].startswith("9 accepted real lesions of patients outside")
    page = client_for(coordinator).get("/results/liver/").content.decode()
    assert "must learn real from synthetic on other patients and cannot" in page
    assert "9 accepted real lesions of patients outside the trial" in page


def test_a_planted_giveaway_is_found_in_the_trial_and_out_of_fold(taught: Trial) -> None:
    reading.read_by_machines(taught, ["forensic"])
    truth = {str(row.case): row.arm for row in CaseTruth.objects.select_related("case")}
    given = scores(taught, "forensic")
    real = [s for case, s in given.items() if truth[case] == "real"]
    made = [s for case, s in given.items() if truth[case] == "synthetic"]
    assert min(made) > max(real)
    card = MachineReader.objects.get().card
    assert card["out_of_fold_auc"]["estimate"] > 0.95
    assert card["learned_from"].startswith(
        "Trained on 11 real and 11 synthetic lesions of 22 patients, none of whom is in this trial"
    )


def test_the_gate_reads_without_lesions_to_learn_from(trial: Trial) -> None:
    done = reading.read_by_machines(trial, ["gate"])
    assert done.read == ["gate"]
    given = list(scores(trial, "gate").values())
    assert len(given) == 10 and min(given) >= 0 and max(given) <= 1
    card = MachineReader.objects.get().card
    assert "Not trained on real against synthetic" in card["learned_from"]
    assert "70%" in card["rule"]


# ------------------------------------------------------------------- again, stopped, cancelled


def test_reading_twice_changes_nothing_and_a_larger_pool_reads_again(taught: Trial) -> None:
    assert reading.read_by_machines(taught, QUICK).read == QUICK
    first, events = scores(taught, "radiomics"), AuditEvent.objects.count()
    again = reading.read_by_machines(taught, QUICK)
    assert (again.read, again.kept) == ([], QUICK)
    assert AuditEvent.objects.count() == events
    seats.lesion("real", 3000)
    assert reading.read_by_machines(taught, ["radiomics"]).read == ["radiomics"]
    assert scores(taught, "radiomics") != first


def test_after_unblinding_what_was_said_stands(taught: Trial, coordinator: Any) -> None:
    reading.read_by_machines(taught, ["radiomics"])
    first = scores(taught, "radiomics")
    trial = seats.unblinded(taught, coordinator)
    seats.lesion("real", 3000)
    done = reading.read_by_machines(trial, QUICK)
    assert (done.read, done.kept) == (["forensic"], ["radiomics"])
    assert scores(trial, "radiomics") == first
    early = {card["name"]: card["read_before_unblinding"] for card in seats_of.cards(trial)}
    assert early == {"forensic": False, "radiomics": True}


def test_a_stopped_reading_goes_on_where_it_was(taught: Trial, monkeypatch: Any) -> None:
    def stop(done: int, total: int, words: str) -> None:
        if words.startswith("Forensic"):
            raise JobCancelled

    with pytest.raises(JobCancelled):
        reading.read_by_machines(taught, QUICK, progress=stop)
    assert set(taught.machines.values_list("name", flat=True)) == {"radiomics"}
    monkeypatch.setattr("readerstudy.cases.sight.seen", None)  # nothing is looked at twice
    monkeypatch.setattr("readerstudy.cases.sight.as_seen", None)
    done = reading.read_by_machines(taught, QUICK)
    assert (done.read, done.kept) == (["forensic"], ["radiomics"])
    assert not reading.data_path("machines", str(taught.pk), "prepared").exists()


# ----------------------------------------------------------------------------------------- sealed

PAGES = ("results/liver/", "trials/liver/", "trials/liver/history/", "trials/liver/cases/")


def told(trial: Trial, client: Any) -> list[Any]:
    """Everything that is reported and shown when the machines read a sealed trial."""
    log: list[Any] = []
    reading.read_by_machines(trial, ONE, progress=lambda *words: log.append(words))
    events = AuditEvent.objects.filter(action=reading.READ).order_by("seq")
    log += [event.data for event in events]
    for page in PAGES:
        html = client.get(f"/{page}").content.decode()
        log.append(re.sub(r"\w{64}|\d\d:\d\d(:\d\d)?|\b[0-9a-f-]{36}\b", "", html))
    return log


def test_nothing_that_is_reported_depends_on_the_truth(
    taught: Trial, client_for: Any, coordinator: Any
) -> None:
    client = client_for(coordinator)
    logs, ratings = [], []
    for turned in (False, True):
        before = transaction.savepoint()
        if turned:
            for row in CaseTruth.objects.all():
                row.arm = FLIPPED[row.arm]
                row.save()
        logs.append(told(taught, client))
        ratings.append(scores(taught, "forensic"))
        transaction.savepoint_rollback(before)
    assert logs[0] == logs[1]
    assert ratings[0] == ratings[1]


def test_no_page_of_a_sealed_trial_looks_at_what_machines_said(
    taught: Trial, client_for: Any, coordinator: Any
) -> None:
    reading.read_by_machines(taught, ONE)
    client = client_for(coordinator)
    for page in PAGES:
        with CaptureQueriesContext(connection) as asked:
            response = client.get(f"/{page}")
        assert response.status_code == 200
        sql = " ".join(query["sql"] for query in asked)
        assert "analysis_machinereading" not in sql
        assert '"card"' not in sql
    page = client.get("/results/liver/").content.decode()
    assert page.count("has read</span>") == 1
    assert "out of fold" not in page
    for address in ("results.json", "tables/machines.csv", "tables/machines_trained.csv"):
        assert client.get(f"/results/liver/{address}").status_code == 404


def test_sealed_readings_are_in_no_export_and_no_selector(taught: Trial) -> None:
    reading.read_by_machines(taught, ONE)
    made = services.make_bundle(taught, "blinded")
    with zipfile.ZipFile(made.path) as archive:
        text = b"".join(archive.read(name) for name in archive.namelist())
        assert not [name for name in archive.namelist() if "machine" in name]
    assert b"forensic" not in text.lower() and b"rounding of hu" not in text.lower()
    for sealed in (seats_of.machines_csv, seats_of.cards, seats_of.ratings_of):
        with pytest.raises(Conflict, match="its truth is sealed"):
            sealed(taught)


# ------------------------------------------------------------------------------ beside the readers


def test_the_road_from_the_button_to_the_results(
    taught: Trial, client_for: Any, coordinator: Any, run_jobs: Any, monkeypatch: Any
) -> None:
    """In the browser's way: machines read while sealed, the trial is unblinded, results show them,
    and nothing about the readers has changed by a digit."""
    honest = reading.get_machine
    monkeypatch.setattr(reading, "get_machine", lambda n, t: SLOW.get(n) or honest(n, t))
    client = client_for(coordinator)
    assert client.post("/results/liver/machines/").status_code == 302
    (job,) = [row for row in run_jobs() if row.kind == selectors.MACHINES_JOB]
    assert job.state == Job.State.DONE, job.error
    assert job.result["read"] == list(machine_names())
    trial = seats.unblinded(taught, coordinator)
    with_machines = services.analyze_trial(trial)
    schema = json.loads((ROOT / "docs" / "results.schema.json").read_text(encoding="utf-8"))
    validator = jsonschema_rs.Draft202012Validator(schema)
    assert [str(error) for error in validator.iter_errors(with_machines)] == []
    before = transaction.savepoint()
    MachineReader.objects.all().delete()
    alone = services.analyze_trial(trial)
    transaction.savepoint_rollback(before)
    assert "machines" not in alone
    cut = {k: v for k, v in with_machines.items() if k not in ("machines", "machine_cards")}
    assert json.dumps(cut) == json.dumps(alone)

    forensic = next(m for m in with_machines["machines"] if m["name"] == "forensic")
    assert forensic["row"]["auc"]["estimate"] > 0.9
    assert forensic["raw_auc"]["estimate"] == 1.0
    auc = next(v for v in forensic["versus"] if v["metric"] == "auc")
    assert auc["difference"]["estimate"] == pytest.approx(
        auc["machine"] - auc["readers_mean"]["estimate"]
    )
    assert forensic["p_holm"] >= auc["difference"]["p"]

    client.post("/results/liver/compute/")
    run_jobs()
    page = client.get("/results/liver/").content.decode()
    assert "Machine readers beside the humans" in page
    assert "Trained on 11 real and 11 synthetic lesions of 22 patients" in page
    assert "Compute again" not in page
    snapshot = selectors.snapshot_of(trial)
    figures = {row["name"]: row["alt"] for row in selectors.figures_of(snapshot)}
    assert "Machines below, apart from the readers: " in figures["forest"]
    assert "Forensic features" in figures["roc"]
    report = selectors.report_path(snapshot, "html").read_text(encoding="utf-8")
    assert "Machines beside the readers" in report
    assert "none of whom is in this trial" in report

    cases = client.get("/results/liver/cases/").content.decode()
    data = json.loads(re.search(r'id="map-data"[^>]*>(.*?)</script>', cases, re.DOTALL)[1])
    assert data["readers"][data["humans"] :] == sorted(machine_names())
    assert len(data["ratings"]) == data["humans"] + 4
    assert set("".join(data["ratings"][data["humans"] :])) <= set("123456")

    review = client.get("/results/liver/cases/1/").content.decode()
    assert review.count('"note": "machine"') == 4

    made = bundle.build(trial, "unblinded", snapshot)
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("machines.csv").decode())))
        book = list(csv.DictReader(io.StringIO(archive.read("codebook-machines.csv").decode())))
        assert "tables/machines_versus.csv" in archive.namelist()
    assert len(rows) == 4 * 10
    assert [row["column"] for row in book] == list(rows[0])


def test_machines_that_come_later_ask_for_a_new_computation(
    taught: Trial, client_for: Any, coordinator: Any, monkeypatch: Any
) -> None:
    def bare(folder: Path, results: Any, *args: Any, **kwargs: Any) -> None:
        """The numbers without the drawings, which take most of the time."""
        (folder / "results.json").write_bytes(outputs.results_bytes(results))
        (folder / "figures.json").write_text("[]")

    monkeypatch.setattr(outputs, "write", bare)
    trial = seats.unblinded(taught, coordinator)
    first = services.compute_results(trial)
    reading.read_by_machines(trial, ["radiomics"])
    client = client_for(coordinator)
    page = client.get("/results/liver/").content.decode()
    assert "Compute again, with the machines" in page
    assert selectors.snapshot_of(trial) == first
    second = services.compute_results(trial)
    assert second.pk != first.pk
    assert selectors.snapshot_of(trial) == second
    page = client.get("/results/liver/").content.decode()
    assert "Compute again, with the machines" not in page
    assert "after unblinding" in page


# ------------------------------------------------------------------------------ on the command line


def test_the_command_says_who_has_read(taught: Trial, capsys: Any) -> None:
    call_command("read_by_machines", "liver", machines="forensic")
    out = capsys.readouterr().out
    assert "Forensic features: has read liver." in out
    assert "sealed until the trial is unblinded" in out
    call_command("read_by_machines", "liver", machines="forensic")
    assert "nothing changed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "There is no trial 'nowhere'"),
        (["liver", "--machines", "tarot"], "There is no machine 'tarot'; choose gate"),
        (["liver", "--machines", ","], "No machine was chosen"),
    ],
)
def test_the_command_refuses_in_one_sentence(
    trial: Trial, arguments: list[str], sentence: str
) -> None:
    with pytest.raises(CommandError, match=re.escape(sentence)) as caught:
        call_command("read_by_machines", *arguments)
    assert caught.value.returncode == 2


@pytest.mark.shared
def test_machines_look_at_real_lesions(shared_ct: Path, coordinator: Any) -> None:
    """A real CT with its tumor masks: every machine gets finite numbers out of it."""
    from readerstudy.cases.engines import tumor_eye
    from readerstudy.cases.services import make_candidates
    from readerstudy.ops.seeding import _real_volumes
    from recognition.engine.readers.registry import Tools, get_machine

    folder = next(path for path in sorted(shared_ct.iterdir()) if list(path.glob("tumour.nii.gz")))
    volumes = _real_volumes(folder, coordinator, lambda words: None)
    found = [c for volume in volumes for c in make_candidates(volume, actor=coordinator)]
    assert found
    view = as_seen(found[0], Rule(matrix=512, max_slices=60), np.random.default_rng(1))
    assert 0.3 < view.lesion.sum() / (view.radius <= 1).sum() < 2.5
    for name in machine_names():
        tools = Tools(segmenter=tumor_eye()[0]) if name == "gate" else Tools()
        values = get_machine(name, tools).prepare(view)
        assert np.isfinite(values).mean() > 0.9
