"""A thread of the worker that hands due job rows to Celery.

It sends no more than there are free slots, so the broker never holds a backlog: with the
in-process broker nothing is lost when the worker dies, because the rows are still there.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from django.db import DatabaseError, close_old_connections

logger = logging.getLogger(__name__)
IDLE_SECONDS, BUSY_SECONDS = 0.5, 0.1


class Dispatcher:
    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, consumer: Any) -> None:
        """Begin dispatching for a ready worker (the sender of Celery's `worker_ready`)."""
        controller = getattr(consumer, "controller", None)
        slots = getattr(getattr(consumer, "pool", None), "num_processes", None) or 1
        queues = sorted(controller.app.amqp.queues.consume_from) if controller else ["cpu"]
        self._stop.clear()
        self._thread = threading.Thread(
            target=self._run, args=(queues, slots), daemon=True, name="job-dispatcher"
        )
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def _run(self, queues: list[str], slots: int) -> None:
        from celery.worker import state

        while not self._stop.is_set():
            sent = 0
            try:
                free = slots - len(state.reserved_requests)
                sent = dispatch(queues, free) if free > 0 else 0
            except DatabaseError as error:
                logger.warning("dispatcher waits for the database: %s", error)
            finally:
                close_old_connections()
            self._stop.wait(BUSY_SECONDS if sent else IDLE_SECONDS)


def dispatch(queues: list[str], limit: int) -> int:
    """Send up to `limit` due jobs to the broker; returns how many."""
    from .services import due
    from .tasks import run_job

    jobs = due(queues, limit)
    for job in jobs:
        run_job.apply_async(args=[str(job.pk)], queue=job.queue)
    return len(jobs)


dispatcher = Dispatcher()
