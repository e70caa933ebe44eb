"""Pages of recognition: what a network finds in the volumes of the library. Coordinators only."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from readerstudy.accounts.access import coordinator_view
from readerstudy.cases import services
from readerstudy.cases.access import recognition_or_404, result_or_404
from readerstudy.cases.codec import TRANSFER_SYNTAX
from readerstudy.cases.errors import CasesError
from readerstudy.library import selectors as library

from . import pages
from .forms import RecognitionForm

RUNS_SHOWN = 50


@require_safe
@coordinator_view
def index(request: HttpRequest) -> HttpResponse:
    context = {
        "runs": pages.runs()[:RUNS_SHOWN],
        "active_runs": pages.active_runs()[:5],
        "has_volumes": library.volumes().exists(),
    }
    return render(request, "cases/recognition.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@coordinator_view
def new(request: HttpRequest) -> HttpResponse:
    form = RecognitionForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        asked = form.cleaned_data
        try:
            run = services.start_recognition(
                volumes=list(asked["volumes"]),
                checkpoint=asked["checkpoint"],
                organ=asked["organ"],
                threshold=asked["threshold"],
                smallest_mm=asked["smallest_mm"],
                inside=asked["inside"],
                actor=request.user,
            )
        except CasesError as error:
            form.add_error(None, str(error))
        else:
            return redirect("cases:recognition_run", run.pk)
    status = 400 if form.is_bound else 200
    return render(request, "cases/recognition_form.html", {"form": form}, status=status)


@require_safe
@coordinator_view
def run(request: HttpRequest, recognition_id: uuid.UUID) -> HttpResponse:
    """A run: progress, volumes, findings. htmx asks for the results alone while it is at work."""
    found = recognition_or_404(request.user, recognition_id)
    context = {"run": found, "page": pages.RunPage(found)}
    part = "cases/_recognition_results.html"
    template = part if request.htmx else "cases/recognition_run.html"  # type: ignore[attr-defined]
    return render(request, template, context)


@require_POST
@coordinator_view
def delete(request: HttpRequest, recognition_id: uuid.UUID) -> HttpResponse:
    services.delete_recognition(
        recognition_or_404(request.user, recognition_id), actor=request.user
    )
    messages.success(request, "The run is deleted.")
    return redirect("cases:recognition")


@require_safe
@never_cache
@coordinator_view
def result(request: HttpRequest, result_id: uuid.UUID) -> HttpResponse:
    """A volume in the viewer, its findings beside it."""
    found = result_or_404(request.user, result_id)
    asked = request.GET.get("finding", "")
    config = pages.viewer_config(found, int(asked) if asked.isdecimal() else 1)
    return render(request, "cases/recognition_result.html", {"result": found, "config": config})


@require_safe
@coordinator_view
def frame(request: HttpRequest, result_id: uuid.UUID, index: int) -> HttpResponse:
    """A slice of the volume, as the viewer takes it."""
    found = result_or_404(request.user, result_id)
    try:
        body = pages.frame(found, index)
    except IndexError:
        raise Http404 from None
    response = HttpResponse(
        body, content_type=f"application/octet-stream; transfer-syntax={TRANSFER_SYNTAX}"
    )
    response["Cache-Control"] = "private, max-age=3600"
    return response


@require_safe
@coordinator_view
def download(request: HttpRequest, result_id: uuid.UUID, part: str) -> HttpResponse:
    """Mask, SEG, table, overlay or record."""
    file = pages.file_of(result_or_404(request.user, result_id), part)
    if file is None:
        raise Http404
    data, kind, name = file
    response = HttpResponse(data, content_type=kind)
    shown = "inline" if part == "overlay.png" else "attachment"
    response["Content-Disposition"] = f'{shown}; filename="{name}"'
    return response
