"""List the registered network weights."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandParser

from synthesis.command import Command as BaseCommand
from synthesis.models import Checkpoint
from synthesis.selectors import checkpoint, checkpoint_file, checkpoints, ships


class Command(BaseCommand):
    help = "List the registered network weights; with a name, print its model card."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", help="print the model card of this one")
        parser.add_argument("--kind", choices=Checkpoint.Kind.values, help="only this kind")
        parser.add_argument("--json", action="store_true", help="machine-readable list")

    def handle(self, *, name: str | None, kind: str | None, **options: Any) -> None:
        if name is not None:
            self.stdout.write(checkpoint(name, kind).card)
            return
        rows = checkpoints(kind)
        if options["json"]:
            self.stdout.write(json.dumps([_fields(row) for row in rows], indent=2))
            return
        for row in rows:
            self.stdout.write(
                f"{row.name:32s} {row.kind:14s} {row.architecture:18s} "
                f"{row.parameters / 1e6:8.2f} M  {row.sha256[:12]}"
                f"{'  shipped' if ships(row) else ''}"
            )
        if not rows:
            self.stdout.write("No such weights are registered yet: import_checkpoint adds some.")


def _fields(row: Checkpoint) -> dict[str, Any]:
    return {
        "name": row.name,
        "kind": row.kind,
        "architecture": row.architecture,
        "config": row.config,
        "parameters": row.parameters,
        "sha256": row.sha256,
        "file": str(checkpoint_file(row)),
        "source": row.source,
        "revision": row.revision,
        "licence": row.licence,
        "shipped": ships(row),
        "created_at": row.created_at.isoformat(),
    }
