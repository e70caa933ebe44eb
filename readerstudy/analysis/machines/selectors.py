"""Reads about machine readers. What one said, and how well it did, is sealed like the truth."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from readerstudy.analysis import csvtext
from readerstudy.analysis.codebook import MACHINE_COLUMNS
from readerstudy.analysis.errors import NothingToAnalyze
from readerstudy.analysis.models import MachineReading
from readerstudy.analysis.selectors import protocol_version, require_unblinded
from readerstudy.cases.models import Candidate
from readerstudy.cases.selectors import drawable
from readerstudy.errors import Conflict, UserError
from readerstudy.trials.models import Case, Trial
from readerstudy.trials.selectors import protocol_of
from recognition.engine.readers.registry import learns, machine_names, title_of


def require_read(trial: Trial) -> None:
    """Raises Conflict for a draft: its cases may still change."""
    if trial.state == Trial.State.DRAFT:
        raise Conflict(
            f"Trial {trial.slug} is a draft: machines read its cases once the trial is open."
        )
    if not trial.cases.filter(phase=Case.Phase.MAIN).exists():
        raise NothingToAnalyze(f"Trial {trial.slug} has no cases that count: there is no test.")


def wanted_names(names: list[str] | None) -> list[str]:
    """The machines asked for, in their order; all of them for None.

    Raises:
        UserError: an unknown name, or none at all.
    """
    known = machine_names()
    if names is None:
        return list(known)
    for name in names:
        if name not in known:
            raise UserError(f"There is no machine {name!r}; choose {', '.join(known)}.")
    if not names:
        raise UserError(f"No machine was chosen; choose {', '.join(known)}.")
    return [name for name in known if name in names]


def pool(trial: Trial) -> list[Candidate]:
    """Lesions a machine may learn from: accepted, of the protocol's organs, and of patients who
    are in no case of the trial, practice included.

    It follows from the patients of the trial, which are no secret, and not from its truth.
    """
    patients = set(trial.cases.values_list("patient_key", flat=True))
    organs = set(protocol_of(protocol_version(trial)).design.organs)
    rows = drawable().select_related("volume", "run").order_by("pk")
    return [row for row in rows if row.organ.lower() in organs and patient_of(row) not in patients]


def patient_of(candidate: Candidate) -> str:
    """As `Case.patient_key` names it."""
    return candidate.volume.patient or str(candidate.volume_id)


def shortage_of(rows: list[Candidate]) -> str:
    """Why machines cannot learn from these lesions; empty when they can."""
    from recognition.engine.readers.reading import shortage

    return shortage(
        [row.kind == Candidate.Kind.SYNTHETIC for row in rows], [patient_of(row) for row in rows]
    )


@dataclass(frozen=True)
class Seat:
    """One machine and whether it has read: nothing that a sealed trial may not show."""

    name: str
    title: str
    learns: bool
    has_read: bool


@dataclass(frozen=True)
class Standing:
    """Which machines have read a trial, and what there is to learn from.

    `shortage`: why those that learn cannot, as the end of a sentence; empty when they can.
    """

    seats: list[Seat]
    real: int
    synthetic: int
    patients: int
    shortage: str

    @property
    def reads(self) -> int:
        return sum(seat.has_read for seat in self.seats)

    @property
    def waiting(self) -> list[Seat]:
        """Those that could read and have not."""
        return [s for s in self.seats if not s.has_read and not (s.learns and self.shortage)]

    @property
    def left_out(self) -> list[Seat]:
        """Those that have not read for want of lesions to learn from."""
        return [s for s in self.seats if not s.has_read and s.learns and self.shortage]


def standing(trial: Trial) -> Standing:
    """For the results page, sealed or not."""
    done = set(trial.machines.values_list("name", flat=True))
    rows = pool(trial)
    arms = Counter(row.kind for row in rows)
    return Standing(
        [Seat(name, title_of(name), learns(name), name in done) for name in machine_names()],
        arms[Candidate.Kind.REAL],
        arms[Candidate.Kind.SYNTHETIC],
        len({patient_of(row) for row in rows}),
        shortage_of(rows),
    )


# ------------------------------------------------------------------------------ after unblinding


def machines_csv(trial: Trial) -> bytes:
    """What the machines said, one row per machine and counted case; empty where none has read.

    Raises:
        NotUnblinded: the truth of the trial is sealed, and this with it.
    """
    require_unblinded(trial)
    rows = (
        MachineReading.objects.filter(machine__trial=trial)
        .select_related("machine", "case")
        .order_by("machine__name", "case__number")
    )
    lines = []
    for row in rows:
        synthetic = row.rating >= 4
        confidence = row.rating - 3 if synthetic else 4 - row.rating
        lines.append((
            row.machine.name, row.machine.card["title"], str(row.case), row.rating,
            "synthetic" if synthetic else "real", confidence,
            confidence if synthetic else -confidence, row.score,
        ))  # fmt: skip
    return csvtext.table([c.name for c in MACHINE_COLUMNS], lines) if lines else b""


def cards(trial: Trial) -> list[dict[str, Any]]:
    """What each machine is and learned from. Raises NotUnblinded while the truth is sealed."""
    require_unblinded(trial)
    opened = trial.unblinded_at
    return [
        {
            "name": row.name,
            **row.card,
            "read_at": row.created_at.isoformat(),
            "read_before_unblinding": opened is None or row.created_at < opened,
        }
        for row in trial.machines.order_by("name")
    ]


def ratings_of(trial: Trial) -> dict[tuple[str, str], str]:
    """Rating, "1" to "6", of each machine to each counted case (C012). Raises NotUnblinded."""
    require_unblinded(trial)
    rows = MachineReading.objects.filter(machine__trial=trial).values_list(
        "machine__name", "case__number", "rating"
    )
    return {(name, f"C{number:03d}"): str(rating) for name, number, rating in rows}
