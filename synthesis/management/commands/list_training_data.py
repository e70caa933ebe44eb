"""Data lists for training, from scans with masks in files of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from synthesis.command import Command as BaseCommand


class Command(BaseCommand):
    help = (
        "Write Medical Decathlon lists (and one label file for each scan) for scans whose masks "
        "lie in files of their own; a YAML description says which file is which class."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("description", type=Path, metavar="DATA.yaml", help="the description")
        parser.add_argument(
            "--root", type=Path, required=True, metavar="DIR", help="folder its paths count from"
        )
        parser.add_argument(
            "--out", type=Path, required=True, metavar="DIR", help="where lists and labels go"
        )

    def handle(self, *, description: Path, root: Path, out: Path, **options: Any) -> None:
        from synthesis.engine.training.assembling import write_lists

        for path in write_lists(description, root, out):
            self.stdout.write(f"Wrote {path}")
