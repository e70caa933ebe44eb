"""What a coordinator may watch while a trial is open: progress and the quality of the data.

No truth and no answer is shown. The one thing derived from answers is whether a reader gives
nearly always the same one, which says nothing about any case.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median

from django.db.models import Max
from django.utils import timezone

from readerstudy.trials.models import Assignment, Case, Membership, Trial

from .models import Judgment, Reading
from .telemetry import FLAGS

JUST_NOW = timedelta(minutes=1)
STRAIGHT_LINING_FROM = 10
STRAIGHT_LINING_SHARE = 0.9


@dataclass(frozen=True)
class Alarm:
    """Something a coordinator may want to ask a reader about."""

    words: str
    meaning: str
    number: int


@dataclass
class Row:
    """One reader's progress. Times in seconds."""

    code: str
    name: str
    ended: bool
    consented: bool
    practice_answered: int = 0
    practice_total: int = 0
    answered: int = 0
    total: int = 0
    last_active: datetime | None = None
    median_seconds: float | None = None
    alarms: list[Alarm] = field(default_factory=list)

    @property
    def just_now(self) -> bool:
        return self.last_active is not None and timezone.now() - self.last_active < JUST_NOW


def rows(trial: Trial) -> list[Row]:
    """One row per reader, in the order of their codes; a fixed number of queries."""
    memberships = list(
        Membership.objects.filter(trial=trial, role=Membership.Role.READER)
        .select_related("user")
        .prefetch_related("consents")
    )
    result = {
        membership.pk: Row(
            code=membership.code,
            name=str(membership.user),
            ended=membership.valid_to is not None,
            consented=bool(membership.consents.all()),
        )
        for membership in memberships
    }
    _add_counts(trial, result)
    _add_activity(trial, result)
    _add_quality(trial, result)
    return sorted(result.values(), key=lambda row: row.code)


def _add_counts(trial: Trial, result: dict[int, Row]) -> None:
    listed = Assignment.objects.filter(trial=trial).values_list(
        "membership_id", "phase", "judgment__pk"
    )
    for membership_id, phase, judgment in listed.order_by():
        row = result.get(membership_id)
        if row is None:
            continue
        if phase == Case.Phase.PRACTICE:
            row.practice_total += 1
            row.practice_answered += judgment is not None
        else:
            row.total += 1
            row.answered += judgment is not None


def _add_activity(trial: Trial, result: dict[int, Row]) -> None:
    seen = (
        Reading.objects.filter(assignment__trial=trial)
        .values_list("assignment__membership_id")
        .annotate(last=Max("last_seen_at"))
    )
    for membership_id, last in seen:
        if membership_id in result:
            result[membership_id].last_active = last


def _add_quality(trial: Trial, result: dict[int, Row]) -> None:
    """Median time and alarms, from main cases only: practice is for making mistakes."""
    times: dict[int, list[float]] = {}
    flags: dict[int, Counter[str]] = {}
    answers: dict[int, Counter[int]] = {}
    judgments = Judgment.objects.filter(
        assignment__trial=trial, assignment__phase=Case.Phase.MAIN
    ).values_list("assignment__membership_id", "client_active_ms", "flags", "rating")
    for membership_id, active_ms, flagged, rating in judgments:
        if active_ms is not None:
            times.setdefault(membership_id, []).append(active_ms / 1000)
        flags.setdefault(membership_id, Counter()).update(flagged)
        answers.setdefault(membership_id, Counter())[rating] += 1
    for membership_id, row in result.items():
        if membership_id in times:
            row.median_seconds = median(times[membership_id])
        counted = flags.get(membership_id, Counter())
        row.alarms = [
            Alarm(*FLAGS.get(name, (name, "")), number) for name, number in sorted(counted.items())
        ]
        if (same := _straight_lining(answers.get(membership_id, Counter()))) is not None:
            row.alarms.append(Alarm("the same answer", "Nearly all answers are the same.", same))


def _straight_lining(answers: Counter[int]) -> int | None:
    """How many answers are the most frequent one, when that is nearly all of them."""
    total = sum(answers.values())
    most = max(answers.values(), default=0)
    if total >= STRAIGHT_LINING_FROM and most >= STRAIGHT_LINING_SHARE * total:
        return most
    return None
