"""Reads of members. A membership ends, it is never deleted."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, Q, QuerySet

from readerstudy.trials.models import Membership, Trial


def members(trial: Trial) -> QuerySet[Membership]:
    """Coordinators, researchers and custodians, past ones last."""
    return (
        trial.memberships.exclude(role=Membership.Role.READER)
        .select_related("user")
        .order_by("valid_to", "code")
    )


def readers(trial: Trial) -> QuerySet[Membership]:
    """Readers by code, with `positions`: how many positions their stored order has."""
    return (
        trial.memberships.filter(role=Membership.Role.READER)
        .select_related("user")
        .annotate(positions=Count("assignments"))
        .order_by("code")
    )


def active_readers(trial: Trial) -> QuerySet[Membership]:
    return readers(trial).filter(valid_to__isnull=True)


@dataclass(frozen=True)
class Unfinished:
    code: str
    left: int
    total: int


def incomplete_readers(trial: Trial) -> list[Unfinished]:
    """Active readers with positions that have no judgment yet.

    `judgment` is the reverse of reading's one-to-one: its name is all this room knows of reading.
    """
    rows = (
        trial.memberships.filter(role=Membership.Role.READER, valid_to__isnull=True)
        .annotate(
            total=Count("assignments"),
            left=Count("assignments", filter=Q(assignments__judgment__isnull=True)),
        )
        .filter(left__gt=0)
        .order_by("code")
    )
    return [Unfinished(row.code, row.left, row.total) for row in rows]
