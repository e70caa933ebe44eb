"""What an allocation came to: counts, gaps and balance, for the coordinator to see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from readerstudy.trials.design.allocation import DesignCase, Slot


@dataclass(frozen=True, slots=True)
class ReaderSummary:
    """One reader's order in numbers, none of which depends on the arms."""

    code: str
    practice: int
    main: int
    repeats: int
    shortest_gap: int | None
    median_gap: float | None
    same_patient_neighbours: int

    @property
    def total(self) -> int:
        return self.practice + self.main + self.repeats


@dataclass(frozen=True, slots=True)
class OrganSpread:
    """How many main cases of an organ stand in each third of the order, mean over readers."""

    organ: str
    thirds: tuple[float, float, float]


def reader_summary(code: str, slots: Sequence[Slot], patients: Mapping[int, str]) -> ReaderSummary:
    """Counts and gaps of one order; `patients` maps case numbers to patients."""
    first: dict[int, int] = {}
    gaps: list[int] = []
    for slot in slots:
        if slot.repeat == 1:
            first[slot.case] = slot.position
        else:
            gaps.append(slot.position - first[slot.case])
    gaps.sort()
    middle = len(gaps) // 2
    neighbours = sum(patients[one.case] == patients[other.case] for one, other in pairwise(slots))
    return ReaderSummary(
        code=code,
        practice=sum(1 for slot in slots if slot.phase == "practice"),
        main=sum(1 for slot in slots if slot.phase == "main" and slot.repeat == 1),
        repeats=len(gaps),
        shortest_gap=gaps[0] if gaps else None,
        median_gap=(gaps[middle] + gaps[~middle]) / 2 if gaps else None,
        same_patient_neighbours=neighbours,
    )


def organ_spread(
    orders: Mapping[str, Sequence[Slot]], organs: Mapping[int, str]
) -> list[OrganSpread]:
    """Main cases of each organ in each third of the order, mean over readers."""
    counts: dict[str, list[int]] = {}
    for slots in orders.values():
        main = [slot for slot in slots if slot.phase == "main" and slot.repeat == 1]
        for index, slot in enumerate(main):
            row = counts.setdefault(organs[slot.case], [0, 0, 0])
            row[index * 3 // len(main)] += 1
    readers = max(1, len(orders))
    return [
        OrganSpread(organ, (row[0] / readers, row[1] / readers, row[2] / readers))
        for organ, row in sorted(counts.items())
    ]


def longest_arm_run(slots: Sequence[Slot], cases: Mapping[int, DesignCase]) -> int:
    """The longest run of one arm. It depends on the truth: for tests and after unblinding."""
    longest = run = 0
    previous = None
    for slot in slots:
        arm = cases[slot.case].arm
        run = run + 1 if arm == previous else 1
        previous = arm
        longest = max(longest, run)
    return longest


def position_counts(orders: Mapping[str, Sequence[Slot]], places: int) -> dict[int, list[int]]:
    """How often each case stood in each of `places` equal parts of the main order."""
    counts: dict[int, Counter[int]] = {}
    for slots in orders.values():
        main = [slot for slot in slots if slot.phase == "main" and slot.repeat == 1]
        for index, slot in enumerate(main):
            counts.setdefault(slot.case, Counter())[index * places // len(main)] += 1
    return {case: [row[place] for place in range(places)] for case, row in counts.items()}
