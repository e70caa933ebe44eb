"""Choosing the cases of a draft and making them ready to be read."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import transaction

from readerstudy.cases.models import Candidate
from readerstudy.cases.selectors import drawable
from readerstudy.errors import Conflict, UserError
from readerstudy.jobs import services as jobs
from readerstudy.jobs.models import Job
from readerstudy.trials.design import strata
from readerstudy.trials.design.strata import Draw
from readerstudy.trials.errors import NotReady
from readerstudy.trials.models import Selection, Trial
from readerstudy.trials.selectors import lesions, selection_table

from ._base import latest_job, locked_draft, log, require_protocol

PREPARE = "trials.prepare"


def choose_cases(trial: Trial, *, actor: Any) -> Draw:
    """Draw the cases at random within arms and strata, keeping what was included or excluded by
    hand. Each call is a new draw, counted and logged. What could not be filled is in `missing`."""
    with transaction.atomic():
        trial = locked_draft(trial, "choice of cases")
        protocol = require_protocol(trial)
        by_hand = {str(row.candidate_id): row for row in trial.selections.exclude(state="drawn")}
        trial.draws += 1
        result = strata.draw(
            protocol,
            lesions(),
            seed=trial.seed,
            number=trial.draws,
            pinned=frozenset(
                key for key, row in by_hand.items() if row.state == Selection.State.INCLUDED
            ),
            excluded=frozenset(
                key for key, row in by_hand.items() if row.state == Selection.State.EXCLUDED
            ),
        )
        trial.selections.filter(state=Selection.State.DRAWN).delete()
        trial.selections.update(phase="", size_band="")
        for pick in result.picks:
            place = {"phase": pick.phase, "size_band": pick.band}
            row = by_hand.get(pick.lesion.id)
            if row is not None:
                Selection.objects.filter(pk=row.pk).update(**place)
            else:
                Selection.objects.create(trial=trial, candidate_id=pick.lesion.id, **place)
        trial.save(update_fields=["draws"])
        log(
            actor,
            "trials.cases_drawn",
            trial,
            draw=trial.draws,
            main=sum(pick.phase == strata.MAIN for pick in result.picks),
            practice=sum(pick.phase == strata.PRACTICE for pick in result.picks),
            unfilled=len(result.missing),
        )
    return result


def _candidate(candidate_id: Any) -> Candidate:
    try:
        key = uuid.UUID(str(candidate_id))
    except ValueError:
        raise UserError("There is no such candidate; reload the page.") from None
    candidate = drawable().filter(pk=key).first()
    if candidate is None:
        raise UserError("This candidate is not accepted (any more); reload the page.")
    return candidate


def include(trial: Trial, candidate_id: Any, *, actor: Any) -> None:
    """Ask for a candidate to be in the next draw, whatever else is drawn."""
    _mark(trial, candidate_id, Selection.State.INCLUDED, "", actor)


def exclude(trial: Trial, candidate_id: Any, *, reason: str, actor: Any) -> None:
    """Keep a candidate out of this trial; the reason is kept, for selection is a bias."""
    reason = " ".join(reason.split())[:300]
    if not reason:
        raise UserError("Say why the candidate is kept out; the report counts the reasons.")
    _mark(trial, candidate_id, Selection.State.EXCLUDED, reason, actor)


def _mark(trial: Trial, candidate_id: Any, state: str, reason: str, actor: Any) -> None:
    with transaction.atomic():
        trial = locked_draft(trial, "choice of cases")
        candidate = _candidate(candidate_id)
        values: dict[str, Any] = {"state": state, "reason": reason}
        if state == Selection.State.EXCLUDED:
            values |= {"phase": "", "size_band": ""}
        Selection.objects.update_or_create(trial=trial, candidate=candidate, defaults=values)
        log(actor, f"trials.candidate_{state}", trial, candidate, reason=reason)


def clear(trial: Trial, candidate_id: Any, *, actor: Any) -> None:
    """Withdraw a choice by hand; what is in the current draw stays until the next one."""
    with transaction.atomic():
        trial = locked_draft(trial, "choice of cases")
        row = trial.selections.filter(candidate_id=_candidate(candidate_id).pk).first()
        if row is None or row.state == Selection.State.DRAWN:
            raise Conflict("Nothing was chosen by hand for this candidate; reload the page.")
        if row.phase:
            row.state, row.reason = Selection.State.DRAWN, ""
            row.save(update_fields=["state", "reason"])
        else:
            row.delete()
        log(actor, "trials.candidate_cleared", trial, row.candidate)


def require_complete(trial: Trial) -> None:
    """Raises NotReady unless the draw holds exactly what the protocol asks for."""
    table = selection_table(trial, require_protocol(trial))
    short = 0
    for row in [*table.rows, table.practice]:
        for cell in (row.real, row.synthetic):
            if cell.chosen > cell.needed:
                raise NotReady(
                    "More cases are chosen than the protocol asks for; draw the cases again."
                )
            short += cell.needed - cell.chosen
    if short:
        raise NotReady(
            f"{short} {'case is' if short == 1 else 'cases are'} missing from the draw; accept "
            "more candidates or lower the numbers in the protocol, then draw again."
        )


def request_preparation(trial: Trial, *, actor: Any) -> Job:
    """Start the job that makes the images of the drawn cases."""
    with transaction.atomic():
        trial = locked_draft(trial, "set of cases")
        require_complete(trial)
        running = latest_job(PREPARE, trial)
        if running is not None and running.is_active:
            raise Conflict("The cases are being prepared already; wait or cancel that first.")
        job = jobs.enqueue(PREPARE, {"trial_id": str(trial.pk)}, actor=actor, subject=trial.slug)
        log(actor, "trials.prepare_requested", trial)
    return job
