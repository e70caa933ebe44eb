"""System checks of the installation: each has a stable id and says what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Warning, register

# SQLite before 3.51.3 has a very rare race of two connections that can harm a WAL database.
FIXED_SQLITE = (3, 51, 3)


@register(deploy=True)
def check_sqlite_version(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    if settings.DATABASES["default"]["ENGINE"] != "django.db.backends.sqlite3":
        return []
    return sqlite_version_messages(sqlite3.sqlite_version_info)


def sqlite_version_messages(version: tuple[int, ...]) -> list[CheckMessage]:
    """What to say about a linked SQLite of this `version`."""
    if version >= FIXED_SQLITE:
        return []
    linked, fixed = (".".join(map(str, v[:3])) for v in (version, FIXED_SQLITE))
    return [
        Warning(
            f"Python is linked with SQLite {linked}; a rare write race was fixed in {fixed}.",
            hint="Fine for a demo. For a study, run `manage.py backup` often or set "
            "READERSTUDY_DATABASE_URL to PostgreSQL.",
            id="readerstudy.ops.W001",
        )
    ]
