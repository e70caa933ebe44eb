from __future__ import annotations

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class JobsConfig(AppConfig):
    name = "readerstudy.jobs"

    def ready(self) -> None:
        # Every room registers what may run in a worker in its own jobs.py.
        autodiscover_modules("jobs")
