"""The cases of a trial: a draft chooses them, a running trial lists them without their arms."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from readerstudy.trials import selectors, services
from readerstudy.trials.access import trial_for
from readerstudy.trials.models import Trial

from .trials import page


@require_safe
def cases(request: HttpRequest, slug: str) -> HttpResponse:
    trial = trial_for(request.user, slug, "manage")
    if trial.state != Trial.State.DRAFT:
        unblinded = trial.state == Trial.State.UNBLINDED
        context = page(
            request,
            trial,
            cases=selectors.case_rows(trial),
            truth=selectors.truth_rows(trial) if unblinded else None,
        )
        return render(request, "trials/cases_locked.html", context)
    protocol = selectors.active_protocol(trial)
    context = page(request, trial, protocol=protocol)
    if protocol is not None:
        chosen = list(selectors.chosen_rows(trial))
        job = services.latest_job(services.PREPARE, trial)
        context |= {
            "table": selectors.selection_table(trial, protocol),
            "stock": selectors.stock_rows(trial, protocol),
            "chosen_count": sum(1 for row in chosen if row.phase),
            "prepared": trial.cases.count(),
            "job": job if job is not None and job.state != job.State.DONE else None,
        }
    return render(request, "trials/cases.html", context)


@require_POST
def draw(request: HttpRequest, slug: str) -> HttpResponse:
    trial = trial_for(request.user, slug, "manage")
    result = services.choose_cases(trial, actor=request.user)
    for sentence in (*result.missing, *result.notes):
        messages.warning(request, sentence)
    if not result.missing:
        messages.success(request, f"{len(result.picks)} cases are drawn; prepare them next.")
    return redirect("trials:cases", trial.slug)


@require_POST
def mark(request: HttpRequest, slug: str, candidate_id: uuid.UUID, what: str) -> HttpResponse:
    """Include, exclude or leave a candidate to chance."""
    trial = trial_for(request.user, slug, "manage")
    if what == "include":
        services.include(trial, candidate_id, actor=request.user)
    elif what == "exclude":
        reason = request.POST.get("reason", "")
        services.exclude(trial, candidate_id, reason=reason, actor=request.user)
    else:
        services.clear(trial, candidate_id, actor=request.user)
    messages.success(request, "Noted; draw the cases again to put it into effect.")
    return redirect("trials:cases", trial.slug)


@require_POST
def prepare(request: HttpRequest, slug: str) -> HttpResponse:
    trial = trial_for(request.user, slug, "manage")
    services.request_preparation(trial, actor=request.user)
    return redirect("trials:cases", trial.slug)
