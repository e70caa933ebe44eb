"""Readers and the people who run the trial."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from readerstudy.errors import UserError
from readerstudy.trials import selectors, services
from readerstudy.trials.access import trial_for
from readerstudy.trials.forms import AddMemberForm, AddReaderForm
from readerstudy.trials.models import Membership, Trial
from readerstudy.trials.services.members import TAKES_READERS

from .trials import page

# Two forms on one page ask for an e-mail address.
MEMBER_ID = "member_%s"


def _render(
    request: HttpRequest, trial: Trial, *, status: int = 200, **context: Any
) -> HttpResponse:
    base = page(
        request,
        trial,
        readers=selectors.readers(trial),
        members=selectors.members(trial),
        takes_readers=trial.state in TAKES_READERS,
    )
    base |= {"form": AddReaderForm(), "member_form": AddMemberForm(auto_id=MEMBER_ID)} | context
    return render(request, "trials/readers.html", base, status=status)


def _link(request: HttpRequest, token: str | None) -> str:
    if token is None:
        return ""
    return request.build_absolute_uri(reverse("accounts:invitation", args=[token]))


@require_http_methods(["GET", "HEAD", "POST"])
def readers(request: HttpRequest, slug: str) -> HttpResponse:
    """The list; POST adds a reader and shows their link, once."""
    trial = trial_for(request.user, slug, "manage")
    if request.method != "POST":
        return _render(request, trial)
    form = AddReaderForm(request.POST)
    if form.is_valid():
        try:
            added = services.add_reader(trial, actor=request.user, **form.cleaned_data)
        except UserError as error:
            form.add_error("email", str(error))
        else:
            link = _link(request, added.invitation)
            return _render(request, trial, added=added.membership, link=link)
    return _render(request, trial, form=form, status=400)


@require_POST
def add_member(request: HttpRequest, slug: str) -> HttpResponse:
    trial = trial_for(request.user, slug, "manage")
    form = AddMemberForm(request.POST, auto_id=MEMBER_ID)
    if form.is_valid():
        try:
            member = services.add_member(trial, actor=request.user, **form.cleaned_data)
        except UserError as error:
            form.add_error("email", str(error))
        else:
            messages.success(request, f"{member.user} is now {member.get_role_display().lower()}.")
            return redirect("trials:readers", trial.slug)
    return _render(request, trial, member_form=form, status=400)


def _membership(trial: Trial, code: str) -> Membership:
    membership = trial.memberships.select_related("user", "trial").filter(code=code).first()
    if membership is None:
        raise Http404
    return membership


@require_POST
def remove(request: HttpRequest, slug: str, code: str) -> HttpResponse:
    trial = trial_for(request.user, slug, "manage")
    membership = _membership(trial, code)
    services.remove(membership, actor=request.user, reason=request.POST.get("reason", ""))
    messages.success(request, f"{code} is removed; everything stored of them is kept.")
    if membership.user_id == request.user.pk and membership.role == Membership.Role.COORDINATOR:
        return redirect("trials:index")
    return redirect("trials:readers", trial.slug)


@require_POST
def restore(request: HttpRequest, slug: str, code: str) -> HttpResponse:
    trial = trial_for(request.user, slug, "manage")
    membership = _membership(trial, code)
    if membership.role != Membership.Role.READER:
        raise Http404
    services.restore_reader(membership, actor=request.user)
    messages.success(request, f"{code} reads again, from where they stopped.")
    return redirect("trials:readers", trial.slug)


@require_POST
def renew(request: HttpRequest, slug: str, code: str) -> HttpResponse:
    """A new invitation link, shown once."""
    trial = trial_for(request.user, slug, "manage")
    membership = _membership(trial, code)
    token = services.renew_invitation(membership, actor=request.user)
    return _render(request, trial, added=membership, link=_link(request, token))
