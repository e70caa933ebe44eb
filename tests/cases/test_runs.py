"""Synthesis runs: sentences for bad wishes, k of n, resuming without loss or doubles."""

from __future__ import annotations

import dataclasses
import uuid

import numpy as np
import pytest

from readerstudy.audit.models import AuditEvent
from readerstudy.cases.engines import Choice
from readerstudy.cases.errors import CasesError
from readerstudy.cases.models import Candidate, SynthesisRun
from readerstudy.cases.patches import load_patch
from readerstudy.cases.rendition import native_volume
from readerstudy.cases.services import delete_run, make_candidates, making, start_run
from readerstudy.errors import Conflict
from readerstudy.jobs.models import Job
from readerstudy.jobs.services import cancel, execute, retry
from readerstudy.library import selectors as library
from tests.synthesis.hosts import ball_host

from .conftest import keep

WISH = {"organs": ["liver"], "per_volume": 2, "diameter_mm": (10.0, 18.0), "seed": 5}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"volumes": []}, "No volume is chosen; tick at least one."),
        ({"organs": []}, "No organ is chosen; tick at least one."),
        ({"per_volume": 0}, "Ask for at least one lesion per volume."),
        ({"diameter_mm": (30.0, 8.0)}, "reversed: 30 mm is more than 8 mm; put the smaller"),
        ({"diameter_mm": (1.0, 8.0)}, "Diameters must lie between 3 and 120 mm."),
        ({"mass_effect": 3.0}, "goes from 0 (none) to 1"),
        ({"choice": Choice("magic")}, "no generator 'magic'; choose one of: textural, freetumor"),
        ({"seed": -1}, "must be a whole number from 0"),
        ({"organs": ["spleen"]}, "has a mask of the spleen; import one or choose"),
        ({"per_volume": 5000}, "would make 5000 lesions; choose fewer"),
    ],
)
def test_a_bad_wish_is_one_sentence_and_stores_nothing(host, change, sentence):
    with pytest.raises(CasesError) as caught:
        start_run(**{**WISH, "volumes": [host], **change})
    assert sentence in str(caught.value)
    assert not SynthesisRun.objects.exists()
    assert not Job.objects.exists()


def test_a_run_makes_pending_candidates_with_seeds_and_provenance(made_run, host):
    assert (made_run.made, made_run.requested, made_run.finished) == (3, 3, 3)
    rows = list(made_run.candidates.filter(by_gate=False))
    assert len(rows) == 3
    assert len({row.seed for row in rows}) == 3
    for row in rows:
        assert row.kind == "synthetic"
        assert row.state == "pending"
        assert 10.0 * 0.9 <= row.diameter_mm <= 18.0 * 1.1
        assert row.contrast_hu < -10
        origin = row.provenance
        assert origin["volume_sha256"] == host.sha256
        assert origin["generator"] == "textural"
        assert {"numpy", "scipy"} <= set(origin["packages"])
        assert origin["parameters"]["generator_version"]
        assert row.verdict["scores"]["changed_voxels"] > 0
    actions = list(AuditEvent.objects.filter(action__startswith="cases.run").order_by("seq"))
    assert [event.action for event in actions] == ["cases.run_started", "cases.run_finished"]


def test_D11_only_voxels_in_the_feather_change(made_run, host):
    ct = library.load_ct(host)
    for row in made_run.candidates.all():
        made, patch = native_volume(row), load_patch(row)
        feather = np.zeros(ct.shape, bool)
        feather[patch.slices] = patch.feather > 0
        assert np.array_equal(made[~feather], ct[~feather])
        assert (made != ct).sum() > patch.mask.sum() / 2
        assert patch.mask.any()


def test_the_same_seed_makes_the_same_lesions(made_run, host, run_jobs):
    again = start_run(
        volumes=[host],
        organs=["liver"],
        per_volume=3,
        diameter_mm=(10.0, 18.0),
        seed=11,
        mass_effect=0.5,
    )
    run_jobs()
    shas = [
        list(
            run.candidates.order_by("lesion_index", "attempt").values_list(
                "patch_sha256", flat=True
            )
        )
        for run in (made_run, again)
    ]
    assert shas[0] == shas[1]
    assert all(shas[0])


def test_lesions_that_do_not_fit_are_told_in_notes_and_the_rest_is_made(host, run_jobs):
    tight = keep(ball_host((1.5, 1.5, 3.0), radius_mm=9.0, seed=8), name="Tight", patient="P9")
    run = start_run(**{**WISH, "volumes": [host, tight], "diameter_mm": (20.0, 24.0)})
    run_jobs()
    run.refresh_from_db()
    assert (run.requested, run.made) == (4, 2)
    assert [note["volume"] for note in run.notes] == ["Tight", "Tight"]
    assert "No lesion of 20 to 24 mm fits into the liver" in run.notes[0]["reason"]


def test_rejected_attempts_are_kept_with_reason_and_scores(host, run_jobs, monkeypatch):
    from synthesis.engine import quality

    strict, calls = quality.judge, []

    def twice_no(*args):
        calls.append(1)
        fault, scores = strict(*args)
        if len(calls) % 3:
            return quality.Fault("noise", "The noise inside is 9.00 times that around it."), scores
        return fault, scores

    monkeypatch.setattr(quality, "judge", twice_no)
    run = start_run(**{**WISH, "volumes": [host], "per_volume": 1})
    run_jobs()
    rejected = run.candidates.filter(by_gate=True)
    assert rejected.count() == 2
    for row in rejected:
        assert row.state == "rejected"
        assert row.reason == "The noise inside is 9.00 times that around it."
        assert row.verdict["failed"] == "noise"
        assert row.verdict["scores"]["voxels"] > 0
        assert load_patch(row).mask.any()
    assert run.candidates.get(by_gate=False).attempt == 3


def add_real_lesions(volume, count, **measures):
    """More of the real lesion that `volume` has, as if others had these measurements."""
    known = Candidate.objects.get(kind="real")
    for _ in range(count):
        known.pk = None
        known.id = uuid.uuid4()
        known.verdict = {"measures": {**known.verdict["measures"], **measures}}
        known.save(force_insert=True)


class Killed(BaseException):
    """Stands for kill -9: nothing of the platform may catch it and tidy up."""


@pytest.mark.parametrize("moment", ["before the rows", "after the rows"])
def test_O1_a_killed_run_resumes_without_loss_or_doubles(host, monkeypatch, moment, made_run):
    wanted = list(
        made_run.candidates.order_by("lesion_index", "attempt").values_list(
            "lesion_index", "attempt", "patch_sha256"
        )
    )
    run = start_run(
        volumes=[host],
        organs=["liver"],
        per_volume=3,
        diameter_mm=(10.0, 18.0),
        seed=11,
        mass_effect=0.5,
    )
    whole, count = Candidate.objects.bulk_create, []

    def dying(rows, *args, **kwargs):
        count.append(1)
        if len(count) == 2:
            if moment == "after the rows":
                whole(rows, *args, **kwargs)
            raise Killed
        return whole(rows, *args, **kwargs)

    monkeypatch.setattr(
        type(Candidate.objects), "bulk_create", lambda self, *a, **k: dying(*a, **k)
    )
    with pytest.raises(Killed):
        execute(str(run.job_id))
    run.refresh_from_db()
    assert run.finished == 1
    Job.objects.filter(pk=run.job_id).update(state="queued", lease_until=None)
    execute(str(run.job_id))
    run.refresh_from_db()
    assert (run.finished, run.made, run.job.state) == (3, made_run.made, "done")
    found = run.candidates.order_by("lesion_index", "attempt").values_list(
        "lesion_index", "attempt", "patch_sha256"
    )
    assert list(found) == wanted


def test_a_superseded_attempt_writes_nothing_more(host, monkeypatch):
    """Another worker took the job over while this one made its second lesion."""
    run = start_run(**{**WISH, "volumes": [host], "per_volume": 3})
    original = making._make

    def taken_over(*args):
        made = original(*args)
        if args[1].index == 1:
            Job.objects.filter(pk=run.job_id).update(attempts=7)
        return made

    monkeypatch.setattr(making, "_make", taken_over)
    execute(str(run.job_id))
    run.refresh_from_db()
    assert run.finished == run.made == run.candidates.filter(by_gate=False).count() == 1


def test_a_cancelled_run_keeps_what_it_made_and_goes_on_when_retried(
    host, coordinator, monkeypatch
):
    run = start_run(**{**WISH, "volumes": [host], "per_volume": 3})
    original = making._make

    def cancel_after_first(*args):
        made = original(*args)
        if args[1].index == 0:
            cancel(Job.objects.get(pk=run.job_id), coordinator)
        return made

    monkeypatch.setattr(making, "_make", cancel_after_first)
    execute(str(run.job_id))
    run.refresh_from_db()
    assert run.job.state == "cancelled"
    assert run.made == run.candidates.filter(by_gate=False).count() == 1
    retry(run.job, coordinator)
    execute(str(run.job_id))
    run.refresh_from_db()
    assert (run.job.state, run.made) == ("done", 3)


def test_priors_are_fitted_to_the_real_lesions_and_kept_with_the_run(sick, run_jobs):
    make_candidates(sick)
    wish = {**WISH, "volumes": [sick], "per_volume": 1, "diameter_mm": (6.0, 9.0)}
    few = start_run(**wish)
    run_jobs()
    few.refresh_from_db()
    table = few.parameters["priors"]["liver"]
    assert (table["source"], table["lesions"], table["contrast"]) == ("table", 1, -38.0)
    add_real_lesions(sick, 4, contrast_hu=-60.0, grain_hu=12.0)
    run = start_run(**wish)
    run_jobs()
    run.refresh_from_db()
    prior = run.parameters["priors"]["liver"]
    assert (prior["source"], prior["lesions"], prior["fitted_from"]) == ("library", 5, 5)
    assert -60.0 < prior["contrast"] < -45.0
    assert 6.0 < prior["heterogeneity_sd"] < 12.0
    assert run.candidates.first().provenance["prior"] == prior


def test_real_tumors_of_the_volume_stay_untouched(sick, run_jobs):
    run = start_run(**{**WISH, "volumes": [sick], "per_volume": 4, "diameter_mm": (6.0, 10.0)})
    run_jobs()
    tumor = library.load_mask(sick.masks.get(kind="tumor"))
    ct = library.load_ct(sick)
    assert run.candidates.count() >= 4
    for row in run.candidates.all():
        assert np.array_equal(native_volume(row)[tumor], ct[tumor])


def test_a_run_with_candidates_cannot_be_deleted_one_without_can(made_run, host, coordinator):
    with pytest.raises(Conflict, match="has candidates, which are kept"):
        delete_run(made_run, actor=coordinator)
    idle = start_run(**{**WISH, "volumes": [host]})
    with pytest.raises(Conflict, match="still at work"):
        delete_run(idle, actor=coordinator)
    cancel(idle.job, coordinator)
    idle.job.refresh_from_db()
    delete_run(idle, actor=coordinator)
    assert SynthesisRun.objects.get() == made_run


def test_a_volume_with_candidates_cannot_leave_the_library(made_run, host, coordinator):
    from readerstudy.library.errors import VolumeInUse
    from readerstudy.library.services import delete_volume

    with pytest.raises(VolumeInUse):
        delete_volume(host, coordinator)


def test_an_empty_organ_label_of_another_case_is_found(host, run_jobs):
    """Labels are compared as they are stored: lower case, one word per organ."""
    scan = dataclasses.replace(ball_host(seed=6), organ="kidney")
    volume = keep(scan, name="Kidneys", patient="P5", organ_label="kidney")
    run = start_run(**{**WISH, "volumes": [volume], "organs": ["kidney"], "per_volume": 1})
    run_jobs()
    run.refresh_from_db()
    assert run.made == 1
