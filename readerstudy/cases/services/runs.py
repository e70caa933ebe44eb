"""Synthesis runs as a person asks for them; the worker's part is `making`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from readerstudy.audit.services import record
from readerstudy.cases.engines import Choice, check
from readerstudy.cases.errors import CasesError
from readerstudy.cases.models import SynthesisRun
from readerstudy.errors import Conflict
from readerstudy.jobs.services import enqueue
from readerstudy.library.models import Mask, Volume

REAL, SYNTHESIZE = "cases.real", "cases.synthesize"
LARGEST_RUN = 2000
SMALLEST_MM, LARGEST_MM = 3.0, 120.0
#: Diameters of a run, and of a lesion in one CT, where nothing else is asked for.
USUAL_MM = 4, 80
MOST_ATTEMPTS = 50


@dataclass(frozen=True)
class Item:
    """One wanted lesion of a run."""

    index: int
    volume: Volume
    organ: str


def start_run(
    *,
    volumes: Sequence[Volume],
    organs: Sequence[str],
    per_volume: int,
    diameter_mm: tuple[float, float],
    seed: int,
    mass_effect: float = 0.0,
    choice: Choice = Choice(),  # noqa: B008 - frozen
    max_attempts: int = 12,
    actor: Any = None,
) -> SynthesisRun:
    """Store a run and enqueue its job.

    Args:
        volumes: hosts; in each, `per_volume` lesions are made per organ that it has a mask of.
        organs: labels of organ masks.
        diameter_mm: range of equivalent diameters in mm, log-uniform.
        seed: 0 to 2**62; every lesion has its own stream derived from it.
        mass_effect: 0 to 1.
        choice: what paints and what judges; its networks are kept with their SHA-256.
        max_attempts: how often a lesion is drawn anew until it passes the gate.

    Raises:
        CasesError: nothing chosen, a range that is empty or reversed, no organ mask at all, or a
            network that is not there or does not know an organ.
    """
    _check(volumes, organs, per_volume, diameter_mm, mass_effect, seed, max_attempts)
    engines = check(choice, organs)
    items = wanted_lesions(volumes, organs, per_volume)
    missing = [organ for organ in organs if not any(item.organ == organ for item in items)]
    if missing:
        raise CasesError(
            f"None of the chosen volumes has a mask of the {missing[0]}; import one or choose "
            "another organ."
        )
    if len(items) > LARGEST_RUN:
        raise CasesError(
            f"This run would make {len(items)} lesions; choose fewer volumes or lesions, at most "
            f"{LARGEST_RUN} at a time."
        )
    parameters = {
        "organs": list(organs),
        "diameter_mm": [float(diameter_mm[0]), float(diameter_mm[1])],
        "per_volume": per_volume,
        "mass_effect": float(mass_effect),
        "max_attempts": max_attempts,
        **engines,
    }
    with transaction.atomic():
        run = SynthesisRun.objects.create(
            generator=choice.generator,
            parameters=parameters,
            seed=seed,
            requested=len(items),
            created_by=actor if getattr(actor, "pk", None) else None,
        )
        run.volumes.set(volumes)
        run.job = enqueue(SYNTHESIZE, {"run_id": str(run.pk)}, actor=actor, subject=str(run.pk))
        run.save(update_fields=["job"])
        data = {**parameters, "seed": seed, "requested": len(items)}
        data["generator"] = choice.generator
        record(actor, "cases.run_started", run, data=data)
    return run


def delete_run(run: SynthesisRun, *, actor: Any) -> None:
    """Delete a run that made nothing. Raises Conflict when it is at work or has candidates."""
    with transaction.atomic():
        if run.job is not None and run.job.is_active:
            raise Conflict("This run is still at work; cancel it first.")
        if run.candidates.exists():
            raise Conflict("This run has candidates, which are kept; reject them instead.")
        record(actor, "cases.run_deleted", run)
        run.delete()


def _check(
    volumes: Sequence[Volume],
    organs: Sequence[str],
    per_volume: int,
    diameter_mm: tuple[float, float],
    mass_effect: float,
    seed: int,
    max_attempts: int,
) -> None:
    low, high = diameter_mm
    faults = (
        (not volumes, "No volume is chosen; tick at least one."),
        (not organs, "No organ is chosen; tick at least one."),
        (per_volume < 1, "Ask for at least one lesion per volume."),
        (
            low > high,
            f"The diameter range is reversed: {low:g} mm is more than {high:g} mm; "
            "put the smaller number first.",
        ),
        (
            not SMALLEST_MM <= low <= high <= LARGEST_MM,
            f"Diameters must lie between {SMALLEST_MM:g} and {LARGEST_MM:g} mm.",
        ),
        (not 0 <= mass_effect <= 1, "The mass effect goes from 0 (none) to 1 (strong)."),
        (
            not 1 <= max_attempts <= MOST_ATTEMPTS,
            f"A lesion may be tried 1 to {MOST_ATTEMPTS} times, not {max_attempts}.",
        ),
        (not 0 <= seed < 2**62, "The seed must be a whole number from 0 to 2^62."),
    )
    for wrong, text in faults:
        if wrong:
            raise CasesError(text)


def wanted_lesions(volumes: Iterable[Volume], organs: Sequence[str], per_volume: int) -> list[Item]:
    """The lesions to make, in an order that only depends on what was asked for."""
    ordered = sorted(volumes, key=lambda volume: volume.sha256)
    wanted = [
        (volume, organ)
        for volume in ordered
        for organ in organs
        if any(m.kind == Mask.Kind.ORGAN and m.label == organ for m in volume.masks.all())
    ]
    pairs = [pair for pair in wanted for _ in range(per_volume)]
    return [Item(index, volume, organ) for index, (volume, organ) in enumerate(pairs)]
