"""Reads of the job row, and what a progress bar shows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from .models import Job
from .registry import registered


@dataclass(frozen=True)
class Progress:
    """What a person sees of a job."""

    job: Job
    title: str
    percent: int
    eta: timedelta | None
    words: str


STATE_WORDS = {
    Job.State.QUEUED: "Waiting for a worker",
    Job.State.SENT: "Starting",
    Job.State.RUNNING: "Running",
    Job.State.DONE: "Done",
    Job.State.FAILED: "Failed",
    Job.State.CANCELLED: "Cancelled",
}


def progress_of(job: Job) -> Progress:
    percent = int(100 * job.done / job.total) if job.total else 0
    if job.state == Job.State.DONE:
        percent = 100
    eta = None
    if job.state == Job.State.RUNNING and job.started_at and 0 < job.done < job.total:
        elapsed = timezone.now() - job.started_at
        eta = elapsed * ((job.total - job.done) / job.done)
    words = "Stopping" if job.is_active and job.cancel_requested else STATE_WORDS[job.state]
    return Progress(job, registered(job.kind).title, min(percent, 100), eta, words)
