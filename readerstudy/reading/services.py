"""All writes of the reading room. Each checks, acts in one transaction and logs one audit event."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from readerstudy.audit.services import canonical, record, trial_chain
from readerstudy.trials.models import Assignment, Membership, Trial

from . import selectors
from .errors import (
    AlreadyAnswered,
    ConsentMissing,
    ConsentTextChanged,
    NotYourCase,
    OutOfOrder,
    TrialNotReadable,
)
from .models import RATINGS, Consent, Judgment, Reading, Sitting
from .protocol import DOCUMENT, Protocol, break_is_due, consent_sha256, protocol_of
from .selectors import Counts, Place, place_of
from .telemetry import Telemetry, clean_draft, clean_text
from .together import group


def _locked(membership: Membership) -> Membership:
    """The membership as it stands now, locked: one reader's writes happen one after the other."""
    locked: Membership = (
        Membership.objects.select_for_update(of=("self",), no_key=True)
        .select_related("trial__active_protocol")
        .defer(DOCUMENT)
        .get(pk=membership.pk)
    )
    locked.user = membership.user
    return locked


def _require_open(membership: Membership, *, agreed: bool | None = None) -> Protocol:
    """Raises NotAllowed unless the reader may read this trial now.

    `agreed`: whether they gave consent to its protocol, where that is known.
    """
    if membership.valid_to is not None:
        raise TrialNotReadable("ended")
    if selectors.trial_state(membership.trial) != "open":
        raise TrialNotReadable(membership.trial.state)
    protocol = protocol_of(membership.trial)
    if not (selectors.has_consent(membership, protocol) if agreed is None else agreed):
        raise ConsentMissing
    return protocol


def _log(membership: Membership, action: str, obj: Any, **data: Any) -> None:
    record(
        membership.user,
        action,
        obj,
        chain=trial_chain(membership.trial.slug),
        data={"reader": membership.code, **data},
    )


def give_consent(membership: Membership, text_sha256: str) -> Consent:
    """Store that the reader agreed to the text they were shown.

    Raises TrialNotReadable when the trial is not open and ConsentTextChanged when the text shown
    is no longer the protocol's.
    """
    with transaction.atomic():
        membership = _locked(membership)
        if selectors.trial_state(membership.trial) != "open":
            raise TrialNotReadable(membership.trial.state)
        if text_sha256 != consent_sha256(protocol_of(membership.trial)):
            raise ConsentTextChanged
        consent, made = Consent.objects.get_or_create(
            membership=membership, text_sha256=text_sha256
        )
        if made:
            _log(membership, "reading.consented", consent, text_sha256=text_sha256)
    return consent


def go_on(membership: Membership, *, now: datetime | None = None) -> Place:
    """The reader goes on after the practice cases or after a break: a new sitting starts."""
    now = now or timezone.now()
    with transaction.atomic():
        membership = _locked(membership)
        _require_open(membership)
        place = place_of(membership, now=now)
        if place.state in {"practice_done", "break"}:
            following = selectors.unanswered(membership).first()
            if following is not None:
                sitting = Sitting.objects.create(
                    membership=membership, phase=following.phase, started_at=now, last_at=now
                )
                _log(membership, "reading.went_on", sitting, after=place.state)
                place = place_of(membership, now=now)
    return place


def hand_out(membership: Membership, *, now: datetime | None = None) -> Place:
    """Where the reader stands, with the current case and the one ahead noted as handed out."""
    now = now or timezone.now()
    place = place_of(membership, now=now)
    if place.current is None:
        return place
    with transaction.atomic():
        membership = _locked(membership)
        place = place_of(membership, now=now)
        if place.current is not None:
            served = _note_handed_out(place, place.current, now)
            _log(
                membership,
                "reading.served",
                served,
                phase=place.current.phase,
                position=place.current.position,
                times=served.served_count,
            )
    return place


def _note_handed_out(place: Place, current: Assignment, now: datetime) -> Reading:
    """Write down that `current` is on the reader's screen and `ahead` is being prefetched."""
    if place.ahead is not None and not hasattr(place.ahead, "reading"):
        Reading.objects.create(assignment=place.ahead, handed_out_at=now)
    reading: Reading = getattr(current, "reading", None) or Reading(
        assignment=current, handed_out_at=now
    )
    reading.first_served_at = reading.first_served_at or now
    reading.last_seen_at = now
    reading.served_count += 1
    known = None if reading.pk is None else ["first_served_at", "last_seen_at", "served_count"]
    reading.save(update_fields=known)
    return reading


def save_draft(membership: Membership, token: str, draft: Any) -> None:
    """Keep what the reader has typed for the current case, to be there after a reload.

    Best effort by contract: an answered case keeps its judgment and the draft is dropped.
    Drafts are not audited: they are no answer, and one is written every few seconds.
    """
    with transaction.atomic():
        membership = _locked(membership)
        _require_open(membership)
        updated = Reading.objects.filter(
            assignment__membership=membership, assignment__token=token
        ).update(draft=clean_draft(draft), last_seen_at=timezone.now())
        if not updated:
            raise NotYourCase


@dataclass(frozen=True)
class Answer:
    """What the reader decided. `telemetry` is how they came to it, already cleaned."""

    client_uuid: uuid.UUID
    token: str
    rating: int
    comment: str
    cues: list[str]
    telemetry: Telemetry


def store_judgment(
    membership: Membership, answer: Answer, *, now: datetime | None = None
) -> tuple[Judgment, Place]:
    """Store one answer, once, and say what comes next.

    The same `client_uuid` for the same case again returns the stored judgment, whatever has
    happened to the trial since. Raises AlreadyAnswered when the case has another answer,
    OutOfOrder when an earlier case has none, NotAllowed when the reader may not read now.
    """
    now = now or timezone.now()
    # Most of the work is reading, and is done before anybody has to wait for it.
    before = _standing(membership)
    try:
        return group.write(lambda: _store(membership, before, answer, now))
    except IntegrityError:
        pass
    # The reader's other window answered in between: look again where nobody can.
    try:
        return group.write(lambda: _store(membership, None, answer, now))
    except IntegrityError:
        # Another reader's answer took this UUID in the same instant: only a forged one can.
        raise AlreadyAnswered from None


@dataclass(frozen=True)
class _Standing:
    """What an answer builds on.

    Read before the write lock it can be out of date. Only an answer of the same reader changes
    it, every answer is to the first of `following`, and a case has one judgment: two answers
    that build on the same standing end with an IntegrityError for the second.
    """

    following: list[Assignment]
    agreed: bool
    sitting: Sitting | None
    counts: Counts


def _standing(membership: Membership) -> _Standing:
    agreed = selectors.trial_state(membership.trial) == "open" and selectors.has_consent(
        membership, protocol_of(membership.trial)
    )
    return _Standing(
        list(selectors.unanswered(membership)[:3]),
        agreed,
        selectors.latest_sitting(membership),
        selectors.counts_of(membership),
    )


def _store(
    membership: Membership, standing: _Standing | None, answer: Answer, now: datetime
) -> tuple[Judgment, Place]:
    """Store the answer in the transaction that is open; `standing` None: look now."""
    membership, same = _still(membership)
    following = standing.following if standing else []
    if standing is None or not same or not following or following[0].token != answer.token:
        membership = _locked(membership)
        standing = _standing(membership)
        following = standing.following
        if not following or following[0].token != answer.token:
            return _stored_before(membership, answer), _next_place(membership, now)
    protocol = _require_open(membership, agreed=standing.agreed)
    assignment = following[0]
    if not hasattr(assignment, "reading"):
        raise NotYourCase
    judgment = _write(assignment, answer, now)
    sitting = _count_in_sitting(
        standing.sitting, membership, protocol, assignment, judgment.server_first_served_at, now
    )
    answered, total = standing.counts[assignment.phase]
    counts = standing.counts | {assignment.phase: (answered + 1, total)}
    place = selectors.reading_place(membership, protocol, following[1:], sitting, now, counts)
    if place.current is not None:
        _note_handed_out(place, place.current, now)
    _log(
        membership,
        "reading.judged",
        judgment,
        phase=assignment.phase,
        position=assignment.position,
        flags=judgment.flags,
        answer_sha256=answer_digest(judgment),
        served=place.current.position if place.current else None,
    )
    _require_still_open(membership)
    return judgment, place


def _still(membership: Membership) -> tuple[Membership, bool]:
    """The membership, locked, with what may have changed; whether its protocol is the same."""
    now: Membership = (
        Membership.objects.select_for_update(of=("self",), no_key=True)
        .select_related("trial")
        .only("valid_to", "trial__state", "trial__active_protocol_id")
        .get(pk=membership.pk)
    )
    same = now.trial.active_protocol_id == membership.trial.active_protocol_id
    membership.valid_to, membership.trial.state = now.valid_to, now.trial.state
    return membership, same


def _stored_before(membership: Membership, answer: Answer) -> Judgment:
    """The judgment of a case that is not the current one, if this very answer made it."""
    assignment = (
        Assignment.objects.select_related("reading", "judgment")
        .filter(membership=membership, token=answer.token)
        .first()
    )
    if assignment is None:
        raise NotYourCase
    stored: Judgment | None = getattr(assignment, "judgment", None)
    if stored is not None:
        if stored.client_uuid != answer.client_uuid:
            raise AlreadyAnswered(stored.rating)
        return stored
    _require_open(membership)
    raise OutOfOrder if hasattr(assignment, "reading") else NotYourCase


def _require_still_open(membership: Membership) -> None:
    """Raises TrialNotReadable when the trial was paused or closed while the answer was written.

    The event above took its place in the trial's chain, and a transition takes one too: the
    answer either stands before it or is undone here. SQLite has one writer at a time anyway.
    """
    if connection.features.has_select_for_update:
        membership.trial.refresh_from_db(fields=["state"])
        if membership.trial.state != Trial.State.OPEN:
            raise TrialNotReadable(membership.trial.state)


def _write(assignment: Assignment, answer: Answer, now: datetime) -> Judgment:
    reading: Reading = assignment.reading
    verdict, confidence, _ = RATINGS[answer.rating]
    seen = answer.telemetry
    # An answer from the browser's queue may arrive before its case was ever "current" here:
    # then the reader had it from the moment it was handed out to be prefetched.
    served = reading.first_served_at or reading.handed_out_at
    judgment = Judgment.objects.create(
        client_uuid=answer.client_uuid,
        assignment=assignment,
        rating=answer.rating,
        verdict=verdict,
        confidence=confidence,
        comment=clean_text(answer.comment, 4000),
        cues=answer.cues,
        client_elapsed_ms=seen.elapsed_ms,
        client_active_ms=seen.active_ms,
        client_load_ms=seen.load_ms,
        client_clock=seen.clock,
        server_first_served_at=served,
        server_received_at=now,
        slices_seen=seen.slices_seen,
        windows_used=seen.windows_used,
        backend=seen.backend,
        screen=seen.screen,
        viewing=seen.viewing,
        flags=seen.flags_against(
            since_handed_out=now - reading.handed_out_at, frames=assignment.case.rendition.frames
        ),
    )
    Reading.objects.filter(pk=reading.pk).update(draft={}, first_served_at=served, last_seen_at=now)
    return judgment


def answer_digest(judgment: Judgment) -> str:
    """SHA-256 of an answer: the audit chain proves it unchanged without showing it to anyone.

    The client UUID is part of it, so that six possible ratings cannot simply be tried.
    """
    payload = {
        "client_uuid": str(judgment.client_uuid),
        "rating": judgment.rating,
        "comment": judgment.comment,
        "cues": judgment.cues,
    }
    return hashlib.sha256(canonical(payload)).hexdigest()


def _count_in_sitting(
    sitting: Sitting | None,
    membership: Membership,
    protocol: Protocol,
    assignment: Assignment,
    started: datetime,
    now: datetime,
) -> Sitting:
    if sitting is None or not selectors.sitting_goes_on(sitting, assignment.phase, now):
        sitting = Sitting(membership=membership, phase=assignment.phase, started_at=started)
    sitting.answers += 1
    sitting.last_at = now
    if break_is_due(protocol, sitting.answers):
        sitting.break_due_at = now
    sitting.save(
        update_fields=None if sitting.pk is None else ["answers", "last_at", "break_due_at"]
    )
    return sitting


def _next_place(membership: Membership, now: datetime) -> Place:
    """The reader's next place, with its cases noted as handed out (the caller logs)."""
    place = place_of(membership, now=now)
    if place.current is not None:
        _note_handed_out(place, place.current, now)
    return place
