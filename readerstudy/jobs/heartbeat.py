"""Keeps the lease of a running job alive through steps that report no progress for a while."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import DatabaseError, connection

from .models import Job

logger = logging.getLogger(__name__)


@contextmanager
def heartbeat(job: Job) -> Iterator[None]:
    """Renew the lease from a thread every third of its length until the block ends.

    The thread lives in the process that does the work, so a killed process loses its lease.
    Inside a transaction (tests) another connection cannot see the row: there the lease stands.
    """
    if connection.in_atomic_block:
        yield
        return
    stop = threading.Event()
    thread = threading.Thread(target=_beat, args=(job, stop), daemon=True, name="job-heartbeat")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=5)


def _beat(job: Job, stop: threading.Event) -> None:
    from .services import lease

    try:
        while not stop.wait(settings.JOB_LEASE_SECONDS / 3):
            try:
                Job.objects.filter(
                    pk=job.pk, state=Job.State.RUNNING, attempts=job.attempts
                ).update(lease_until=lease())
            except DatabaseError:
                logger.warning("lease not renewed this time", extra={"job": str(job.pk)})
    finally:
        connection.close()
