"""The one Celery task: it receives an id and runs that job."""

from __future__ import annotations

from celery import shared_task
from django.db import close_old_connections


@shared_task(name="readerstudy.jobs.run", ignore_result=True)
def run_job(job_id: str) -> None:
    from .services import execute

    close_old_connections()
    try:
        execute(job_id)
    finally:
        close_old_connections()
