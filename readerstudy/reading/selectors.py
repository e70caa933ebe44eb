"""All reads of the reading room: where a reader stands, and what may be handed out next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from django.db.models import Count, QuerySet
from django.utils import timezone

from readerstudy.trials.models import Assignment, Case, Membership, Trial

from .models import Consent, Judgment, Reading, Sitting
from .protocol import (
    Protocol,
    break_is_due,
    break_length,
    consent_sha256,
    protocol_of,
)

#: Answered and total cases of each phase.
Counts = dict[str, tuple[int, int]]
# From this many answers on, a reader's own pace estimates the time left.
OWN_PACE_FROM = 5
# Absent for longer than this, a reader starts a new sitting.
SITTING_IDLE = timedelta(minutes=30)


@dataclass(frozen=True)
class Place:
    """Where a reader stands in a trial.

    `state` is one of: waiting, paused, closed, consent, practice_done, break, done, reading.
    `current` and `ahead` are set in the state reading alone: nothing else is ever handed out.
    `answered` and `total` count the cases of `phase`.
    """

    membership: Membership
    protocol: Protocol | None
    state: str
    phase: str = Case.Phase.MAIN
    answered: int = 0
    total: int = 0
    answered_all: int = 0
    total_all: int = 0
    current: Assignment | None = None
    ahead: Assignment | None = None

    @property
    def trial(self) -> Trial:
        return self.membership.trial

    @property
    def started(self) -> bool:
        return self.answered_all > 0

    @property
    def left(self) -> int:
        return self.total_all - self.answered_all


def trial_state(trial: Trial) -> str:
    """The trial's state in a reader's words: open, waiting, paused or closed."""
    if trial.state == Trial.State.OPEN and trial.active_protocol_id:
        return "open"
    return {Trial.State.DRAFT: "waiting", Trial.State.PAUSED: "paused"}.get(trial.state, "closed")


def has_consent(membership: Membership, protocol: Protocol) -> bool:
    return Consent.objects.filter(
        membership=membership, text_sha256=consent_sha256(protocol)
    ).exists()


def latest_sitting(membership: Membership) -> Sitting | None:
    return Sitting.objects.filter(membership=membership).first()


def unanswered(membership: Membership) -> QuerySet[Assignment]:
    """Open positions in the stored order, with what a browser needs to show them."""
    return (
        Assignment.objects.filter(membership=membership, judgment__isnull=True)
        .select_related("case__rendition", "reading")
        .order_by("position")
    )


def counts_of(membership: Membership) -> Counts:
    """Answered and total cases of each phase."""
    rows = (
        Assignment.objects.filter(membership=membership)
        .order_by()
        .values("phase")
        .annotate(total=Count("pk"), answered=Count("judgment"))
    )
    return {row["phase"]: (row["answered"], row["total"]) for row in rows}


def place_of(membership: Membership, *, now: datetime | None = None) -> Place:
    """Where the reader stands now. Reads only."""
    now = now or timezone.now()
    if (state := trial_state(membership.trial)) != "open":
        return _place(membership, None, state, counts_of(membership))
    protocol = protocol_of(membership.trial)
    if not has_consent(membership, protocol):
        return _place(membership, protocol, "consent", counts_of(membership))
    following = list(unanswered(membership)[:2])
    sitting = latest_sitting(membership)
    return reading_place(membership, protocol, following, sitting, now, counts_of(membership))


def reading_place(
    membership: Membership,
    protocol: Protocol,
    following: list[Assignment],
    sitting: Sitting | None,
    now: datetime,
    counts: Counts,
) -> Place:
    """Where a reader stands who may read. `following`: their next two open positions."""
    if not following:
        # Nobody has finished a list that has not been dealt.
        return _place(membership, protocol, "done" if counts else "waiting", counts)
    current = following[0]
    phase = current.phase
    if phase == Case.Phase.MAIN and _practice_just_done(counts, sitting):
        return _place(membership, protocol, "practice_done", counts, Case.Phase.PRACTICE)
    if break_is_on(protocol, sitting, now):
        return _place(membership, protocol, "break", counts, phase)
    ahead = following[1] if len(following) > 1 else None
    if ahead is not None and (
        ahead.phase != phase or break_is_due(protocol, sitting_answers(sitting, phase, now) + 1)
    ):
        # Nothing is prefetched across the end of practice or a break.
        ahead = None
    return _place(membership, protocol, "reading", counts, phase, current, ahead)


def _place(
    membership: Membership,
    protocol: Protocol | None,
    state: str,
    counts: Counts,
    phase: str = Case.Phase.MAIN,
    current: Assignment | None = None,
    ahead: Assignment | None = None,
) -> Place:
    answered, total = counts.get(phase, (0, 0))
    return Place(
        membership=membership,
        protocol=protocol,
        state=state,
        phase=phase,
        answered=answered,
        total=total,
        answered_all=sum(answered for answered, _ in counts.values()),
        total_all=sum(total for _, total in counts.values()),
        current=current,
        ahead=ahead,
    )


def _practice_just_done(counts: Counts, sitting: Sitting | None) -> bool:
    """All practice cases are answered and the reader has not yet gone on to the main ones."""
    practised = counts.get(Case.Phase.PRACTICE, (0, 0))[1] > 0
    started_main = counts.get(Case.Phase.MAIN, (0, 0))[0] > 0 or (
        sitting is not None and sitting.phase == Case.Phase.MAIN
    )
    return practised and not started_main


def break_is_on(protocol: Protocol, sitting: Sitting | None, now: datetime) -> bool:
    """A break is over when the reader says so, or has been away for its length."""
    due = sitting.break_due_at if sitting else None
    return due is not None and now - due < break_length(protocol)


def sitting_goes_on(sitting: Sitting | None, phase: str, now: datetime) -> bool:
    """Whether an answer now belongs to this sitting (else it starts another)."""
    return (
        sitting is not None
        and sitting.phase == phase
        and sitting.break_due_at is None
        and now - sitting.last_at <= SITTING_IDLE
    )


def sitting_answers(sitting: Sitting | None, phase: str, now: datetime) -> int:
    """Answers given in the sitting that goes on now; 0 when the next answer starts another."""
    return sitting.answers if sitting is not None and sitting_goes_on(sitting, phase, now) else 0


def draft_of(assignment: Assignment) -> dict[str, Any] | None:
    """What the reader had typed before a reload, or None."""
    reading: Reading | None = getattr(assignment, "reading", None)
    return (reading.draft or None) if reading else None


def may_fetch_frames(assignment_token: str, user: Any) -> Assignment | None:
    """The assignment whose frames `user` may fetch now, else None.

    That is the current case, the one ahead, and cases handed out before: the viewer may still
    be fetching the rest of a case whose answer is under way. Its frame token ends that.
    """
    assignment = (
        Assignment.objects.select_related("case__rendition", "membership__trial__active_protocol")
        .filter(
            token=assignment_token,
            membership__user=user,
            membership__role=Membership.Role.READER,
            membership__valid_to__isnull=True,
            membership__trial__state=Trial.State.OPEN,
            reading__isnull=False,
        )
        .first()
    )
    if assignment is None:
        return None
    membership = assignment.membership
    return assignment if has_consent(membership, protocol_of(membership.trial)) else None


def where(place: Place) -> str:
    """Where the reader is, in words: practice case 2 of 4, case 7 of 40."""
    kind = "practice case" if place.phase == Case.Phase.PRACTICE else "case"
    return f"{kind} {min(place.answered + 1, place.total)} of {place.total}"


@dataclass(frozen=True)
class Entry:
    """A trial on a reader's home page: what to do next, how far, how long it will take."""

    place: Place
    seconds_left: float | None

    @property
    def trial(self) -> Trial:
        return self.place.trial

    @property
    def to_do(self) -> bool:
        return self.place.state in {"reading", "consent", "practice_done", "break"}

    @property
    def where(self) -> str:
        return where(self.place)


def reader_trials(user: Any) -> list[Entry]:
    """The trials that `user` reads now, those with something to do first."""
    memberships = (
        Membership.objects.select_related("trial__active_protocol")
        .filter(user=user, role=Membership.Role.READER, valid_to__isnull=True)
        .order_by("-valid_from")
    )
    entries = [_entry(membership) for membership in memberships]
    return sorted(entries, key=lambda entry: not entry.to_do)


def _entry(membership: Membership) -> Entry:
    place = place_of(membership)
    if place.protocol is None or not place.left:
        return Entry(place, None)
    own = median_minutes(membership)
    per_case = place.protocol.sessions.minutes_per_case if own is None else own
    return Entry(place, place.left * per_case * 60)


def median_minutes(membership: Membership) -> float | None:
    """The reader's own median minutes a case, once there are enough cases to tell."""
    times = list(
        Judgment.objects.filter(assignment__membership=membership, client_active_ms__gt=0)
        .order_by("-server_received_at")
        .values_list("client_active_ms", flat=True)[:50]
    )
    return median(times) / 60_000 if len(times) >= OWN_PACE_FROM else None
