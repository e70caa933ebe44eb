"""What this room runs in a worker."""

from __future__ import annotations

from typing import Any

from readerstudy.jobs.registry import JobContext, job
from readerstudy.trials.models import Trial

from . import services
from .machines.reading import read_by_machines
from .selectors import BUNDLE_JOB, MACHINES_JOB, RESULTS_JOB


def _trial(trial_id: str) -> Trial:
    return Trial.objects.select_related("active_protocol").get(pk=trial_id)


@job(RESULTS_JOB, title="Computing the results")
def run_results(ctx: JobContext, trial_id: str) -> dict[str, Any]:
    """Safe to run again: results that are stored are found, half a folder is never seen."""
    snapshot = services.compute_results(_trial(trial_id), actor=ctx.actor, progress=ctx.progress)
    return {"snapshot": str(snapshot.pk), "sha256": snapshot.sha256}


@job(BUNDLE_JOB, title="Making the export")
def run_bundle(ctx: JobContext, trial_id: str, level: str) -> dict[str, Any]:
    """Safe to run again: the same bytes under the same name."""
    bundle = services.make_bundle(_trial(trial_id), level, actor=ctx.actor, progress=ctx.progress)
    return {"bundle": str(bundle.pk), "sha256": bundle.sha256}


@job(MACHINES_JOB, title="Machines read the cases")
def run_machines(ctx: JobContext, trial_id: str) -> dict[str, Any]:
    """Safe to run again: a machine that has read is not run again, and what was prepared is kept.

    What it reports is the same whatever the cases are: names, and lesions outside the trial.
    """
    done = read_by_machines(_trial(trial_id), actor=ctx.actor, progress=ctx.progress)
    return {"read": done.read, "kept": done.kept, "left_out": done.left_out}
