"""Fill an empty installation with a trial to try."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from readerstudy.command import Command as Base
from readerstudy.errors import UserError
from readerstudy.ops import seeding


class Command(Base):
    help = "Make the demo trial (slug: demo) from phantoms, or from the volumes in a folder."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--ct", type=Path, metavar="DIR", help="a folder with one per volume")

        parser.add_argument(
            "--pool",
            action="store_true",
            help="also make lesions of other patients, for machine readers to learn from",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        folder = options["ct"]
        if folder is not None and not folder.is_dir():
            raise UserError(f"--ct {folder} is not a folder; give the one that holds the volumes.")
        if options["pool"] and folder is not None:
            raise UserError("--pool makes phantoms, which are unlike --ct; leave one of them out.")
        self._trial(folder)
        if options["pool"]:
            started = time.monotonic()
            lesions = seeding.seed_pool(self.stdout.write)
            self.stdout.write(
                f"{lesions} lesions of other patients are there to learn from, made in "
                f"{time.monotonic() - started:.0f} s."
            )

    def _trial(self, folder: Path | None) -> None:
        if seeding.demo_exists():
            self.stdout.write("The demo trial is there already; nothing was changed.")
            return
        started = time.monotonic()
        trial = seeding.seed(self.stdout.write, folder)
        self.stdout.write(
            f"The trial “{trial.title}” is open with {trial.cases.count()} cases, "
            f"made in {time.monotonic() - started:.0f} s."
        )
