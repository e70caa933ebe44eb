"""What every write to a trial begins and ends with."""

from __future__ import annotations

from typing import Any

from django.db import models

from readerstudy.audit.services import record, trial_chain
from readerstudy.jobs.models import Job
from readerstudy.trials.design.protocol import Protocol
from readerstudy.trials.errors import NotReady, TrialLocked
from readerstudy.trials.models import Trial
from readerstudy.trials.selectors import active_protocol


def locked(trial: Trial) -> Trial:
    """The trial as it stands now, its row locked until the transaction ends."""
    fresh: Trial = (
        Trial.objects.select_for_update(of=("self",))
        .select_related("active_protocol")
        .get(pk=trial.pk)
    )
    return fresh


def locked_draft(trial: Trial, what: str) -> Trial:
    """As `locked`. Raises TrialLocked, naming what was to be changed, once the trial has opened."""
    fresh = locked(trial)
    if fresh.state != Trial.State.DRAFT:
        raise TrialLocked(fresh, what)
    return fresh


def log(
    actor: Any, action: str, trial: Trial, obj: models.Model | None = None, **data: Any
) -> None:
    """One event in the trial's chain. `data` names no reader and no case's arm."""
    record(actor, action, obj or trial, chain=trial_chain(trial.slug), data=data)


def latest_job(kind: str, trial: Trial) -> Job | None:
    """The newest job of the kind for the trial, running or ended."""
    return Job.objects.filter(kind=kind, subject=trial.slug).order_by("-created_at").first()


def require_protocol(trial: Trial) -> Protocol:
    """The protocol in force. Raises NotReady."""
    protocol = active_protocol(trial)
    if protocol is None:
        raise NotReady("The trial has no valid protocol yet; write and save it first.")
    return protocol
