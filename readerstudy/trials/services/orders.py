"""The stored orders: each reader's positions, and the token by which a browser names each."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.db import transaction

from readerstudy.errors import Conflict
from readerstudy.jobs import services as jobs
from readerstudy.jobs.models import Job
from readerstudy.trials.design import allocation
from readerstudy.trials.design.allocation import Slot
from readerstudy.trials.errors import NotReady
from readerstudy.trials.models import Assignment, Membership, Trial
from readerstudy.trials.selectors import (
    active_readers,
    allocation_basis,
    design_cases,
    stored_orders,
)

from ._base import latest_job, locked_draft, log, require_protocol

ALLOCATE = "trials.allocate"
# Positions that are made and stored well within two seconds.
AT_ONCE = 5000
Report = Callable[[int, int, str], None]


def _quiet(done: int, total: int, message: str = "") -> None:
    """For callers that show no progress."""


def allocate(trial: Trial, *, actor: Any, report: Report = _quiet) -> int:
    """Make the orders of all readers of a draft anew from the seed; returns the positions stored.

    Raises NotReady when cases or readers are missing, InfeasibleDesign when the cases cannot be
    ordered as the protocol asks, and Conflict when cases or readers changed meanwhile.
    """
    with transaction.atomic():
        draft = locked_draft(trial, "order of the cases")
        protocol = require_protocol(draft)
        cases = design_cases(draft)
        codes = [member.code for member in active_readers(draft)]
        basis = allocation_basis(draft, protocol)
    if not cases:
        raise NotReady("There are no prepared cases to order; prepare the cases first.")
    if not codes:
        raise NotReady("There is no reader to make an order for; add readers first.")
    # Worked out without the lock: with many readers it takes a while, and others may write.
    plan = allocation.Plan(cases, allocation.Rules.of(protocol), draft.seed)
    orders = {}
    for done, code in enumerate(codes):
        report(done, len(codes) + 1, "Making the orders")
        orders[code] = plan.order(code)
    report(len(codes), len(codes) + 1, "Storing them")
    with transaction.atomic():
        draft = locked_draft(trial, "order of the cases")
        members = {member.code: member for member in active_readers(draft)}
        if list(members) != codes or allocation_basis(draft, require_protocol(draft)) != basis:
            raise Conflict("Cases or readers changed while the orders were made; make them again.")
        Assignment.objects.filter(trial=draft).delete()
        count = _store(draft, members, orders)
        draft.allocation_basis = basis
        draft.allocation_sha256 = allocation.digest(orders)
        draft.save(update_fields=["allocation_basis", "allocation_sha256"])
        log(
            actor,
            "trials.allocated",
            draft,
            readers=len(members),
            positions=count,
            sha256=draft.allocation_sha256,
        )
    return count


def request_allocation(trial: Trial, *, actor: Any) -> Job | None:
    """Make the orders: at once when that is quick (then None), else by a worker."""
    protocol = require_protocol(trial)
    positions = protocol.total_positions * active_readers(trial).count()
    if positions <= AT_ONCE:
        allocate(trial, actor=actor)
        return None
    with transaction.atomic():
        trial = locked_draft(trial, "order of the cases")
        running = latest_job(ALLOCATE, trial)
        if running is not None and running.is_active:
            raise Conflict("The orders are being made already; wait or cancel that first.")
        return jobs.enqueue(ALLOCATE, {"trial_id": str(trial.pk)}, actor=actor, subject=trial.slug)


def allocate_reader(trial: Trial, membership: Membership) -> None:
    """The order of one reader who joins a running trial; the caller logs and holds the lock."""
    protocol = require_protocol(trial)
    plan = allocation.Plan(design_cases(trial), allocation.Rules.of(protocol), trial.seed)
    _store(trial, {membership.code: membership}, {membership.code: plan.order(membership.code)})
    trial.allocation_sha256 = allocation.digest(stored_orders(trial))
    trial.save(update_fields=["allocation_sha256"])


def _store(
    trial: Trial, members: Mapping[str, Membership], orders: Mapping[str, Sequence[Slot]]
) -> int:
    cases = {case.number: case for case in trial.cases.all()}
    rows = [
        Assignment(
            trial=trial,
            membership=members[code],
            position=slot.position,
            case=cases[slot.case],
            phase=slot.phase,
            repeat=slot.repeat,
            token=secrets.token_urlsafe(32),
        )
        for code, slots in orders.items()
        for slot in slots
    ]
    Assignment.objects.bulk_create(rows, batch_size=500)
    return len(rows)
