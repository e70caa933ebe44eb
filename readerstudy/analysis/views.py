"""Pages and downloads of results. Thin: a loader, a selector or a service, a template."""

from __future__ import annotations

import json
import uuid
from typing import Any

from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from readerstudy.cases.frames import read_frame
from readerstudy.errors import UserError
from readerstudy.reading.frames import CONTENT_TYPE
from readerstudy.trials.access import require_trial_staff
from readerstudy.trials.models import Trial

from . import explorer, pages, planner, selectors, services
from .access import bundle_or_404, trial_or_404, truth_case_or_404
from .machines import selectors as seats
from .models import Bundle, ResultsSnapshot

TYPES = {"svg": "image/svg+xml", "png": "image/png"}


def _snapshot(trial: Trial) -> ResultsSnapshot:
    snapshot = selectors.snapshot_of(trial)
    if snapshot is None:
        raise Http404
    return snapshot


def _exports(user: Any, trial: Trial) -> dict[str, Any]:
    job = selectors.latest_job(trial, selectors.BUNDLE_JOB)
    shown = job if job is not None and (job.is_active or job.error) else None
    return {
        "trial": trial,
        "bundles": selectors.bundles(trial),
        "unblinded": trial.state == Trial.State.UNBLINDED,
        "may_export": trial.state != Trial.State.DRAFT,
        "export": pages.job_for(user, shown),
    }


def _machines(user: Any, trial: Trial) -> dict[str, Any]:
    """Who of the machines has read, and the job that lets them: the same sealed or not."""
    if trial.state == Trial.State.DRAFT:
        return {}
    job = selectors.latest_job(trial, selectors.MACHINES_JOB)
    shown = job if job is not None and job.state != job.State.DONE else None
    return {"machines": seats.standing(trial), "machine_work": pages.job_for(user, shown)}


@require_safe
def results(request: HttpRequest, slug: str) -> HttpResponse:
    trial = trial_or_404(request.user, slug)
    context = {**_exports(request.user, trial), **_machines(request.user, trial), "trial": trial}
    if trial.state != Trial.State.UNBLINDED:
        context["steps"] = selectors.steps_to_results(trial)
        return render(request, "analysis/sealed.html", context)
    snapshot = selectors.snapshot_of(trial)
    if snapshot is None:
        context["work"] = pages.job_for(
            request.user, selectors.latest_job(trial, selectors.RESULTS_JOB)
        )
        return render(request, "analysis/pending.html", context)
    job = selectors.latest_job(trial, selectors.RESULTS_JOB)
    context |= {
        "stale": not selectors.is_current(snapshot),
        "work": pages.job_for(request.user, job if job is not None and job.is_active else None),
    }
    context |= {"snapshot": snapshot, **pages.results_page(request.user, trial, snapshot)}
    return render(request, "analysis/results.html", context)


@require_POST
def compute(request: HttpRequest, slug: str) -> HttpResponse:
    trial = trial_or_404(request.user, slug)
    services.request_results(trial, actor=request.user)
    return redirect("analysis:results", slug=trial.slug)


@require_POST
def machines(request: HttpRequest, slug: str) -> HttpResponse:
    """Let the machines read; on a trial that runs this shows nothing but that they have."""
    trial = trial_or_404(request.user, slug)
    services.request_machines(trial, actor=request.user)
    return redirect(f"{reverse('analysis:results', args=[trial.slug])}#machine-card")


@require_safe
def cases(request: HttpRequest, slug: str) -> HttpResponse:
    trial = trial_or_404(request.user, slug)
    context = explorer.explorer_page(trial, _snapshot(trial), request.GET.dict())
    return render(request, "analysis/cases.html", {"trial": trial, **context})


@require_safe
@never_cache
def review(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """One case in the viewer, its truth beside it."""
    case = truth_case_or_404(request.user, slug, number)
    trial = case.trial
    config = explorer.review_config(trial, _snapshot(trial), case, request.GET.dict())
    return render(request, "analysis/review.html", {"trial": trial, "case": case, "config": config})


@require_safe
def review_frame(request: HttpRequest, slug: str, number: int, index: int) -> HttpResponse:
    """A frame of a case under review: the same bytes that readers were sent."""
    case = truth_case_or_404(request.user, slug, number)
    try:
        body = read_frame(case.rendition_id, index)
    except (OSError, IndexError):
        raise Http404 from None
    response = HttpResponse(body, content_type=CONTENT_TYPE)
    response["Cache-Control"] = "private, max-age=3600"
    return response


@require_safe
def results_json(request: HttpRequest, slug: str) -> HttpResponse:
    trial = trial_or_404(request.user, slug)
    path = _snapshot(trial).folder / "results.json"
    return _download(
        HttpResponse(path.read_bytes(), content_type="application/json"),
        f"{trial.slug}-results.json",
    )


@require_safe
def figure(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """NAME.svg, NAME.png, or NAME.screen.svg, which the page shows."""
    trial = trial_or_404(request.user, slug)
    snapshot = _snapshot(trial)
    stem, _, ending = name.partition(".")
    known = {row["name"] for row in selectors.figures_of(snapshot)}
    if stem not in known or ending not in {"svg", "png", "screen.svg"}:
        raise Http404
    data = (snapshot.folder / "figures" / name).read_bytes()
    response = HttpResponse(data, content_type=TYPES[ending.rpartition(".")[2]])
    response["Cache-Control"] = "private, max-age=3600"
    return response if ending == "screen.svg" else _download(response, f"{trial.slug}-{name}")


@require_safe
def table(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    trial = trial_or_404(request.user, slug)
    made = pages.tables_of(selectors.results_of(_snapshot(trial)))
    if name not in made:
        raise Http404
    response = HttpResponse(made[name].csv(), content_type="text/csv; charset=utf-8")
    return _download(response, f"{trial.slug}-{name}.csv")


@require_safe
def report(request: HttpRequest, slug: str, form: str) -> FileResponse:
    """The report as a file: its own style sheet stays out of the pages of this site."""
    trial = trial_or_404(request.user, slug)
    path = selectors.report_path(_snapshot(trial), form)
    if path is None:
        raise Http404
    filename = f"{trial.slug}-report.{form}"
    return FileResponse(path.open("rb"), as_attachment=True, filename=filename)


@require_safe
def planning(request: HttpRequest) -> HttpResponse:
    """Power, precision and hours of a design; the address is the whole question."""
    require_trial_staff(request.user)
    context = planner.plan_page(request.user, request.GET.dict())
    return render(
        request, "analysis/planning.html", context, status=200 if "plan" in context else 400
    )


@require_POST
def export(request: HttpRequest, slug: str) -> HttpResponse:
    trial = trial_or_404(request.user, slug)
    level = request.POST.get("level", "")
    if level not in Bundle.Level.values:
        raise UserError("Choose the blinded or the unblinded export.")
    services.request_bundle(trial, level, actor=request.user)
    return redirect("analysis:results", slug=trial.slug)


@require_safe
def bundle(request: HttpRequest, slug: str, bundle_id: uuid.UUID) -> HttpResponse | FileResponse:
    row = bundle_or_404(request.user, slug, bundle_id)
    return FileResponse(row.path.open("rb"), as_attachment=True, filename=row.filename)


def _download(response: HttpResponse, filename: str) -> HttpResponse:
    response["Content-Disposition"] = f"attachment; filename={json.dumps(filename)}"
    return response
