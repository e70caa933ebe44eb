"""The stored orders, and the truth table after unblinding."""

from __future__ import annotations

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from readerstudy.trials import selectors, services
from readerstudy.trials.access import trial_for
from readerstudy.trials.design.protocol import canonical_json
from readerstudy.trials.models import Trial

from .trials import page

# Orders of many readers, side by side, would let a patient coordinator work out which cases
# balance which: while answers come in, only sums are shown.
SHOWS_ORDERS = (Trial.State.DRAFT, Trial.State.UNBLINDED)


@require_http_methods(["GET", "HEAD", "POST"])
def allocation(request: HttpRequest, slug: str) -> HttpResponse:
    trial = trial_for(request.user, slug, "manage")
    if request.method == "POST":
        if services.request_allocation(trial, actor=request.user) is None:
            messages.success(request, "The orders are made and stored.")
        return redirect("trials:allocation", trial.slug)
    job = services.latest_job(services.ALLOCATE, trial)
    unmade = job is not None and job.state != job.State.DONE and not trial.allocation_basis
    context = page(
        request,
        trial,
        job=job if job is not None and (job.is_active or unmade) else None,
        protocol=selectors.active_protocol(trial),
        summary=selectors.allocation_summary(trial),
        reader_count=selectors.active_readers(trial).count(),
        shows_orders=trial.state in SHOWS_ORDERS,
        prepared=trial.cases.count(),
    )
    return render(request, "trials/allocation.html", context)


@require_safe
def allocation_file(request: HttpRequest, slug: str) -> HttpResponse:
    trial = trial_for(request.user, slug, "manage")
    if trial.state not in SHOWS_ORDERS:
        raise Http404
    response = HttpResponse(selectors.allocation_csv(trial), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{trial.slug}-orders.csv"'
    return response


@require_safe
def truth_file(request: HttpRequest, slug: str) -> HttpResponse:
    """The truth as the canonical bytes that were committed to: salt + this file, hashed."""
    trial = trial_for(request.user, slug, "view")
    if trial.state != Trial.State.UNBLINDED:
        raise Http404
    with transaction.atomic():
        services.log_truth_download(trial, actor=request.user)
        content = canonical_json(selectors.truth_document(trial))
    response = HttpResponse(content, content_type="application/json")
    response["Content-Disposition"] = f'attachment; filename="{trial.slug}-truth.json"'
    return response
