"""Live progress of jobs and batches, and the buttons to stop them or try them again."""

from __future__ import annotations

import uuid

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from readerstudy.accounts.access import coordinator_view
from readerstudy.batch import FAILED, failed_table

from . import batches, selectors, services
from .access import batch_or_404, job_or_404
from .models import JobBatch
from .selectors import progress_of

# htmx stops polling when it is told 286; the page then reloads the parts that depend on it.
STOP_POLLING = 286
BATCHES_SHOWN, FAILED_SHOWN = 50, 100


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


# -- batches: for coordinators -------------------------------------------------------------------


@require_safe
@coordinator_view
def batch_list(request: HttpRequest) -> HttpResponse:
    rows = [selectors.progress_of_batch(one) for one in selectors.batches()[:BATCHES_SHOWN]]
    return render(request, "jobs/batches.html", {"rows": rows})


@require_safe
@coordinator_view
def batch(request: HttpRequest, batch_id: uuid.UUID) -> HttpResponse:
    found = batch_or_404(batch_id)
    if request.htmx:
        return _batch_panel(request, found)
    failed = selectors.failed_jobs(found)[: FAILED_SHOWN + 1]
    context = {
        "progress": selectors.progress_of_batch(found),
        "failed": failed[:FAILED_SHOWN],
        "more": len(failed) > FAILED_SHOWN,
    }
    return render(request, "jobs/batch.html", context)


def _batch_panel(request: HttpRequest, found: JobBatch) -> HttpResponse:
    progress = selectors.progress_of_batch(found)
    response = render(request, "jobs/_batch.html", {"progress": progress})
    if not progress.is_active:
        response["HX-Trigger"] = "job-ended"
    return response


@require_safe
@coordinator_view
def batch_failed(request: HttpRequest, batch_id: uuid.UUID) -> HttpResponse:
    rows = {job.subject: job.error for job in selectors.failed_jobs(batch_or_404(batch_id))}
    response = HttpResponse(failed_table(rows), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{FAILED}"'
    return response


@require_POST
@coordinator_view
def cancel_batch(request: HttpRequest, batch_id: uuid.UUID) -> HttpResponse:
    found = batch_or_404(batch_id)
    batches.cancel_batch(found, request.user)
    return redirect("jobs:batch", found.pk)


@require_POST
@coordinator_view
def retry_batch(request: HttpRequest, batch_id: uuid.UUID) -> HttpResponse:
    found = batch_or_404(batch_id)
    batches.retry_batch(found, request.user)
    return redirect("jobs:batch", found.pk)
