"""`check_statistics DIR`: the engine against reference numbers of other software."""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from readerstudy.command import Command as BaseCommand
from readerstudy.errors import UserError
from readerstudy.storage import atomic_write_bytes


class Command(BaseCommand):
    help = "Run every check of every *.expected.json in a folder against the statistics engine."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path, help="folder with NAME.expected.json and NAME.csv")
        parser.add_argument(
            "--record",
            action="store_true",
            help="store the outcome with the engine, as reports print it (for its developers)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        from readerstudy.analysis import validation
        from readerstudy.analysis.stats.reference import run_folder
        from readerstudy.analysis.stats.serialize import dumps

        folder = options["folder"]
        if not any(folder.glob("*.expected.json")):
            raise UserError(
                f"{folder} holds no *.expected.json: give a folder with reference sets."
            )
        counts: Counter[str] = Counter()
        outcomes = []
        for outcome in run_folder(folder):
            outcomes.append(outcome)
            counts[outcome.state] += 1
            if outcome.state != "passed":
                for line in outcome.lines:
                    word = "skipped: " if outcome.state == "skipped" else ""
                    self.stdout.write(f"{outcome.dataset} {outcome.check} {word}{line}")
        total = ", ".join(f"{counts[state]} {state}" for state in ("passed", "failed", "skipped"))
        if counts["failed"]:
            raise CommandError(total, returncode=1)
        if options["record"]:
            atomic_write_bytes(validation.RECORD, dumps(validation.summary(outcomes)).encode())
        self.stdout.write(total)
