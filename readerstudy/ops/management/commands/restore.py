"""`manage.py restore FILE.tar`: a backup into an empty data directory."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import connections

from readerstudy.command import Command as BaseCommand
from readerstudy.errors import UserError
from readerstudy.ops.backup import read_backup
from readerstudy.ops.terminal import progress_line

from .backup import require_sqlite


class Command(BaseCommand):
    help = "Restore a backup into a data directory without a database, then migrate it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("source", metavar="FILE.tar")

    def handle(self, *args: Any, **options: Any) -> None:
        require_sqlite("restored with pg_restore")
        source = Path(options["source"])
        if not source.is_file():
            raise UserError(f"There is no file {source}; give the path of a backup.")
        data_dir = Path(settings.DATA_DIR)
        connections.close_all()
        manifest = read_backup(source, data_dir, progress_line(self.stderr, "Restoring"))
        # A backup of an earlier version is brought up to this one.
        call_command("migrate", verbosity=0, interactive=False)
        call_command("createcachetable", verbosity=0)
        self.stdout.write(
            f"{data_dir}: {len(manifest['files'])} files as they were on {manifest['made_at']}. "
            "Run `manage.py verify_audit` to check the chain of events."
        )
