"""Base of synthesis' management commands: what a person can mend is one sentence, status 2."""

from __future__ import annotations

from typing import Any

from django.core.management.base import (
    BaseCommand,  # noqa: TID251  synthesis imports nothing of readerstudy
    CommandError,
)
from django.db.utils import OperationalError, ProgrammingError

from synthesis.engine.errors import SynthesisError


class Command(BaseCommand):
    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except SynthesisError as error:
            raise CommandError(str(error), returncode=2) from error
        except (OperationalError, ProgrammingError) as error:
            reason = (str(error).splitlines() or ["no reason given"])[0]
            raise CommandError(
                f"The database cannot be used ({reason}); set it up with `manage.py migrate`, or "
                "try again when it is free.",
                returncode=2,
            ) from error
        except KeyboardInterrupt:
            raise CommandError("Stopped.", returncode=130) from None
