"""Base of the management commands: a `UserError` is one sentence on stderr and an exit status.

The status is 2, or 3 where a batch was worked through and some of its items failed.
"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from readerstudy.errors import UserError


class Command(BaseCommand):
    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except UserError as error:
            raise CommandError(str(error), returncode=error.exit_status) from error
        except KeyboardInterrupt:
            raise CommandError("Stopped.", returncode=130) from None
