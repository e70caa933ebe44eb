"""The stored orders: each reader's positions, and the token by which a browser names each."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction

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

from ._base import locked_draft, log, require_protocol


def allocate(trial: Trial, *, actor: Any) -> int:
    """Make the orders of all readers of a draft anew from the seed; returns the positions stored.

    Raises NotReady when cases or readers are missing and InfeasibleDesign when the cases cannot be
    ordered as the protocol asks.
    """
    with transaction.atomic():
        trial = locked_draft(trial, "order of the cases")
        protocol = require_protocol(trial)
        cases = design_cases(trial)
        if not cases:
            raise NotReady("There are no prepared cases to order; prepare the cases first.")
        members = {member.code: member for member in active_readers(trial)}
        if not members:
            raise NotReady("There is no reader to make an order for; add readers first.")
        orders = allocation.allocate(
            cases, allocation.Rules.of(protocol), trial.seed, list(members)
        )
        Assignment.objects.filter(trial=trial).delete()
        count = _store(trial, members, orders)
        trial.allocation_basis = allocation_basis(trial, protocol)
        trial.allocation_sha256 = allocation.digest(orders)
        trial.save(update_fields=["allocation_basis", "allocation_sha256"])
        log(
            actor,
            "trials.allocated",
            trial,
            readers=len(members),
            positions=count,
            sha256=trial.allocation_sha256,
        )
    return count


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
