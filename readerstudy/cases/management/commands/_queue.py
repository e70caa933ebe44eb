"""Two ways to work through many files: processes of this machine, or the workers of many."""

from __future__ import annotations

from typing import Any

from readerstudy.jobs.batches import short
from readerstudy.jobs.models import JobBatch
from readerstudy.jobs.registry import QUEUES


def add_ways(parser: Any) -> None:
    parser.add_argument("--workers", type=int, default=1, help="processes, with many (1)")
    parser.add_argument(
        "--queue",
        choices=QUEUES,
        help="leave the work to the workers of this queue, a job each; `batch` shows how far it is",
    )


def handed_in(batch: JobBatch | None) -> str:
    """What is said to the person who handed a batch in."""
    if batch is None:
        return "Every result is there already; nothing was handed in."
    there = f"; {batch.found:,} results were there already" if batch.found else ""
    return (
        f"Batch {short(batch)}: {batch.jobs.count():,} jobs for the queue {batch.queue}{there}. "
        f"How far it is: batch status {short(batch)}, or the page Batches."
    )
