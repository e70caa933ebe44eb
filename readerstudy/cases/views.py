"""Pages of this room. For coordinators only; readers never come here."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from readerstudy.accounts.access import coordinator_view
from readerstudy.errors import UserError

from . import display, pages, selectors, services
from .access import candidate_or_404, run_or_404
from .errors import CasesError
from .forms import REASONS, ForeignForm, RunForm
from .models import Candidate
from .selectors import Filters

PAGE_SIZE = 60
GALLERY_SIZE = 48
ACTIVE_SHOWN = 5
PARTS = ("original", "synthetic", "mask")
State = Candidate.State


@require_safe
@coordinator_view
def index(request: HttpRequest) -> HttpResponse:
    context = {
        "counts": selectors.summary(),
        "runs": selectors.runs()[:50],
        "pending": selectors.pending_count(Filters()),
        "search": selectors.active_search(),
        "active_runs": selectors.active_runs()[:ACTIVE_SHOWN],
        "may_search": selectors.has_tumor_masks(),
        "has_hosts": bool(selectors.hosts()),
    }
    return render(request, "cases/index.html", context)


@require_POST
@coordinator_view
def find_real(request: HttpRequest) -> HttpResponse:
    services.request_candidates(actor=request.user)
    return redirect("cases:index")


@require_http_methods(["GET", "HEAD", "POST"])
@coordinator_view
def new_run(request: HttpRequest) -> HttpResponse:
    form = RunForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        asked = form.cleaned_data
        try:
            run = services.start_run(
                volumes=list(asked["volumes"].prefetch_related("masks")),
                organs=asked["organs"],
                per_volume=asked["per_volume"],
                diameter_mm=(asked["diameter_low"], asked["diameter_high"]),
                mass_effect=float(asked["mass_effect"]),
                seed=asked["seed"],
                choice=form.choice(),
                actor=request.user,
            )
        except CasesError as error:
            form.add_error(None, str(error))
        else:
            return redirect("cases:run", run.pk)
    status = 400 if form.is_bound else 200
    organs = sorted({organ for host in form.hosts for organ in host.organs})
    context = {"form": form, "appearances": pages.appearances(organs)}
    return render(request, "cases/run_form.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@coordinator_view
def import_synthetic(request: HttpRequest) -> HttpResponse:
    """Send a volume that another generator made; a job compares and stores it."""
    form = ForeignForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        asked = form.cleaned_data
        try:
            services.request_import(
                files={part: request.FILES[part] for part in PARTS if part in request.FILES},
                volume=asked["volume"],
                generator=asked["generator"],
                organ=asked["organ"],
                clean_outside=asked["clean_outside"],
                original_synthetic=asked["original_synthetic"],
                actor=request.user,
            )
        except UserError as error:
            form.add_error(None, str(error))
        else:
            return redirect("cases:import_synthetic")
    context = {"form": form, "job": selectors.last_import(request.user)}
    status = 400 if form.is_bound else 200
    return render(request, "cases/import_synthetic.html", context, status=status)


@require_safe
@coordinator_view
def run(request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
    """A run: progress, k of n, gallery. htmx asks for the gallery alone while it is at work."""
    found = run_or_404(request.user, run_id)
    page = pages.RunPage(found, show=request.GET.get("show", ""), size=GALLERY_SIZE)
    context = {"run": found, "page": page, "reasons": REASONS}
    template = "cases/_gallery.html" if request.htmx else "cases/run.html"  # type: ignore[attr-defined]
    return render(request, template, context)


@require_POST
@coordinator_view
def delete_run(request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
    services.delete_run(run_or_404(request.user, run_id), actor=request.user)
    messages.success(request, "The run is deleted.")
    return redirect("cases:index")


@require_safe
@coordinator_view
def candidates(request: HttpRequest) -> HttpResponse:
    filters = Filters.from_query(request.GET, state="pending")
    page = Paginator(selectors.candidates(filters), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "filters": filters,
        "query": filters.query(state=filters.state or "all"),
        "queue_query": filters.query(),
        "organs": selectors.organs_in_use(),
        "states": State.choices,
        "kinds": Candidate.Kind.choices,
        "reasons": REASONS,
        "pending": selectors.pending_count(filters),
    }
    return render(request, "cases/candidates.html", context)


@require_POST
@coordinator_view
def bulk(request: HttpRequest) -> HttpResponse:
    """Accept or reject all ticked candidates."""
    ids = [value for value in request.POST.getlist("candidate") if _is_uuid(value)]
    state = State.ACCEPTED if request.POST.get("decision") == "accept" else State.REJECTED
    count = services.decide_many(
        ids, state, reason=request.POST.get("reason", ""), actor=request.user
    )
    noun = "candidate" if count == 1 else "candidates"
    messages.success(request, f"{count} {noun} {state}.")
    filters = Filters.from_query(request.POST, state="pending")
    return redirect(f"{reverse('cases:candidates')}?{filters.query(state=filters.state or 'all')}")


def _is_uuid(value: str) -> bool:
    try:
        uuid.UUID(value)
    except ValueError:
        return False
    return True


@require_safe
@coordinator_view
def queue(request: HttpRequest) -> HttpResponse:
    """To the first pending candidate, or back to the list when there is none."""
    return _to_next(request, Filters.from_query(request.GET), None)


@require_safe
@coordinator_view
def candidate(request: HttpRequest, candidate_id: uuid.UUID) -> HttpResponse:
    """The curation page: three planes, before and after, the decision."""
    found = candidate_or_404(request.user, candidate_id)
    filters = Filters.from_query(request.GET)
    after = selectors.next_pending(filters, found)
    before = selectors.previous_pending(filters, found)
    context = {
        "candidate": found,
        "filters": filters,
        "query": filters.query(),
        "next": after,
        "previous": before,
        "pending": selectors.pending_count(filters),
        "reasons": REASONS,
        "last": _last_decided(request),
        "noise_ratio": None if filters.hidden else _noise_ratio(found),
        "scores": [] if filters.hidden else pages.scores(found),
        "origin": pages.origin(found) if found.run and not filters.hidden else [],
        "config": {
            "block": reverse("cases:block", args=[found.pk])
            + (f"?arm={selectors.HIDDEN}" if filters.hidden else ""),
            "windows": display.windows(found.organ),
        },
    }
    return render(request, "cases/candidate.html", context)


def _noise_ratio(found: Candidate) -> float | None:
    stored = found.verdict.get("scores") or found.verdict.get("measures") or {}
    return stored.get("noise_ratio")


def _last_decided(request: HttpRequest) -> Candidate | None:
    last = request.GET.get("last", "")
    if not _is_uuid(last):
        return None
    return Candidate.objects.filter(pk=last).exclude(state=State.PENDING).first()


@require_POST
@coordinator_view
def decide(request: HttpRequest, candidate_id: uuid.UUID) -> HttpResponse:
    """Store the decision and go on to the next pending candidate."""
    found = candidate_or_404(request.user, candidate_id)
    state = State.ACCEPTED if request.POST.get("decision") == "accept" else State.REJECTED
    reason = request.POST.get("other", "").strip() or request.POST.get("reason", "")
    services.decide(found, state, reason=reason, actor=request.user)
    if request.POST.get("back") == "run" and found.run_id:
        return redirect(f"{reverse('cases:run', args=[found.run_id])}#lesion-{found.pk}")
    return _to_next(request, Filters.from_query(request.POST), found)


def _to_next(request: HttpRequest, filters: Filters, found: Candidate | None) -> HttpResponse:
    following = selectors.next_pending(filters, found)
    last = str(found.pk) if found else ""
    if following is None:
        messages.success(request, "Every candidate of this list has been decided.")
        more = filters.query(state=str(found.state) if found else "all")
        return redirect(f"{reverse('cases:candidates')}?{more}")
    query = filters.query(last=last)
    return redirect(
        f"{reverse('cases:candidate', args=[following.pk])}{'?' if query else ''}{query}"
    )


@require_POST
@coordinator_view
def undo(request: HttpRequest, candidate_id: uuid.UUID) -> HttpResponse:
    found = candidate_or_404(request.user, candidate_id)
    services.undo(found, actor=request.user)
    if request.POST.get("back") == "run" and found.run_id:
        return redirect(f"{reverse('cases:run', args=[found.run_id])}#lesion-{found.pk}")
    query = Filters.from_query(request.POST).query()
    return redirect(f"{reverse('cases:candidate', args=[found.pk])}{'?' if query else ''}{query}")


@require_safe
@coordinator_view
def block(request: HttpRequest, candidate_id: uuid.UUID) -> HttpResponse:
    """Voxels around the lesion; the format is told in `display.block_bytes`."""
    found = candidate_or_404(request.user, candidate_id)
    hidden = Filters.from_query(request.GET).hidden
    data = display.block_bytes(found, hide_arm=hidden)
    response = HttpResponse(data, content_type="application/octet-stream")
    response["Cache-Control"] = "private, max-age=3600"
    return response


@require_safe
@coordinator_view
def preview(request: HttpRequest, candidate_id: uuid.UUID, side: str) -> HttpResponse:
    found = candidate_or_404(request.user, candidate_id)
    if side not in {"before", "after"}:
        raise Http404
    png = display.preview_png(found, before=side == "before")
    response = HttpResponse(png, content_type="image/png")
    response["Cache-Control"] = "private, max-age=86400"
    return response
