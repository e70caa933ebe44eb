"""Reads of the stored orders."""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import dataclass, field

from readerstudy.trials.design import allocation, balance
from readerstudy.trials.design.allocation import Slot
from readerstudy.trials.design.protocol import Protocol, canonical_json
from readerstudy.trials.models import Assignment, Membership, Trial

from .cases import design_cases


def allocation_basis(trial: Trial, protocol: Protocol) -> str:
    """SHA-256 of all that the orders follow from, but for the readers' codes."""
    rules = allocation.Rules.of(protocol)
    document = {
        "algorithm": allocation.ALGORITHM,
        "seed": trial.seed,
        "rules": [rules.repeats, rules.minimum_gap, rules.block, rules.longest_run],
        "cases": [
            [case.number, case.phase, case.arm, case.organ, case.band, case.patient]
            for case in design_cases(trial)
        ],
    }
    return hashlib.sha256(canonical_json(document)).hexdigest()


def stored_orders(trial: Trial, *, active_only: bool = False) -> dict[str, list[Slot]]:
    """The stored order of each reader, by code."""
    rows = Assignment.objects.filter(trial=trial, membership__role=Membership.Role.READER).order_by(
        "membership__code", "position"
    )
    if active_only:
        rows = rows.filter(membership__valid_to__isnull=True)
    orders: dict[str, list[Slot]] = {}
    for code, position, number, phase, repeat in rows.values_list(
        "membership__code", "position", "case__number", "phase", "repeat"
    ):
        orders.setdefault(code, []).append(Slot(position, number, phase, repeat))
    return orders


@dataclass(frozen=True)
class AllocationSummary:
    """The stored orders in numbers that do not depend on the truth."""

    readers: list[balance.ReaderSummary] = field(default_factory=list)
    organs: list[balance.OrganSpread] = field(default_factory=list)

    @property
    def positions(self) -> int:
        return sum(row.total for row in self.readers)

    @property
    def shortest_gap(self) -> int | None:
        gaps = [row.shortest_gap for row in self.readers if row.shortest_gap is not None]
        return min(gaps) if gaps else None

    @property
    def neighbours(self) -> int:
        return sum(row.same_patient_neighbours for row in self.readers)


def allocation_summary(trial: Trial) -> AllocationSummary:
    orders = stored_orders(trial)
    cases = list(trial.cases.values_list("number", "patient_key", "organ"))
    patients = {number: patient for number, patient, _ in cases}
    organs = {number: organ for number, _, organ in cases}
    return AllocationSummary(
        [balance.reader_summary(code, slots, patients) for code, slots in orders.items()],
        balance.organ_spread(orders, organs) if orders else [],
    )


def allocation_csv(trial: Trial) -> str:
    """One row for each position of each reader: no truth and no token."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["reader", "position", "phase", "case", "organ", "size_band", "repeat"])
    rows = (
        Assignment.objects.filter(trial=trial)
        .select_related("case", "membership")
        .order_by("membership__code", "position")
    )
    for row in rows:
        case = row.case
        writer.writerow(
            [
                row.membership.code,
                row.position,
                row.phase,
                case,
                case.organ,
                case.size_band,
                row.repeat,
            ]
        )
    return out.getvalue()
