"""Who may see and steer a job: the person who started it, and coordinators."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import Http404

from readerstudy.accounts.access import is_coordinator

from .models import Job, JobBatch


def job_or_404(user: Any, job_id: uuid.UUID) -> Job:
    job = Job.objects.filter(pk=job_id).first()
    if job is None or not (job.created_by_id == user.pk or is_coordinator(user)):
        raise Http404
    return job


def batch_or_404(batch_id: uuid.UUID) -> JobBatch:
    """A batch; the views let only coordinators ask."""
    batch = JobBatch.objects.filter(pk=batch_id).first()
    if batch is None:
        raise Http404
    return batch
