"""The worker: runs the jobs of the queue of record through Celery."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from typing import Any

from django.db import connections

from readerstudy.command import Command as BaseCommand
from readerstudy.errors import UserError
from readerstudy.jobs.registry import QUEUES
from readerstudy.ops.lifeline import hold_on


class Command(BaseCommand):
    help = "Run queued jobs (imports, synthesis, renditions, exports) until stopped."
    # The checks import every page; a worker serves none.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--concurrency", type=int, default=1, help="jobs at once")
        parser.add_argument("--queues", default="cpu,gpu", help="comma-separated: cpu, gpu")

    def handle(self, *args: Any, **options: Any) -> None:
        queues = [name.strip() for name in options["queues"].split(",")]
        if unknown := set(queues) - set(QUEUES):
            raise UserError(f"There is no queue {min(unknown)!r}; --queues takes cpu, gpu or both.")
        if options["concurrency"] < 1:
            raise UserError("--concurrency must be at least 1.")
        from readerstudy.celery import app

        hold_on()
        # PyTorch would take every core for each job.
        threads = max(1, (os.cpu_count() or 1) // options["concurrency"])
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))
        # The pool is forked from here: no connection may be shared with it.
        connections.close_all()
        app.worker_main(
            [
                "--quiet",
                "worker",
                "--pool=prefork",
                f"--concurrency={options['concurrency']}",
                f"--queues={','.join(queues)}",
                "--loglevel=WARNING",
                "--without-gossip",
                "--without-mingle",
                "--without-heartbeat",
            ]
        )
