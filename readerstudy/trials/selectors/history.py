"""What has happened in a trial, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from readerstudy.audit import selectors as audit
from readerstudy.audit.models import AuditEvent
from readerstudy.audit.services import trial_chain
from readerstudy.trials.models import Trial

WORDS = {
    "trials.created": "Trial created",
    "trials.protocol_saved": "Protocol saved",
    "trials.cases_drawn": "Cases drawn",
    "trials.candidate_included": "Candidate included by hand",
    "trials.candidate_excluded": "Candidate excluded by hand",
    "trials.candidate_cleared": "Choice by hand withdrawn",
    "trials.prepare_requested": "Preparation of the cases started",
    "trials.cases_prepared": "Cases prepared",
    "trials.reader_added": "Reader added",
    "trials.reader_removed": "Reader removed",
    "trials.reader_restored": "Reader restored",
    "trials.member_added": "Member added",
    "trials.member_removed": "Member removed",
    "trials.invitation_renewed": "New invitation link made",
    "trials.allocated": "Orders made",
    "trials.opened": "Trial opened",
    "trials.paused": "Trial paused",
    "trials.resumed": "Trial resumed",
    "trials.closed": "Trial closed",
    "trials.unblinded": "Trial unblinded",
    "trials.truth_downloaded": "Truth table downloaded",
    "reading.consented": "Reader gave consent",
    "reading.went_on": "Reader went on after a pause",
    "reading.served": "Case shown",
    "reading.judged": "Answer stored",
}
ROOMS = {"trials": "Trial", "reading": "Reading", "analysis": "Results"}


@dataclass(frozen=True)
class Entry:
    event: AuditEvent
    words: str
    details: list[tuple[str, str]]


@dataclass(frozen=True)
class Page:
    entries: list[Entry]
    number: int
    has_next: bool
    head_seq: int
    head_hash: str


def history(trial: Trial, *, page: int = 1, room: str = "", size: int = 50) -> Page:
    """One page of the trial's audit chain, newest first; `room` narrows it to one room."""
    chain = trial_chain(trial.slug)
    events = audit.events(chain)
    if room in ROOMS:
        events = events.filter(action__startswith=f"{room}.")
    page = max(1, page)
    rows = list(events[(page - 1) * size : page * size + 1])
    seq, head = audit.head(chain)
    return Page([_entry(event) for event in rows[:size]], page, len(rows) > size, seq, head)


def _entry(event: AuditEvent) -> Entry:
    words = WORDS.get(event.action, event.action.replace("_", " ").replace(".", ": "))
    details = [
        (key.replace("_", " "), _plain(value))
        for key, value in event.data.items()
        if value not in ("", None, [], {})
    ]
    return Entry(event, words, details)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_plain(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_plain(item)}" for key, item in value.items())
    return str(value)
