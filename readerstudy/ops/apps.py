from __future__ import annotations

from django.apps import AppConfig


class OpsConfig(AppConfig):
    name = "readerstudy.ops"
    verbose_name = "Operation"

    def ready(self) -> None:
        from readerstudy.ops import checks  # noqa: F401  registers the system checks
