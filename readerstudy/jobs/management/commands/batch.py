"""See, cancel or try again what was handed to the workers with --queue."""

from __future__ import annotations

import argparse
import time
from typing import Any

from readerstudy.batch import failed_table
from readerstudy.command import Command as BaseCommand
from readerstudy.errors import UserError
from readerstudy.jobs.batches import cancel_batch, retry_batch, short
from readerstudy.jobs.models import JobBatch
from readerstudy.jobs.selectors import BatchProgress, batches, failed_jobs, progress_of_batch
from readerstudy.templatetags.ui import duration_words

EPILOG = """
  synthesize --ct scans.json --organ liver --seed 7 --out made --queue cpu
  batch                    all batches, newest first
  batch status 3f2a        how far one is, with throughput and time left; --follow until it ends
  batch failed 3f2a        what failed, as CSV
  batch cancel 3f2a
  batch retry 3f2a         the failed and cancelled ones again

An id may be shortened, and left out where there is one batch only.
"""
_SHOWN = 10
_LOOK_EVERY_S = 2.0


class Command(BaseCommand):
    requires_system_checks: list[str] = []
    help = "Batches of work on files: how far they are, cancel, try again."

    def create_parser(self, *args: Any, **options: Any) -> Any:
        options["epilog"] = EPILOG
        options["formatter_class"] = argparse.RawDescriptionHelpFormatter
        return super().create_parser(*args, **options)

    def add_arguments(self, parser: Any) -> None:
        verbs = ["list", "status", "failed", "cancel", "retry"]
        parser.add_argument("verb", nargs="?", choices=verbs, default="list")
        parser.add_argument("id", nargs="?", default="", help="of the batch, or its beginning")
        parser.add_argument("--follow", action="store_true", help="status: until the batch ends")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["verb"] == "list":
            rows = [_line(progress_of_batch(batch)) for batch in batches()[:50]]
            self.stdout.write("\n".join(rows) or "There are no batches.")
            return
        batch = _batch(options["id"])
        getattr(self, f"_{options['verb']}")(batch, options)

    def _status(self, batch: JobBatch, options: dict[str, Any]) -> None:
        said = ""
        while True:
            progress = progress_of_batch(batch)
            if (line := _line(progress)) != said:
                said = line
                self.stdout.write(line)
                self.stdout.flush()
            if not options["follow"] or not progress.is_active:
                break
            time.sleep(_LOOK_EVERY_S)
        for job in failed_jobs(batch)[:_SHOWN]:
            self.stdout.write(f"  {job.subject}: {job.error}")
        if progress.failed > _SHOWN:
            self.stdout.write(f"  and {progress.failed - _SHOWN} more: batch failed {short(batch)}")

    def _failed(self, batch: JobBatch, options: dict[str, Any]) -> None:
        rows = {job.subject: job.error for job in failed_jobs(batch).iterator()}
        self.stdout.write(failed_table(rows).decode(), ending="")

    def _cancel(self, batch: JobBatch, options: dict[str, Any]) -> None:
        self.stdout.write(f"{cancel_batch(batch, None)} jobs cancelled; what is done stays done.")

    def _retry(self, batch: JobBatch, options: dict[str, Any]) -> None:
        self.stdout.write(f"{retry_batch(batch, None)} jobs wait for a worker again.")


def _batch(given: str) -> JobBatch:
    """Raises UserError when none, or more than one, begins like that."""
    found = [batch for batch in batches() if str(batch.pk).startswith(given.lower())]
    if len(found) == 1:
        return found[0]
    if not found:
        raise UserError(f"There is no batch {given!r}; `batch` lists them.")
    raise UserError(f"{len(found)} batches begin with {given!r}; `batch` lists them, give one id.")


def _line(progress: BatchProgress) -> str:
    parts = [f"{progress.done:,} of {progress.total:,} done"]
    for number, word in (
        (progress.failed, "failed"),
        (progress.cancelled, "cancelled"),
        (progress.running, "running"),
    ):
        if number:
            parts.append(f"{number:,} {word}")
    if progress.per_minute:
        parts.append(f"{progress.per_minute:.1f} a minute")
    if progress.eta:
        parts.append(f"about {duration_words(progress.eta)} left")
    batch = progress.batch
    return f"{short(batch)}  {batch.title} [{batch.queue}]: {progress.words}; {', '.join(parts)}"
