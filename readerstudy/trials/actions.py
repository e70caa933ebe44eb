"""The life of a trial as actions: each checks, acts in one transaction and logs one event.

    draft --open--> open <--pause/resume--> paused
                     |                        |
                     +--------close-----------+--> closed --unblind--> unblinded

`TRANSITIONS` is the whole table; whatever is not in it raises WrongState.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Any, ClassVar

from django.db import transaction
from django.utils import timezone

from readerstudy.errors import UserError

from .design.protocol import canonical_json
from .errors import NotReady, WrongState
from .models import Trial
from .selectors import closing_warnings, opening_checks, truth_document
from .services._base import locked, log

State = Trial.State


def commitment(salt: str, document: dict[str, Any]) -> str:
    """SHA-256 of the salt (its hexadecimal text) followed by the canonical JSON of the truth."""
    return hashlib.sha256(salt.encode() + canonical_json(document)).hexdigest()


def commitment_holds(trial: Trial) -> bool:
    """Whether the truth stored now is the one committed to at opening."""
    recomputed = commitment(trial.truth_salt, truth_document(trial))
    return hmac.compare_digest(recomputed, trial.truth_commitment)


class Action:
    """One transition. `execute` returns the trial in its new state."""

    name: ClassVar[str]
    event: ClassVar[str]
    participle: ClassVar[str]
    sources: ClassVar[tuple[str, ...]]
    target: ClassVar[str]

    def __init__(self, trial: Trial, actor: Any, *, reason: str = "") -> None:
        self.trial = trial
        self.actor = actor
        self.reason = " ".join(reason.split())[:500]

    def check(self, trial: Trial) -> None:
        """Raise a UserError when the step cannot be taken although the state allows it."""

    def apply(self, trial: Trial) -> dict[str, Any]:
        """Change the trial (saved by the caller); returns the data of the event."""
        return {}

    def execute(self) -> Trial:
        with transaction.atomic():
            trial = locked(self.trial)
            if trial.state not in self.sources:
                raise WrongState(trial, self.participle, self.sources)
            self.check(trial)
            data = self.apply(trial)
            trial.state = self.target
            trial.save()
            if self.reason:
                data["reason"] = self.reason
            log(self.actor, self.event, trial, **data)
        return trial


class Open(Action):
    name, event, participle = "open", "trials.opened", "opened"
    sources, target = (State.DRAFT,), State.OPEN

    def check(self, trial: Trial) -> None:
        for item in opening_checks(trial):
            if not item.ok:
                raise NotReady(f"The trial cannot open yet. {item.title}: {item.detail}")

    def apply(self, trial: Trial) -> dict[str, Any]:
        trial.truth_salt = secrets.token_hex(32)
        trial.truth_commitment = commitment(trial.truth_salt, truth_document(trial))
        trial.opened_at = timezone.now()
        # The working list says what each case is; from now on only the sealed table does.
        trial.selections.all().delete()
        version = trial.active_protocol
        return {
            "truth_commitment": trial.truth_commitment,
            "protocol_version": version.number if version else None,
            "protocol_sha256": version.sha256 if version else None,
            "allocation_sha256": trial.allocation_sha256,
            "cases": trial.cases.count(),
        }


class Pause(Action):
    name, event, participle = "pause", "trials.paused", "paused"
    sources, target = (State.OPEN,), State.PAUSED


class Resume(Action):
    name, event, participle = "resume", "trials.resumed", "resumed"
    sources, target = (State.PAUSED,), State.OPEN


class Close(Action):
    name, event, participle = "close", "trials.closed", "closed"
    sources, target = (State.OPEN, State.PAUSED), State.CLOSED

    def apply(self, trial: Trial) -> dict[str, Any]:
        trial.closed_at = timezone.now()
        return {"unfinished": closing_warnings(trial)}


class Unblind(Action):
    """Opens the truth to the trial's staff. The caller has asked for the password again."""

    name, event, participle = "unblind", "trials.unblinded", "unblinded"
    sources, target = (State.CLOSED,), State.UNBLINDED

    def __init__(self, trial: Trial, actor: Any, *, reason: str, confirmation: str) -> None:
        super().__init__(trial, actor, reason=reason)
        self.confirmation = confirmation.strip()

    def check(self, trial: Trial) -> None:
        if self.confirmation != trial.slug:
            raise UserError(f"Type the trial's address, {trial.slug}, to confirm.")
        if len(self.reason) < 10:
            raise UserError("Give the reason for unblinding in a sentence; it goes on record.")
        if not commitment_holds(trial):
            raise NotReady(
                "The truth table is not the one committed to at opening, so the trial stays "
                "closed; have the database restored and the history checked."
            )

    def apply(self, trial: Trial) -> dict[str, Any]:
        trial.unblinded_at = timezone.now()
        return {"truth_commitment": trial.truth_commitment, "commitment_holds": True}


TRANSITIONS: dict[tuple[str, str], type[Action]] = {
    (source, action.target): action
    for action in (Open, Pause, Resume, Close, Unblind)
    for source in action.sources
}


def available(trial: Trial) -> list[type[Action]]:
    """The actions that the trial's state allows, in the order of the table."""
    return [action for (source, _), action in TRANSITIONS.items() if source == trial.state]


def open_trial(trial: Trial, *, actor: Any) -> Trial:
    return Open(trial, actor).execute()


def pause_trial(trial: Trial, *, actor: Any, reason: str = "") -> Trial:
    return Pause(trial, actor, reason=reason).execute()


def resume_trial(trial: Trial, *, actor: Any, reason: str = "") -> Trial:
    return Resume(trial, actor, reason=reason).execute()


def close_trial(trial: Trial, *, actor: Any, reason: str = "") -> Trial:
    return Close(trial, actor, reason=reason).execute()


def unblind_trial(trial: Trial, *, actor: Any, reason: str, confirmation: str) -> Trial:
    return Unblind(trial, actor, reason=reason, confirmation=confirmation).execute()
