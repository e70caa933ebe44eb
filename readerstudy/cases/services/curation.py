"""A person's word on a candidate: accepted, or rejected with a reason; and taking it back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.utils import timezone

from readerstudy.audit.services import record
from readerstudy.cases.errors import AlreadyDecided, CasesError
from readerstudy.cases.models import Candidate

from .real import refuse_synthetic

State = Candidate.State
_LONGEST_REASON = 300


def decide(candidate: Candidate, state: str, *, reason: str = "", actor: Any) -> Candidate:
    """Accept or reject a pending candidate.

    Raises:
        CasesError: rejected without a reason, or the reason is too long.
        AlreadyDecided: it is not pending.
    """
    with transaction.atomic():
        row = Candidate.objects.select_for_update().get(pk=candidate.pk)
        if row.state != State.PENDING:
            raise AlreadyDecided(
                f"This candidate is {row.state} already; undo that before deciding again."
            )
        _refuse_made([row], state)
        _apply(row, state, reason, actor)
        action = "cases.accepted" if state == State.ACCEPTED else "cases.rejected"
        record(actor, action, row, data={"reason": row.reason} if row.reason else {})
    return row


def decide_many(ids: Iterable[Any], state: str, *, reason: str = "", actor: Any) -> int:
    """Decide all of `ids` that are still pending, in one transaction; returns how many.

    Raises:
        CasesError: nothing is chosen, or a rejection has no reason.
    """
    wanted = list(ids)
    if not wanted:
        raise CasesError("No candidates are chosen; tick at least one.")
    with transaction.atomic():
        rows = list(
            Candidate.objects.select_for_update(of=("self",))
            .select_related("volume")
            .filter(pk__in=wanted, state=State.PENDING)
        )
        _refuse_made(rows, state)
        for row in rows:
            _apply(row, state, reason, actor)
        if rows:
            data = {"state": state, "candidates": [str(row.pk) for row in rows]}
            record(actor, "cases.decided_many", data={**data, "reason": reason[:_LONGEST_REASON]})
    return len(rows)


def _refuse_made(rows: Iterable[Candidate], state: str) -> None:
    """A scan may turn out to be synthetic after its lesions were found; then they may not enter.

    Raises:
        CasesError: a lesion of a synthetic volume would be accepted as real.
    """
    if state != State.ACCEPTED:
        return
    for row in rows:
        if row.kind == Candidate.Kind.REAL:
            refuse_synthetic(row.volume)


def undo(candidate: Candidate, *, actor: Any) -> Candidate:
    """Make a decided candidate pending again.

    Raises:
        AlreadyDecided: it is pending, or the checks of its run rejected it.
    """
    with transaction.atomic():
        row = Candidate.objects.select_for_update().get(pk=candidate.pk)
        if row.by_gate:
            raise AlreadyDecided(
                "The checks of its run rejected this candidate, so there is no decision to undo."
            )
        if row.state == State.PENDING:
            raise AlreadyDecided("This candidate is still pending; there is nothing to undo.")
        before = row.state
        row.state, row.reason, row.curated_by, row.curated_at = State.PENDING, "", None, None
        row.save(update_fields=["state", "reason", "curated_by", "curated_at"])
        record(actor, "cases.decision_undone", row, data={"was": before})
    return row


def _apply(row: Candidate, state: str, reason: str, actor: Any) -> None:
    reason = reason.strip()
    if state not in (State.ACCEPTED, State.REJECTED):
        raise CasesError(f"A candidate is accepted or rejected, not {state!r}.")
    if state == State.REJECTED and not reason:
        raise CasesError("Say why the candidate is rejected; the reason is kept with it.")
    if len(reason) > _LONGEST_REASON:
        raise CasesError(f"Keep the reason under {_LONGEST_REASON} characters.")
    row.state = state
    row.reason = reason if state == State.REJECTED else ""
    row.curated_by = actor if getattr(actor, "pk", None) else None
    row.curated_at = timezone.now()
    row.save(update_fields=["state", "reason", "curated_by", "curated_at"])
