"""`--queue` of the commands: the same files as without it, made by jobs."""

from __future__ import annotations

import io

import nibabel as nib
import numpy as np
import pytest
from django.core.management import CommandError, call_command

from readerstudy.cases.batches import run_synthesize
from readerstudy.jobs.models import Job
from readerstudy.jobs.registry import JobCancelled
from readerstudy.jobs.services import Context, cancel, claim
from recognition.engine.checkpoints import save_checkpoint
from recognition.engine.networks import NetworkConfig, build
from tests.library import makers
from tests.recognition.conftest import write_volume
from tests.recognition.masks import ball
from tests.synthesis.hosts import ball_host

pytestmark = pytest.mark.django_db
AFFINE = np.diag([-1.5, -1.5, 3.0, 1.0])


def run(*arguments):
    out = io.StringIO()
    call_command(*map(str, arguments), stdout=out, stderr=io.StringIO())
    return out.getvalue()


def files(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "request.json"
    }


@pytest.fixture
def synthesize(tmp_path):
    for number in range(2):
        scan = ball_host((1.5, 1.5, 3.0), radius_mm=26, seed=number)
        case = tmp_path / "scans" / f"c{number}"
        case.mkdir(parents=True)
        makers.write_nifti(case / "ct.nii.gz", scan.hu, affine=AFFINE)
        makers.write_nifti(case / "liver.nii.gz", scan.organ_mask.astype(np.uint8), affine=AFFINE)

    def command(out, *extra):
        return run(
            *("synthesize", "--ct", tmp_path / "scans/{case}/ct.nii.gz", "--organ", "liver"),
            *("--organ-mask", tmp_path / "scans/{case}/liver.nii.gz", "--diameter-mm", "8-12"),
            *("--seed", "7", "--n", "2", "--out", tmp_path / out, *extra),
        )

    return command


def test_synthesis_by_jobs_writes_the_files_of_the_command(synthesize, tmp_path, run_jobs):
    said = synthesize("jobs", "--queue", "gpu")
    assert "2 jobs for the queue gpu" in said
    assert {job.queue for job in Job.objects.all()} == {"gpu"}
    with pytest.raises(CommandError, match="is at work on"):
        synthesize("jobs")
    assert [job.state for job in run_jobs()] == ["done", "done"]
    synthesize("alone")
    assert files(tmp_path / "jobs") == files(tmp_path / "alone")
    assert "nothing was handed in" in synthesize("jobs", "--queue", "cpu")
    assert "0 made, 2 were there already" in synthesize("jobs")


def test_a_job_that_is_cancelled_leaves_nothing_half_written(synthesize, tmp_path, coordinator):
    synthesize("jobs", "--queue", "cpu")
    job = claim(str(Job.objects.first().pk))
    context = Context(job)
    progress = context.progress

    def cancelled_after_the_first(done, total, message=""):
        if done == 1:
            cancel(job, coordinator)
        progress(done, total, message)

    context.progress = cancelled_after_the_first
    with pytest.raises(JobCancelled):
        run_synthesize(context, **job.batch.params, **job.params)
    assert list((tmp_path / "jobs").iterdir()) == []


def test_a_job_whose_result_another_attempt_wrote_ends_well(synthesize, run_jobs):
    synthesize("jobs", "--queue", "cpu")
    run_jobs()
    Job.objects.update(state="queued", attempts=0)
    assert [job.result for job in run_jobs()] == [{"found": True}] * 2


def test_recognition_by_jobs_goes_to_the_gpu_queue_and_refuses_other_weights(tmp_path, run_jobs):
    scans, weights = tmp_path / "scans", tmp_path / "net.safetensors"
    scans.mkdir()
    for seed in (1, 2):
        write_volume(scans, f"s{seed}", seed)
        (scans / f"s{seed}_label.nii.gz").unlink()
    classes = ("background", "liver", "liver tumor")
    config = NetworkConfig(name="segresnet", width=4, classes=classes, spacing_mm=(4.0, 4.0, 4.0))
    save_checkpoint(weights, config, build(config, 1).state_dict(), {})
    given = ("--ct", scans, "--checkpoint", weights, "--window", 16)
    assert "2 jobs for the queue gpu" in run("recognize", *given, "--out", tmp_path / "jobs",
                                             "--queue", "gpu")  # fmt: skip
    assert [job.error for job in run_jobs()] == ["", ""]
    run("recognize", *given, "--out", tmp_path / "alone")
    jobs, alone = files(tmp_path / "jobs"), files(tmp_path / "alone")
    assert {p for p in alone if jobs[p] != alone[p]} <= {p for p in alone if p.suffix == ".dcm"}
    run("recognize", *given, "--out", tmp_path / "later", "--queue", "gpu")
    save_checkpoint(weights, config, build(config, 2).state_dict(), {})
    from readerstudy.cases.recognition.weights import load

    load.cache_clear()
    assert ["SHA-256 differs" in job.error for job in run_jobs()] == [True, True]


def test_measurements_by_jobs_are_those_of_the_command(tmp_path, run_jobs):
    for name in "ab":
        for folder, at in (("ref", 20), ("pred", 22)):
            (tmp_path / folder).mkdir(exist_ok=True)
            mask = ball((12, 40, 40), (6, at, 20), 8, (1, 1, 2.5)).astype(np.uint8)
            image = nib.Nifti1Image(mask.transpose(2, 1, 0), np.diag([1, 1, 2.5, 1.0]))
            nib.save(image, tmp_path / folder / f"{name}.nii.gz")
    given = ("--pred", tmp_path / "pred", "--ref", tmp_path / "ref", "--replicates", 100)
    said = run("evaluate_recognition", *given, "--out", tmp_path / "jobs", "--queue", "cpu")
    assert "2 jobs for the queue cpu" in said
    assert not (tmp_path / "jobs" / "summary.csv").exists()
    run_jobs()
    said = run("evaluate_recognition", *given, "--out", tmp_path / "jobs", "--queue", "cpu")
    assert "0 made, 2 were there already" in said
    run("evaluate_recognition", *given, "--out", tmp_path / "alone")
    assert files(tmp_path / "jobs") == files(tmp_path / "alone")
