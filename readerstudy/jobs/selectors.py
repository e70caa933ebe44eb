"""Reads of jobs and batches, and what a progress bar shows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Count, Max, Min, Q, QuerySet
from django.utils import timezone

from .models import Job, JobBatch
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


# -- batches -------------------------------------------------------------------------------------

#: Throughput is that of the last minutes, so that a worker more or less soon shows.
_WINDOW = timedelta(minutes=10)
_ENDED = (Job.State.DONE, Job.State.FAILED)


@dataclass(frozen=True)
class BatchProgress:
    """What a person sees of a batch; `per_minute` and `eta` are None where nothing says."""

    batch: JobBatch
    total: int
    done: int
    failed: int
    cancelled: int
    running: int
    waiting: int
    stopping: bool
    per_minute: float | None
    eta: timedelta | None

    @property
    def is_active(self) -> bool:
        return bool(self.running or self.waiting)

    @property
    def again(self) -> int:
        """How many could be tried again."""
        return self.failed + self.cancelled

    @property
    def percent(self) -> int:
        return int(100 * (self.done + self.failed) / self.total) if self.total else 100

    @property
    def words(self) -> str:
        if self.is_active:
            moving = "Running" if self.running else "Waiting for a worker"
            return "Stopping" if self.stopping else moving
        if self.cancelled:
            return "Cancelled"
        return "Done, with failures" if self.failed else "Done"

    @property
    def state(self) -> str:
        """Of the badge: the name of a state of a job."""
        if self.is_active:
            return "running" if self.running else "queued"
        return "cancelled" if self.cancelled else "failed" if self.failed else "done"


def batches() -> QuerySet[JobBatch]:
    """Newest first."""
    return JobBatch.objects.select_related("created_by")


def progress_of_batch(batch: JobBatch) -> BatchProgress:
    jobs = Job.objects.filter(batch=batch)
    counts = {row["state"]: row["n"] for row in jobs.values("state").annotate(n=Count("pk"))}
    of = Job.State
    waiting = counts.get(of.QUEUED, 0) + counts.get(of.SENT, 0)
    left = waiting + counts.get(of.RUNNING, 0)
    rate = _per_minute(jobs, active=left > 0)
    return BatchProgress(
        batch=batch,
        total=sum(counts.values()) + batch.found,
        done=counts.get(of.DONE, 0) + batch.found,
        failed=counts.get(of.FAILED, 0),
        cancelled=counts.get(of.CANCELLED, 0),
        running=counts.get(of.RUNNING, 0),
        waiting=waiting,
        stopping=bool(left) and jobs.filter(state=of.RUNNING, cancel_requested=True).exists(),
        per_minute=rate,
        eta=timedelta(minutes=left / rate) if rate and left else None,
    )


def _per_minute(jobs: QuerySet[Job], *, active: bool) -> float | None:
    """Jobs that ended, by the minute: of the last minutes, or in all once the batch is over."""
    span = jobs.aggregate(
        begun=Min("started_at"), ended=Max("finished_at", filter=Q(state__in=_ENDED))
    )
    if span["begun"] is None or span["ended"] is None:
        return None
    until = timezone.now() if active else span["ended"]
    since = max(span["begun"], until - _WINDOW) if active else span["begun"]
    ended = jobs.filter(state__in=_ENDED, finished_at__gt=since).count()
    minutes = (until - since).total_seconds() / 60
    return ended / minutes if ended and minutes > 0 else None


def failed_jobs(batch: JobBatch) -> QuerySet[Job]:
    """Its failed jobs by name; `error` says why."""
    return Job.objects.filter(batch=batch, state=Job.State.FAILED).order_by("subject")
