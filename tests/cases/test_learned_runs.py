"""Runs with networks: chosen in the form, loaded in the job, every attempt kept with its scores."""

from __future__ import annotations

import re

import pytest
import torch
from django.urls import reverse

from readerstudy.cases.models import SynthesisRun
from readerstudy.cases.services import making
from readerstudy.jobs.models import Job
from readerstudy.jobs.services import execute
from synthesis.engine import shipped
from synthesis.engine.checkpoints import save_checkpoint
from synthesis.engine.networks import build_network
from synthesis.services import import_checkpoint
from tests.synthesis.weights import SMALL_CONDITIONAL, SMALL_SEGMENTOR

from .test_pages import wish

LIVER_TUMOR = SMALL_SEGMENTOR.classes.index("liver tumor")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A generator of fresh weights, and segmentors that call everything a tumor, or nothing."""
    folder = tmp_path_factory.mktemp("weights")
    generator = build_network(SMALL_CONDITIONAL, 0).state_dict()
    save_checkpoint(folder / "small.safetensors", "generator", SMALL_CONDITIONAL, generator)
    for name, label in (("all", LIVER_TUMOR), ("none", 0)):
        state = build_network(SMALL_SEGMENTOR, 0).state_dict()
        last = [k for k, v in state.items() if v.shape == (len(SMALL_SEGMENTOR.classes),)][-1]
        state[last] = torch.full_like(state[last], -1000.0)
        state[last][label] = 1000.0
        save_checkpoint(folder / f"{name}.safetensors", "segmentor", SMALL_SEGMENTOR, state)
    return folder


@pytest.fixture
def registry(db, files):
    rows = {name: import_checkpoint(files / f"{name}.safetensors", name)[0] for name in NAMES}
    return {name: row.sha256 for name, row in rows.items()}


NAMES = ("small", "all", "none")


@pytest.fixture
def web(client_for, coordinator):
    return client_for(coordinator)


def start(web, host, **change):
    answer = web.post(reverse("cases:new_run"), wish(host, **change))
    assert answer.status_code == 302, errors(answer)
    return SynthesisRun.objects.latest("created_at"), answer.url


def few_attempts(run, count):
    """A run that gives up sooner, for the sake of the test's time."""
    run.parameters = {**run.parameters, "max_attempts": count}
    run.save(update_fields=["parameters"])


def errors(answer):
    found = re.findall(
        r'class="(?:errors|notice notice-error)[^>]*>(.*?)</(?:p|ul)>',
        answer.content.decode(),
        re.DOTALL,
    )
    return " ".join(re.sub(r"<[^>]+>|\s+", " ", text) for text in found)


def refused(web, host, **change):
    answer = web.post(reverse("cases:new_run"), wish(host, **change))
    assert answer.status_code == 400
    assert not SynthesisRun.objects.exists()
    return errors(answer)


# -- the form ----------------------------------------------------------------------------------


def test_the_form_offers_what_the_registry_holds_and_no_more(web, host, registry):
    page = web.get(reverse("cases:new_run")).content.decode()
    assert "small (liver, pancreas, kidney, lung)" in page
    assert 'value="freetumor:small"' in page
    assert "all (liver, pancreas, kidney)" in page
    assert "What the lesions will look like" in page
    assert "from the table: no real lesion of it in the library" in page


def test_a_fresh_installation_offers_the_weights_that_ship(web, host):
    page = web.get(reverse("cases:new_run")).content.decode()
    assert f'value="freetumor:{shipped.GENERATOR}"' in page
    assert f'<option value="{shipped.SEGMENTOR}" selected>' in page
    run, _ = start(web, host, generator=f"freetumor:{shipped.GENERATOR}", gate="paper")
    assert run.parameters["checkpoint"]["name"] == shipped.GENERATOR
    assert run.parameters["gate"]["segmentor"] == shipped.SEGMENTOR
    assert len(run.parameters["gate"]["sha256"]) == 64


def test_networks_that_do_not_fit_are_refused_at_the_form_with_their_organ(web, host, registry):
    bone = {"organs": ["spleen"]}
    host.masks.filter(kind="organ").update(label="spleen")
    said = refused(web, host, generator="freetumor:small", **bone)
    assert "small was not made for the spleen; it knows liver, pancreas, kidney, lung" in said
    said = refused(web, host, gate="default", segmentor="all", **bone)
    assert "The segmentor all knows no tumor of the spleen, only of liver, pancreas, kidney" in said
    assert "not registered any more" in refused(web, host, generator="freetumor:gone", **bone)
    # the published gate asks for a tumor of any organ, so it may judge one in the spleen
    start(web, host, gate="paper", segmentor="all", **bone)


# -- the job -----------------------------------------------------------------------------------


def test_a_learned_run_keeps_weights_gate_scores_and_versions(web, host, registry, run_jobs):
    run, url = start(web, host, generator="freetumor:small", gate="paper", segmentor="all")
    assert "0 of 1" in web.get(url).content.decode()
    run_jobs()
    run.refresh_from_db()
    assert (run.job.state, run.made) == ("done", 1), run.job.error
    row = run.candidates.get(by_gate=False)
    origin, scores = row.provenance, row.verdict["scores"]
    assert (origin["generator"], origin["checkpoint"]) == ("freetumor", "small")
    assert origin["checkpoint_sha256"] == registry["small"]
    assert origin["gate"] == {"policy": "paper", "segmentor": "all", "sha256": registry["all"]}
    assert origin["parameters"]["checkpoint_sha256"] == registry["small"]
    assert {"torch", "monai", "numpy"} <= set(origin["packages"])
    assert (origin["run_seed"], origin["attempt"]) == (7, row.attempt)
    assert origin["prior"]["source"] == "table"
    # the verdict is the paper's alone, the measurements are there all the same
    assert scores["recall_any"] == 1.0
    assert {"contrast_hu", "noise_hu", "diameter_mm"} <= set(scores)
    assert row.contrast_hu == pytest.approx(scores["contrast_hu"], abs=0.1)
    page = web.get(url).content.decode()
    assert "<strong>1 of 1</strong> lesions passed the gate" in page
    assert registry["small"] in page
    page = web.get(reverse("cases:candidate", args=[row.pk])).content.decode()
    assert f"small, SHA-256 {registry['small']}" in page
    assert "Recall, any organ" in page


def test_the_page_says_k_of_n_and_why_the_others_failed(web, host, registry, run_jobs):
    run, url = start(web, host, gate="default", segmentor="none", per_volume="2")
    few_attempts(run, 3)
    run_jobs()
    page = web.get(url).content.decode()
    drawn = run.candidates.count()
    assert "<strong>0 of 2</strong> lesions passed the gate" in page
    assert f"{drawn} of {drawn} drawn lesions were rejected and kept" in page
    assert "Not recognized by the segmentor" in page
    assert "2 lesions given up" in page
    assert "No lesion passed the gate" in page
    rejected = web.get(url + "?show=rejected").content.decode()
    assert rejected.count('class="shot"') == drawn
    assert "The segmentor calls 0.0% of the lesion a tumor of the liver" in rejected
    assert "<dt>recall</dt><dd>0%</dd>" in rejected
    attempts = list(
        run.candidates.order_by("lesion_index", "attempt").values_list("lesion_index", "attempt")
    )
    assert attempts == [(n, k) for n in (0, 1) for k in (1, 2, 3)]
    # nobody may take back what the gate decided, nor accept it
    row = run.candidates.first()
    assert web.post(reverse("cases:undo", args=[row.pk])).status_code == 409
    assert (
        web.post(reverse("cases:decide", args=[row.pk]), {"decision": "accept"}).status_code == 409
    )


def test_a_segmentor_that_sees_tumors_everywhere_is_no_proof(web, host, registry, run_jobs):
    run, url = start(web, host, gate="default", segmentor="all")
    few_attempts(run, 2)
    run_jobs()
    assert "Segmentor sees tumor around it" in web.get(url).content.decode()
    assert {row.verdict["failed"] for row in run.candidates.all()} == {"ring"}


def test_weights_that_changed_since_the_start_stop_the_run_with_a_sentence(
    web, host, registry, files, run_jobs
):
    run, _ = start(web, host, generator="freetumor:small")
    other = files.parent / "other.safetensors"
    state = build_network(SMALL_CONDITIONAL, 1).state_dict()
    save_checkpoint(other, "generator", SMALL_CONDITIONAL, state)
    import_checkpoint(other, "small", replace=True)
    run_jobs()
    run.refresh_from_db()
    assert run.job.state == "failed"
    assert "small is not the one this run was started with" in run.job.error
    assert not run.candidates.exists()


def test_a_damaged_file_of_weights_is_a_sentence_too(web, host, registry, data_dir, run_jobs):
    run, _ = start(web, host, generator="freetumor:small")
    path = data_dir / "checkpoints" / "small" / "generator.safetensors"
    path.write_bytes(path.read_bytes()[:-40])
    run_jobs()
    run.refresh_from_db()
    assert run.job.state == "failed"
    assert "small/generator.safetensors" in run.job.error
    assert "\n" not in run.job.error


def test_cancel_and_retry_from_the_page_go_on_with_the_same_lesions(
    web, host, registry, monkeypatch
):
    run, _ = start(web, host, generator="freetumor:small", per_volume="2")
    original = making._make

    def stopped_after_first(*args):
        made = original(*args)
        if args[1].index == 0:
            assert web.post(reverse("jobs:cancel", args=[run.job_id])).status_code == 200
        return made

    monkeypatch.setattr(making, "_make", stopped_after_first)
    execute(str(run.job_id))
    run.refresh_from_db()
    assert (run.job.state, run.finished) == ("cancelled", 1)
    shown = web.get(reverse("jobs:detail", args=[run.job_id]), headers={"HX-Request": "true"})
    assert "Try again" in shown.content.decode()
    assert web.post(reverse("jobs:retry", args=[run.job_id])).status_code == 200
    assert "At work" in web.get(reverse("cases:index")).content.decode()
    execute(str(run.job_id))
    run.refresh_from_db()
    assert (run.job.state, run.finished) == ("done", 2)
    assert Job.objects.filter(kind="cases.synthesize").count() == 1


def test_a_run_stops_between_two_attempts_at_one_lesion(web, host, registry, monkeypatch):
    """With a network each attempt takes its time: nobody waits for a dozen of them."""
    from synthesis.engine import quality

    run, _ = start(web, host, gate="default", segmentor="none")
    original, calls = quality.DefaultGate.__call__, []

    def cancelling(*args):
        calls.append(1)
        if len(calls) == 2:
            web.post(reverse("jobs:cancel", args=[run.job_id]))
        return original(*args)

    monkeypatch.setattr(quality.DefaultGate, "__call__", cancelling)
    execute(str(run.job_id))
    run.refresh_from_db()
    assert (run.job.state, run.finished, len(calls)) == ("cancelled", 0, 2)


def test_the_gallery_decides_and_stays_on_the_run(web, made_run):
    first, second = made_run.candidates.filter(state="pending")[:2]
    home = reverse("cases:run", args=[made_run.pk])
    answer = web.post(
        reverse("cases:decide", args=[first.pk]), {"decision": "accept", "back": "run"}
    )
    assert answer.url == f"{home}#lesion-{first.pk}"
    said = {"decision": "reject", "reason": "Implausible place", "back": "run"}
    web.post(reverse("cases:decide", args=[second.pk]), said)
    page = web.get(home).content.decode()
    assert "Implausible place" in page
    assert page.count(">Undo</button>") == 2
    answer = web.post(reverse("cases:undo", args=[second.pk]), {"back": "run"})
    assert answer.url == f"{home}#lesion-{second.pk}"
