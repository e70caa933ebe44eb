"""All writes to the job row. Every change of state is one compare-and-set UPDATE.

queued -> sent -> running -> done | failed | cancelled; an expired lease goes back to queued.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from readerstudy.audit.services import record
from readerstudy.errors import Conflict, UserError

from .models import Job
from .registry import JobCancelled, JobFenced, registered

logger = logging.getLogger(__name__)
State = Job.State
GENERIC_FAILURE = (
    "The work stopped because of an error of the platform itself; try again, and if it fails "
    "again give the job number to the person who runs this installation."
)


def lease() -> Any:
    return timezone.now() + timedelta(seconds=settings.JOB_LEASE_SECONDS)


def enqueue(kind: str, params: dict[str, Any], *, actor: Any = None, subject: str = "") -> Job:
    """Write a job row; a worker's dispatcher finds it. Raises LookupError for an unknown kind."""
    spec = registered(kind)
    with transaction.atomic():
        job = Job.objects.create(
            kind=kind,
            queue=spec.queue,
            params=params,
            subject=subject,
            max_attempts=spec.max_attempts,
            created_by=actor,
        )
        record(actor, "jobs.enqueued", job, data={"kind": kind, "subject": subject})
    return job


def cancel(job: Job, actor: Any) -> None:
    """Ask a job to stop; one that no worker has begun is cancelled at once."""
    with transaction.atomic():
        waiting = Job.objects.filter(pk=job.pk, state__in=[State.QUEUED, State.SENT]).update(
            state=State.CANCELLED, cancel_requested=True, finished_at=timezone.now()
        )
        running = Job.objects.filter(pk=job.pk, state=State.RUNNING).update(cancel_requested=True)
        if not waiting and not running:
            raise Conflict("This job has already ended, so it cannot be cancelled.")
        record(actor, "jobs.cancelled", job, data={"kind": job.kind})


def retry(job: Job, actor: Any) -> None:
    """Run a failed or cancelled job again from its last checkpoint."""
    with transaction.atomic():
        changed = Job.objects.filter(pk=job.pk, state__in=[State.FAILED, State.CANCELLED]).update(
            state=State.QUEUED,
            attempts=0,
            error="",
            cancel_requested=False,
            finished_at=None,
            lease_until=None,
            not_before=None,
        )
        if not changed:
            raise Conflict("Only a failed or cancelled job can be tried again.")
        record(actor, "jobs.retried", job, data={"kind": job.kind})


def due(queues: list[str], limit: int) -> list[Job]:
    """Mark up to `limit` due jobs as sent and return them. Safe with several dispatchers."""
    now = timezone.now()
    expired = Q(state__in=[State.SENT, State.RUNNING], lease_until__lt=now)
    fresh = Q(state=State.QUEUED) & (Q(not_before__isnull=True) | Q(not_before__lte=now))
    rows: list[Job] = []
    with transaction.atomic():
        # one after the other: each has its index, and together they have none
        for which in (expired, fresh):
            rows += (
                Job.objects.select_for_update(skip_locked=True)
                .filter(which, queue__in=queues)
                .order_by("priority", "created_at")[: limit - len(rows)]
            )
        sent = []
        for job in rows:
            if job.state == State.RUNNING and job.attempts >= job.max_attempts:
                _end(job, State.FAILED, error=GENERIC_FAILURE)
                continue
            job.state, job.lease_until = State.SENT, lease()
            job.save(update_fields=["state", "lease_until"])
            sent.append(job)
    return sent


def claim(job_id: str) -> Job | None:
    """Take a sent job for execution; None when it is taken, ended or cancelled."""
    claimed = Job.objects.filter(pk=job_id, state__in=[State.SENT, State.QUEUED]).update(
        state=State.RUNNING,
        attempts=F("attempts") + 1,
        started_at=timezone.now(),
        lease_until=lease(),
    )
    return Job.objects.get(pk=job_id) if claimed else None


def _end(job: Job, state: str, **fields: Any) -> bool:
    values = {"state": state, "finished_at": timezone.now(), "lease_until": None, **fields}
    return bool(
        Job.objects.filter(pk=job.pk, state=State.RUNNING, attempts=job.attempts).update(**values)
    )


class Context:
    """The `JobContext` of one attempt. Every write is fenced by the attempt number."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.checkpoint: dict[str, Any] = dict(job.checkpoint)

    @property
    def job_id(self) -> str:
        return str(self._job.pk)

    @property
    def actor(self) -> Any:
        return self._job.created_by

    def _update(self, **fields: Any) -> None:
        mine = Job.objects.filter(pk=self._job.pk, state=State.RUNNING, attempts=self._job.attempts)
        if not mine.update(lease_until=lease(), **fields):
            raise JobFenced(f"attempt {self._job.attempts} of job {self._job.pk} was superseded")

    def save_checkpoint(self, data: dict[str, Any]) -> None:
        self.checkpoint = dict(data)
        self._update(checkpoint=self.checkpoint)

    def progress(self, done: int, total: int, message: str = "") -> None:
        """Report and renew the lease. Raises JobCancelled or JobFenced."""
        self._update(done=done, total=total, message=message[:300])
        if Job.objects.filter(pk=self._job.pk, cancel_requested=True).exists():
            raise JobCancelled


def execute(job_id: str) -> None:
    """Run one job to its end. Called by the Celery task, and inline by tests and commands."""
    job = claim(job_id)
    if job is None:
        return
    from .heartbeat import heartbeat

    context = Context(job)
    try:
        with heartbeat(job):
            common = job.batch.params if job.batch else {}
            result = registered(job.kind).function(context, **common, **job.params)
    except JobCancelled:
        _end(job, State.CANCELLED, message="")
    except JobFenced:
        logger.warning("job superseded", extra={"job": str(job.pk), "kind": job.kind})
    except UserError as error:
        _end(job, State.FAILED, error=str(error))
    except Exception:
        logger.exception("job failed", extra={"job": str(job.pk), "kind": job.kind})
        _fail_or_requeue(job)
    else:
        done = Job.objects.values_list("total", flat=True).get(pk=job.pk)
        _end(job, State.DONE, result=result or {}, done=done, message="")


def _fail_or_requeue(job: Job) -> None:
    if job.attempts >= job.max_attempts:
        _end(job, State.FAILED, error=GENERIC_FAILURE)
        return
    wait = timezone.now() + timedelta(seconds=2**job.attempts)
    Job.objects.filter(pk=job.pk, state=State.RUNNING, attempts=job.attempts).update(
        state=State.QUEUED, lease_until=None, not_before=wait
    )
