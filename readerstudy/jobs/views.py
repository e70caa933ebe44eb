"""Live progress of a job, and the buttons to stop it or try it again."""

from __future__ import annotations

import uuid

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST, require_safe

from . import services
from .access import job_or_404
from .selectors import progress_of

# htmx stops polling when it is told 286; the page then reloads the parts that depend on it.
STOP_POLLING = 286


def _panel(request: HttpRequest, job_id: uuid.UUID) -> HttpResponse:
    job = job_or_404(request.user, job_id)
    response = render(request, "jobs/_progress.html", {"progress": progress_of(job)})
    if not job.is_active and request.htmx:
        response["HX-Trigger"] = "job-ended"
    return response


@require_safe
def detail(request: HttpRequest, job_id: uuid.UUID) -> HttpResponse:
    if request.htmx:
        return _panel(request, job_id)
    job = job_or_404(request.user, job_id)
    return render(request, "jobs/detail.html", {"job": job})


@require_POST
def cancel(request: HttpRequest, job_id: uuid.UUID) -> HttpResponse:
    services.cancel(job_or_404(request.user, job_id), request.user)
    return _panel(request, job_id)


@require_POST
def retry(request: HttpRequest, job_id: uuid.UUID) -> HttpResponse:
    services.retry(job_or_404(request.user, job_id), request.user)
    return _panel(request, job_id)
