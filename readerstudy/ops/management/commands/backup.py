"""`manage.py backup FILE.tar`: database and data files in one file, while the platform runs."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings

from readerstudy.command import Command as BaseCommand
from readerstudy.errors import UserError
from readerstudy.ops.backup import write_backup
from readerstudy.ops.terminal import progress_line


class Command(BaseCommand):
    help = "Back up the SQLite database and the data files into one tar file."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("out", metavar="FILE.tar", help="file to write; must not exist")

    def handle(self, *args: Any, **options: Any) -> None:
        require_sqlite("backed up with pg_dump")
        out = Path(options["out"])
        manifest = write_backup(
            Path(settings.DATA_DIR), out, progress_line(self.stderr, "Backing up")
        )
        self.stdout.write(f"{out}: {len(manifest['files'])} files, {out.stat().st_size:,} bytes.")


def require_sqlite(instead: str) -> None:
    if settings.DATABASES["default"]["ENGINE"] != "django.db.backends.sqlite3":
        raise UserError(
            f"This installation uses PostgreSQL, which is {instead} (docs/howto-deploy.md shows "
            "how, together with the data directory)."
        )
