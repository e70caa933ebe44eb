"""List, new trial, the trial's own page, history, transitions."""

from __future__ import annotations

from typing import Any

from allauth.core import ratelimit
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from readerstudy.accounts.access import coordinator_view, is_coordinator
from readerstudy.errors import UserError
from readerstudy.trials import actions, selectors, services
from readerstudy.trials.access import RIGHTS, require_trial_staff, roles_in, trial_for
from readerstudy.trials.design import files, template
from readerstudy.trials.errors import WrongState
from readerstudy.trials.forms import NewTrialForm, ReasonForm, UnblindForm
from readerstudy.trials.models import Trial


def page(request: HttpRequest, trial: Trial, **context: Any) -> dict[str, Any]:
    """What every page of a trial shows: the trial, its tabs, and what the user may do."""
    manages = bool(roles_in(request.user, trial) & RIGHTS["manage"])
    return {"trial": trial, "manages": manages, **context}


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    require_trial_staff(request.user)
    context = {
        "trials": selectors.trials_of(request.user).select_related("active_protocol"),
        "may_create": is_coordinator(request.user),
    }
    return render(request, "trials/index.html", context)


@coordinator_view
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    form = NewTrialForm(*((request.POST, request.FILES) if request.method == "POST" else ()))
    if form.is_valid():
        try:
            trial = _create(request, form.cleaned_data)
        except UserError as error:
            form.add_error("file" if form.cleaned_data["file"] else "title", str(error))
        else:
            return redirect("trials:protocol", trial.slug)
    context = {"form": form, "template_name": template.NAME}
    return render(request, "trials/new.html", context)


def _create(request: HttpRequest, data: dict[str, Any]) -> Trial:
    protocol = None
    if data["file"]:
        protocol = files.load(data["file"].read(files.MAX_BYTES + 1))
        protocol = protocol.model_copy(update={"title": data["title"]})
    return services.create_trial(title=data["title"], actor=request.user, protocol=protocol)


@require_safe
def detail(request: HttpRequest, slug: str) -> HttpResponse:
    trial = trial_for(request.user, slug, "view")
    draft = trial.state == Trial.State.DRAFT
    context = page(
        request,
        trial,
        protocol=selectors.active_protocol(trial),
        checks=selectors.opening_checks(trial) if draft else [],
        readers=selectors.active_readers(trial),
        case_count=trial.cases.count(),
        actions=[action.name for action in actions.available(trial)],
        holds=actions.commitment_holds(trial) if trial.state == Trial.State.UNBLINDED else None,
    )
    context["ready"] = draft and all(check.ok for check in context["checks"])
    return render(request, "trials/detail.html", context)


@require_safe
def history(request: HttpRequest, slug: str) -> HttpResponse:
    trial = trial_for(request.user, slug, "view")
    number = request.GET.get("page", "1")
    room = request.GET.get("room", "")
    events = selectors.history(
        trial, page=int(number) if number.isdecimal() and len(number) < 7 else 1, room=room
    )
    return render(request, "trials/history.html", page(request, trial, events=events, room=room))


STEPS: dict[str, dict[str, str]] = {
    "open": {
        "title": "Open the trial",
        "button": "Open the trial",
        "done": "The trial is open: its readers can read.",
    },
    "pause": {
        "title": "Pause the trial",
        "button": "Pause",
        "done": "The trial is paused: readers see a page that says so; nothing is lost.",
    },
    "resume": {
        "title": "Resume the trial",
        "button": "Resume",
        "done": "The trial is open again.",
    },
    "close": {
        "title": "Close the trial",
        "button": "Close for good",
        "done": "The trial is closed: no more answers are taken.",
    },
    "unblind": {
        "title": "Unblind the trial",
        "button": "Unblind",
        "done": "The trial is unblinded; the truth equals the commitment made at opening.",
    },
}
ACTIONS = {action.name: action for action in actions.TRANSITIONS.values()}


@require_http_methods(["GET", "HEAD", "POST"])
def transition(request: HttpRequest, slug: str, step: str) -> HttpResponse:
    """A page that says what the step does, and the step itself."""
    trial = trial_for(request.user, slug, "manage")
    if step not in ACTIONS:
        raise Http404
    action = ACTIONS[step]
    if trial.state not in action.sources:
        # Says in one sentence why the step is not there (any more).
        raise WrongState(trial, action.participle, action.sources)
    unblinds = step == "unblind"
    data = request.POST if request.method == "POST" else None
    form: ReasonForm | UnblindForm
    if unblinds:
        if request.method == "POST":
            limited = ratelimit.consume(request, action="reauthenticate", user=request.user)
            if not limited:
                return ratelimit.respond_429(request)
        form = UnblindForm(data, user=request.user, slug=trial.slug)
    else:
        form = ReasonForm(data)
    if form.is_valid():
        said = {key: value for key, value in form.cleaned_data.items() if key != "password"}
        try:
            action(trial, request.user, **said).execute()
        except UserError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, STEPS[step]["done"])
            return redirect("trials:detail", trial.slug)
    checks = selectors.opening_checks(trial) if step == "open" else []
    context = page(
        request,
        trial,
        form=form,
        step=step,
        words=STEPS[step],
        checks=checks,
        blocked=not all(check.ok for check in checks),
        warnings=selectors.closing_warnings(trial) if step == "close" else [],
    )
    status = 400 if form.errors else 200
    return render(request, "trials/transition.html", context, status=status)
