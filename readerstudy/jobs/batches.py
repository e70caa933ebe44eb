"""Writes of batches: one job row for each item, cancelled and tried again together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.db import transaction
from django.utils import timezone

from readerstudy.audit.services import record
from readerstudy.errors import Conflict, UserError

from .models import Job, JobBatch
from .registry import QUEUES, registered

State = Job.State
ACTIVE = (State.QUEUED, State.SENT, State.RUNNING)
#: Jobs of batches go behind every other one.
_PRIORITY = 10
_ROWS_AT_ONCE = 1000


@dataclass(frozen=True)
class Item:
    """One job of a batch: its name, and what it is given besides the batch's parameters."""

    name: str
    params: dict[str, Any]


def submit(
    kind: str,
    items: Iterable[Item],
    *,
    title: str,
    params: dict[str, Any],
    place: str,
    queue: str = "",
    found: int = 0,
    actor: Any = None,
) -> JobBatch:
    """Write a batch with its jobs, all or none; workers that serve `queue` find them.

    Raises:
        LookupError: an unknown kind.
        UserError: no such queue.
        Conflict: another batch is at work on `place`.
    """
    spec = registered(kind)
    queue = queue or spec.queue
    if queue not in QUEUES:
        raise UserError(f"There is no queue {queue!r}; choose cpu or gpu.")
    with transaction.atomic():
        check_free(place)
        batch = JobBatch.objects.create(
            title=title[:200],
            kind=kind,
            queue=queue,
            place=place,
            params=params,
            found=found,
            created_by=actor,
        )
        rows = (
            Job(
                kind=kind,
                queue=queue,
                params=item.params,
                subject=item.name[:120],
                batch=batch,
                priority=_PRIORITY,
                max_attempts=spec.max_attempts,
                created_by=actor,
            )
            for item in items
        )
        count = 0
        while some := list(islice(rows, _ROWS_AT_ONCE)):
            Job.objects.bulk_create(some)
            count += len(some)
        record(actor, "jobs.batch_submitted", batch, data={"kind": kind, "jobs": count})
    return batch


def check_free(place: str) -> None:
    """Raises Conflict when a batch is at work on `place`."""
    if other := JobBatch.objects.filter(place=place, jobs__state__in=ACTIVE).first():
        raise Conflict(f"The batch {short(other)} is at work on {place}; wait for it or cancel it.")


def cancel_batch(batch: JobBatch, actor: Any) -> int:
    """Cancel what waits and stop what runs; returns how many. Raises Conflict for none."""
    with transaction.atomic():
        waiting = batch.jobs.filter(state__in=[State.QUEUED, State.SENT]).update(
            state=State.CANCELLED, cancel_requested=True, finished_at=timezone.now()
        )
        running = batch.jobs.filter(state=State.RUNNING).update(cancel_requested=True)
        if not waiting and not running:
            raise Conflict("This batch has already ended, so it cannot be cancelled.")
        record(actor, "jobs.batch_cancelled", batch, data={"jobs": waiting + running})
    return waiting + running


def retry_batch(batch: JobBatch, actor: Any) -> int:
    """Run its failed and cancelled jobs again; returns how many. Raises Conflict for none."""
    with transaction.atomic():
        again = batch.jobs.filter(state__in=[State.FAILED, State.CANCELLED]).update(
            state=State.QUEUED,
            attempts=0,
            done=0,
            error="",
            cancel_requested=False,
            started_at=None,
            finished_at=None,
            lease_until=None,
            not_before=None,
        )
        if not again:
            raise Conflict("Nothing of this batch failed or was cancelled.")
        record(actor, "jobs.batch_retried", batch, data={"jobs": again})
    return again


def short(batch: JobBatch) -> str:
    """The beginning of its id, which the command `batch` takes."""
    return str(batch.pk)[:8]
