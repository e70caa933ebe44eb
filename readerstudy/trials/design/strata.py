"""Arms and strata, and the seeded draw of cases from the accepted candidates.

A stratum is an organ and a size band. The protocol says how many cases of each arm a stratum
needs; the draw takes them at random, but prefers patients not used yet and keeps a volume out of
the second arm whenever there is another choice: a reader who sees one background in both arms
could compare the two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from readerstudy.trials.design import seeds
from readerstudy.trials.design.protocol import Protocol, SizeBand

ARMS = ("real", "synthetic")
MAIN, PRACTICE = "main", "practice"
# The draw is greedy; the best of a few greedy draws is close to the optimum and quick.
RESTARTS = 24


@dataclass(frozen=True, slots=True)
class Lesion:
    """A candidate as the design sees it."""

    id: str
    arm: str
    organ: str
    diameter_mm: float
    patient: str
    volume: str


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the arm x stratum table."""

    arm: str
    organ: str
    band: str
    needed: int
    available: int

    @property
    def missing(self) -> int:
        return max(0, self.needed - self.available)


@dataclass(frozen=True, slots=True)
class Pick:
    """A lesion that was drawn, and what for."""

    lesion: Lesion
    phase: str
    band: str


@dataclass(frozen=True)
class Draw:
    """The result of a draw.

    shared_volumes: volumes that had to serve both arms; repeated_patients: cases beyond the first
    of their patient; missing: one sentence for each thing that could not be filled.
    """

    picks: tuple[Pick, ...]
    missing: tuple[str, ...] = ()
    shared_volumes: int = 0
    repeated_patients: int = 0
    notes: tuple[str, ...] = field(default=())


def band_of(diameter_mm: float, bands: Iterable[SizeBand]) -> str | None:
    """The name of the band that holds a diameter (mm), or None."""
    for band in bands:
        if band.from_mm <= diameter_mm < band.to_mm:
            return band.name
    return None


def table(protocol: Protocol, lesions: Iterable[Lesion]) -> list[Cell]:
    """Needed and available lesions for each arm and stratum, in the protocol's order."""
    bands = protocol.design.size_bands
    stock = Counter(
        (lesion.arm, lesion.organ, band_of(lesion.diameter_mm, bands)) for lesion in lesions
    )
    return [
        Cell(arm, row.organ, row.size_band, row.needed(arm), stock[arm, row.organ, row.size_band])
        for row in protocol.design.strata
        for arm in ARMS
    ]


def feasibility(protocol: Protocol, lesions: Sequence[Lesion]) -> list[str]:
    """One sentence for each reason why the cases cannot be drawn; empty when they can."""
    sentences = [
        f"{cell.organ.capitalize()}, {cell.band}: {cell.needed} {cell.arm} needed, "
        f"{cell.available} accepted; accept {cell.missing} more or lower the number."
        for cell in table(protocol, lesions)
        if cell.missing
    ]
    if sentences:
        return sentences
    organs = {row.organ for row in protocol.design.strata}
    for arm in ARMS:
        stock = sum(1 for lesion in lesions if lesion.arm == arm and lesion.organ in organs)
        spare = stock - sum(row.needed(arm) for row in protocol.design.strata)
        wanted = protocol.practice.needed(arm)
        if spare < wanted:
            sentences.append(
                f"Practice: {wanted} {arm} needed, {max(0, spare)} accepted beyond the main cases; "
                f"accept {wanted - max(0, spare)} more or lower the number."
            )
    return sentences


def draw(
    protocol: Protocol,
    lesions: Sequence[Lesion],
    *,
    seed: int,
    number: int = 1,
    pinned: frozenset[str] = frozenset(),
    excluded: frozenset[str] = frozenset(),
) -> Draw:
    """Draw the main and practice cases of a protocol.

    `number` counts the draws of a trial: a new number is a new draw from the same seed. Pinned
    lesions are taken first, excluded ones never. What cannot be filled is left out and named in
    `missing`; nothing is raised.
    """
    stock = sorted((item for item in lesions if item.id not in excluded), key=lambda item: item.id)
    attempts = (
        _greedy(protocol, stock, pinned, seeds.generator(seed, "draw", number, restart))
        for restart in range(RESTARTS)
    )
    return min(attempts, key=_cost)


def _cost(result: Draw) -> tuple[int, int, int]:
    return (len(result.missing), result.shared_volumes, result.repeated_patients)


class _Taken:
    """What a draw in progress has used."""

    def __init__(self) -> None:
        self.picks: list[Pick] = []
        self.ids: set[str] = set()
        self.patients: Counter[str] = Counter()
        self.volume_arms: dict[str, set[str]] = {}

    def add(self, lesion: Lesion, phase: str, band: str) -> None:
        self.picks.append(Pick(lesion, phase, band))
        self.ids.add(lesion.id)
        self.patients[lesion.patient] += 1
        self.volume_arms.setdefault(lesion.volume, set()).add(lesion.arm)

    def penalty(self, lesion: Lesion, pinned: frozenset[str]) -> tuple[int, int, int]:
        """Pinned first, then volumes of no other arm, then patients used least."""
        other_arm = bool(self.volume_arms.get(lesion.volume, set()) - {lesion.arm})
        return (lesion.id not in pinned, other_arm, self.patients[lesion.patient])


def _greedy(
    protocol: Protocol,
    stock: Sequence[Lesion],
    pinned: frozenset[str],
    rng: np.random.Generator,
) -> Draw:
    bands = protocol.design.size_bands
    groups: dict[tuple[str, str, str], list[Lesion]] = {}
    for lesion in seeds.shuffled(rng, stock):
        band = band_of(lesion.diameter_mm, bands)
        if band is not None:
            groups.setdefault((lesion.arm, lesion.organ, band), []).append(lesion)
    cells = [
        (len(groups.get((arm, row.organ, row.size_band), [])) - row.needed(arm), arm, row)
        for row in protocol.design.strata
        for arm in ARMS
        if row.needed(arm)
    ]
    taken = _Taken()
    missing: list[str] = []
    # Scarce cells first: they have no choice, the others can step aside.
    for _, arm, row in sorted(seeds.shuffled(rng, cells), key=lambda cell: cell[0]):
        free = groups.get((arm, row.organ, row.size_band), [])
        short = _take(taken, free, row.needed(arm), MAIN, row.size_band, pinned)
        if short:
            missing.append(
                f"{row.organ.capitalize()}, {row.size_band}: {short} {arm} missing; accept more "
                "candidates or lower the number in the protocol."
            )
    organs = {row.organ for row in protocol.design.strata}
    main_patients = set(taken.patients)
    for arm in ARMS:
        free = [item for item in seeds.shuffled(rng, stock) if item.organ in organs]
        free = [item for item in free if item.arm == arm and item.id not in taken.ids]
        # Practice comes from patients the main part does not use, as far as there are any; a pin
        # asks for the main part, so a pinned lesion that found no room there is practice last.
        free.sort(key=lambda item: (item.id in pinned, item.patient in main_patients))
        wanted = protocol.practice.needed(arm)
        for lesion in free[:wanted]:
            taken.add(lesion, PRACTICE, band_of(lesion.diameter_mm, bands) or "other")
        if len(free) < wanted:
            missing.append(
                f"Practice: {wanted - len(free)} {arm} missing; accept more candidates or lower "
                "the number of practice cases."
            )
    return _result(taken, missing, pinned)


def _take(
    taken: _Taken, free: list[Lesion], wanted: int, phase: str, band: str, pinned: frozenset[str]
) -> int:
    """Take the best `wanted` lesions one by one; returns how many are missing."""
    rest = list(free)
    for count in range(wanted):
        if not rest:
            return wanted - count
        best = min(range(len(rest)), key=lambda index: taken.penalty(rest[index], pinned))
        taken.add(rest.pop(best), phase, band)
    return 0


def _result(taken: _Taken, missing: Sequence[str], pinned: frozenset[str]) -> Draw:
    shared = sum(1 for arms in taken.volume_arms.values() if len(arms) > 1)
    repeated = sum(count - 1 for count in taken.patients.values())
    main = {pick.lesion.id for pick in taken.picks if pick.phase == MAIN}
    left = len(pinned - main)
    notes = []
    if left:
        notes.append(
            f"{left} included by hand found no room in the main part: its stratum is full or is "
            "not in the protocol."
        )
    if shared:
        notes.append(
            f"{shared} {'volume serves' if shared == 1 else 'volumes serve'} both arms: there was "
            "no other choice; more volumes would avoid it."
        )
    picks = sorted(taken.picks, key=lambda pick: (pick.phase, pick.lesion.id))
    return Draw(tuple(picks), tuple(missing), shared, repeated, tuple(notes))
