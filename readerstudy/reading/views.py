"""Pages of a reader's way through a trial, and the coordinator's view of their progress."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from readerstudy.trials.access import trial_for
from readerstudy.trials.models import Membership

from . import monitoring, services
from .access import Withdrawn, reader_membership
from .protocol import break_length, consent_sha256, paragraphs, protocol_of
from .selectors import Place, place_of, where
from .worklist import step_url, viewer_config

Page = Callable[[HttpRequest, Membership], HttpResponse]
NOT_READABLE = {"waiting", "paused", "closed"}


def reader_page(view: Page) -> Callable[..., HttpResponse]:
    """Decorator: the view gets the reader's membership; who has left the trial gets a page."""

    @wraps(view)
    def wrapper(request: HttpRequest, slug: str) -> HttpResponse:
        try:
            membership = reader_membership(request.user, slug)
        except Withdrawn:
            return render(request, "reading/notice.html", {"state": "withdrawn"}, status=403)
        return view(request, membership)

    return never_cache(wrapper)


def _context(place: Place, **more: Any) -> dict[str, Any]:
    return {"place": place, "trial": place.trial, "where": where(place), **more}


@require_safe
@reader_page
def enter(request: HttpRequest, membership: Membership) -> HttpResponse:
    """Leads to the step the reader is at, or says why there is none."""
    place = place_of(membership)
    if place.state in NOT_READABLE:
        return render(request, "reading/notice.html", _context(place, state=place.state))
    return redirect(step_url(place))


@require_safe
@reader_page
def instructions(request: HttpRequest, membership: Membership) -> HttpResponse:
    place = place_of(membership)
    if place.state in NOT_READABLE:
        return redirect("reading:enter", place.trial.slug)
    protocol = protocol_of(place.trial)
    context = _context(
        place,
        protocol=protocol,
        instructions=paragraphs(protocol.wording.instructions),
        prevalence=paragraphs(protocol.wording.prevalence),
        seconds=place.total_all * protocol.sessions.minutes_per_case * 60,
        ramp=range(11),
    )
    return render(request, "reading/instructions.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@reader_page
def consent(request: HttpRequest, membership: Membership) -> HttpResponse:
    place = place_of(membership)
    if place.state != "consent":
        return redirect("reading:enter", place.trial.slug)
    protocol = protocol_of(place.trial)
    missing = False
    if request.method == "POST":
        if request.POST.get("agree"):
            services.give_consent(membership, request.POST.get("text_sha256", ""))
            return redirect("reading:enter", place.trial.slug)
        missing = True
    context = _context(
        place,
        text=paragraphs(protocol.wording.consent),
        text_sha256=consent_sha256(protocol),
        again=membership.consents.exists(),
        missing=missing,
    )
    return render(request, "reading/consent.html", context, status=400 if missing else 200)


@require_safe
@reader_page
def case(request: HttpRequest, membership: Membership) -> HttpResponse:
    """The viewer. It asks the API for its cases and stays on this page for all of them."""
    place = place_of(membership)
    if place.state != "reading" or place.protocol is None:
        return redirect(step_url(place))
    config = viewer_config(place, place.protocol, get_token(request))
    return render(request, "reading/case.html", {"trial": place.trial, "config": config})


def _step_page(state: str, template: str) -> Callable[..., HttpResponse]:
    """A page that is there while the reader is at that step, and leads on otherwise."""

    @require_safe
    @reader_page
    def view(request: HttpRequest, membership: Membership) -> HttpResponse:
        place = place_of(membership)
        if place.state != state:
            return redirect("reading:enter", place.trial.slug)
        rest = break_length(place.protocol) if place.protocol else None
        return render(request, template, _context(place, rest=rest))

    return view


practice_done = _step_page("practice_done", "reading/practice_done.html")
take_break = _step_page("break", "reading/break.html")
done = _step_page("done", "reading/done.html")


@require_safe
@reader_page
def pause(request: HttpRequest, membership: Membership) -> HttpResponse:
    """The reader stops for now; the place is kept by the answers themselves."""
    place = place_of(membership)
    if place.state in NOT_READABLE | {"done"}:
        return redirect("reading:enter", place.trial.slug)
    return render(request, "reading/pause.html", _context(place))


@require_POST
@reader_page
def go_on(request: HttpRequest, membership: Membership) -> HttpResponse:
    """On after practice or a break."""
    return redirect(step_url(services.go_on(membership)))


@require_safe
@never_cache
def progress(request: HttpRequest, slug: str) -> HttpResponse:
    """How far each reader is. Nothing here depends on what a case is (T10)."""
    trial = trial_for(request.user, slug, "view")
    return render(
        request, "reading/progress.html", {"trial": trial, "rows": monitoring.rows(trial)}
    )
