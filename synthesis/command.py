"""Base of synthesis' management commands: a `SynthesisError` is one sentence and exit status 2."""

from __future__ import annotations

from typing import Any

from django.core.management.base import (
    BaseCommand,  # noqa: TID251  synthesis imports nothing of readerstudy
    CommandError,
)

from synthesis.engine.errors import SynthesisError


class Command(BaseCommand):
    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except SynthesisError as error:
            raise CommandError(str(error), returncode=2) from error
        except KeyboardInterrupt:
            raise CommandError("Stopped.", returncode=130) from None
