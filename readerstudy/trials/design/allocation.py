"""The stored order in which each reader meets the cases.

Hard rules: practice first; a patient never twice in a row; a repeat at least the protocol's gap
after its first showing. Soft rules, kept whenever a few attempts find a way: both arms and all
strata spread evenly over the positions, no run of one arm beyond the protocol's limit.

How it is made. The main cases are dealt into blocks of about one session, each a small copy of the
whole (trial seed). A reader takes the blocks in a row of a Williams square, so that over the
readers each block stands equally often at each place and after each other block, and shuffles
within them (SHA-256 of trial seed and reader code). Neighbours of one patient are swapped apart
within block and arm; repeats are then slipped in. Everything is bounded: a design that cannot be
met raises InfeasibleDesign with the constraint's name.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from readerstudy.trials.design import seeds
from readerstudy.trials.design.errors import InfeasibleDesign
from readerstudy.trials.design.protocol import Protocol, canonical_json

ALGORITHM = "readerstudy-order-1"
STRICT_ATTEMPTS = 8
ATTEMPTS = 40


@dataclass(frozen=True, slots=True)
class DesignCase:
    """A case as the allocation sees it; `number` is unique within the trial."""

    number: int
    phase: str
    arm: str
    organ: str
    band: str
    patient: str


@dataclass(frozen=True, slots=True)
class Slot:
    """One position (from 1) of one reader's order."""

    position: int
    case: int
    phase: str
    repeat: int


@dataclass(frozen=True, slots=True)
class Rules:
    """The part of the protocol that the order obeys. Gap and run are counted in positions."""

    repeats: int
    minimum_gap: int
    block: int
    longest_run: int

    @classmethod
    def of(cls, protocol: Protocol) -> Rules:
        return cls(
            repeats=protocol.repeats.count,
            minimum_gap=protocol.repeats.minimum_gap,
            block=protocol.sessions.cases_per_session,
            longest_run=protocol.design.longest_run,
        )


def allocate(
    cases: Iterable[DesignCase], rules: Rules, seed: int, readers: Sequence[str]
) -> dict[str, tuple[Slot, ...]]:
    """The order of each reader, by code. A reader's order depends on no other reader.

    Raises InfeasibleDesign, naming the constraint that cannot be kept.
    """
    plan = Plan(cases, rules, seed)
    return {code: plan.order(code) for code in readers}


class Plan:
    """Cases checked and dealt into blocks once, from which any number of orders can be made."""

    def __init__(self, cases: Iterable[DesignCase], rules: Rules, seed: int) -> None:
        ordered = sorted(cases, key=lambda case: case.number)
        if len({case.number for case in ordered}) < len(ordered):
            raise ValueError("case numbers must be unique")
        self.rules = rules
        self.seed = seed
        self.practice = [case for case in ordered if case.phase == "practice"]
        self.main = [case for case in ordered if case.phase == "main"]
        check(self.practice, self.main, rules)
        self.blocks = _deal(self.main, rules.block, seeds.generator(seed, "blocks"))
        self.rows = williams_rows(len(self.blocks))

    def order(self, code: str) -> tuple[Slot, ...]:
        """The order of one reader. Raises InfeasibleDesign."""
        rng = seeds.generator(self.seed, "order", code)
        row = self.rows[_row_of(code, len(self.rows), self.seed)]
        blocks = [self.blocks[index] for index in row]
        best: list[tuple[DesignCase, int]] | None = None
        for attempt in range(ATTEMPTS):
            # The first attempts keep blocks and arms in place; if patients are so few that this
            # fails, the later ones keep the hard rules only.
            found = self._attempt(blocks, rng, strict=attempt < STRICT_ATTEMPTS)
            if found is None:
                continue
            if best is None or _longest_run(found) < _longest_run(best):
                best = found
            if _longest_run(best) <= self.rules.longest_run:
                break
        if best is None:
            raise InfeasibleDesign(self._why())
        return tuple(
            Slot(position, case.number, case.phase, repeat)
            for position, (case, repeat) in enumerate(best, start=1)
        )

    def _attempt(
        self, blocks: Sequence[Sequence[DesignCase]], rng: np.random.Generator, *, strict: bool
    ) -> list[tuple[DesignCase, int]] | None:
        practice = _apart(seeds.shuffled(rng, self.practice), [], rng, None)
        if practice is None:
            return None
        before = practice[-1].patient if practice else None
        order: list[DesignCase] = []
        homes: list[tuple[int, str]] = []
        for number, block in enumerate(blocks):
            shuffled = _spread(block, order, self.rules.longest_run, rng)
            order += shuffled
            homes += [(number, case.arm) for case in shuffled]
        main = _apart(order, homes if strict else [], rng, before)
        if main is None:
            return None
        whole = [(case, 1) for case in practice + main]
        return _with_repeats(whole, len(practice), self.rules, rng)

    def _why(self) -> str:
        patient, count = _most_frequent(self.main)
        if self.rules.repeats:
            return (
                f"No order keeps {self.rules.repeats} "
                f"{'repeat' if self.rules.repeats == 1 else 'repeats'} at least "
                f"{self.rules.minimum_gap} positions apart and the {count} cases of patient "
                f"{patient} out of neighbouring positions; lower the number of repeats or "
                "minimum_gap, or choose cases of more patients."
            )
        return (
            f"No order keeps the {count} cases of patient {patient} out of neighbouring positions; "
            "choose cases of more patients."
        )


def check(practice: Sequence[DesignCase], main: Sequence[DesignCase], rules: Rules) -> None:
    """Raise InfeasibleDesign for a constraint that no order can keep."""
    if not main:
        raise InfeasibleDesign("There are no main cases to order; prepare the cases first.")
    for phase, part in (("main", main), ("practice", practice)):
        if not part:
            continue
        patient, count = _most_frequent(part)
        most = (len(part) + 1) // 2
        if count > most:
            raise InfeasibleDesign(
                f"Patient {patient} has {count} of the {len(part)} {phase} cases: a patient never "
                f"comes twice in a row, so {most} at most can be ordered; choose cases of other "
                "patients."
            )
    room = max(0, len(main) - rules.minimum_gap + 1)
    if rules.repeats > room:
        raise InfeasibleDesign(
            f"{rules.repeats} repeats at least {rules.minimum_gap} positions apart do not fit "
            f"{len(main)} main cases (room for {room}); lower minimum_gap or the number of repeats."
        )


def williams_rows(n: int) -> list[list[int]]:
    """Rows of a Williams design for n blocks: each block equally often at each place, and each
    equally often directly after each other one. n rows for even n, 2n for odd n.

    Williams EJ (1949), Aust J Sci Res A 2:149-168.
    """
    first = [0]
    first += [(step + 1) // 2 if step % 2 else n - step // 2 for step in range(1, n)]
    rows = [[(value + shift) % n for value in first] for shift in range(n)]
    if n % 2 and n > 1:
        rows += [row[::-1] for row in rows]
    return rows


def digest(orders: Mapping[str, Sequence[Slot]]) -> str:
    """SHA-256 of the orders of all readers (without tokens)."""
    document = {
        "algorithm": ALGORITHM,
        "orders": {
            code: [[slot.position, slot.case, slot.phase, slot.repeat] for slot in slots]
            for code, slots in orders.items()
        },
    }
    return hashlib.sha256(canonical_json(document)).hexdigest()


# ---------------------------------------------------------------------------------------- parts
def _row_of(code: str, rows: int, seed: int) -> int:
    """R01, R02, ... take successive rows, so that any run of `rows` readers is balanced; the
    start is random. A code without a number takes a random row."""
    start = seeds.below(seeds.generator(seed, "rows"), rows)
    match = re.search(r"\d+$", code)
    if match:
        return (start + int(match.group())) % rows
    return seeds.below(seeds.generator(seed, "row", code), rows)


def _deal(
    main: Sequence[DesignCase], size: int, rng: np.random.Generator
) -> list[list[DesignCase]]:
    """Blocks of about `size` cases, equal within one, and in each arm and stratum within one."""
    count = max(1, round(len(main) / size))
    strata: dict[tuple[str, str, str], list[DesignCase]] = {}
    for case in seeds.shuffled(rng, main):
        strata.setdefault((case.arm, case.organ, case.band), []).append(case)
    # Arm by arm, one after the other round the table: each block gets its share of an arm, of a
    # stratum, and of all, because no hand is skipped.
    hands = [case for key in sorted(strata) for case in strata[key]]
    blocks: list[list[DesignCase]] = [[] for _ in range(count)]
    start = seeds.below(rng, count)
    for index, case in enumerate(hands):
        blocks[(start + index) % count].append(case)
    return blocks


def _spread(
    block: Sequence[DesignCase],
    before: Sequence[DesignCase],
    limit: int,
    rng: np.random.Generator,
) -> list[DesignCase]:
    """A shuffle of a block without a run of one arm beyond the limit, if one comes up soon."""
    tail = [(case, 1) for case in before[-limit:]]
    found = seeds.shuffled(rng, block)
    for _ in range(8):
        if _longest_run(tail + [(case, 1) for case in found]) <= limit:
            break
        found = seeds.shuffled(rng, block)
    return found


def _longest_run(order: Sequence[tuple[DesignCase, int]]) -> int:
    longest = run = 0
    previous = None
    for case, _ in order:
        run = run + 1 if case.arm == previous else 1
        previous = case.arm
        longest = max(longest, run)
    return longest


def _most_frequent(cases: Sequence[DesignCase]) -> tuple[str, int]:
    counts = Counter(case.patient for case in cases)
    return min(counts.items(), key=lambda item: (-item[1], item[0]))


def _apart(
    order: list[DesignCase],
    homes: Sequence[object],
    rng: np.random.Generator,
    before: str | None,
) -> list[DesignCase] | None:
    """The order with no patient twice in a row (nor first after `before`), or None.

    With `homes`, cases change places only with cases of an equal home (block and arm); without,
    the order is made anew where swaps do not suffice.
    """
    patients: list[str | None] = [before, *(case.patient for case in order), None]
    order = list(order)
    for index in range(len(order)):
        if patients[index] != patients[index + 1]:
            continue
        start = seeds.below(rng, len(order))
        swap = next(
            (
                other
                for other in (*range(start, len(order)), *range(start))
                if (not homes or homes[other] == homes[index])
                and _swap_helps(patients, index + 1, other + 1)
            ),
            None,
        )
        if swap is None:
            return None if homes else _interleave(order, rng, before)
        order[index], order[swap] = order[swap], order[index]
        patients[index + 1], patients[swap + 1] = patients[swap + 1], patients[index + 1]
    return order


def _swap_helps(patients: list[str | None], one: int, other: int) -> bool:
    """Whether after swapping two places neither has a neighbour of the same patient."""
    if patients[one] == patients[other]:
        return False
    patients[one], patients[other] = patients[other], patients[one]
    good = all(
        patients[place] != patients[place - 1] and patients[place] != patients[place + 1]
        for place in (one, other)
    )
    patients[one], patients[other] = patients[other], patients[one]
    return good


def _interleave(
    order: Sequence[DesignCase], rng: np.random.Generator, before: str | None
) -> list[DesignCase] | None:
    """An order built patient by patient; finds one whenever one exists.

    Of m cases left, a patient can hold at most ceil(m / 2), and at most floor(m / 2) if it was
    shown last; a choice that keeps this true can always be continued.
    """
    piles: dict[str, list[DesignCase]] = {}
    for case in seeds.shuffled(rng, order):
        piles.setdefault(case.patient, []).append(case)
    found: list[DesignCase] = []
    last, left = before, len(order)
    while left:
        left -= 1
        full = [name for name in sorted(piles) if len(piles[name]) > (left + 1) // 2]
        open_to = [
            name
            for name in (full or sorted(piles))
            if name != last and len(piles[name]) - 1 <= left // 2
        ]
        if len(full) > 1 or not open_to:
            return None
        ticket = seeds.below(rng, sum(len(piles[name]) for name in open_to))
        for name in open_to:
            ticket -= len(piles[name])
            if ticket < 0:
                break
        found.append(piles[name].pop())
        if not piles[name]:
            del piles[name]
        last = name
    return found


def _with_repeats(
    order: list[tuple[DesignCase, int]],
    practice: int,
    rules: Rules,
    rng: np.random.Generator,
) -> list[tuple[DesignCase, int]] | None:
    """The order with repeats slipped in, or None when a repeat finds no place.

    Only the first main - gap + 1 cases can be repeated. Arms take part in proportion to their
    cases there, strata in turn.
    """
    if not rules.repeats:
        return order
    main = order[practice:]
    early = [case for case, _ in main[: len(main) - rules.minimum_gap + 1]]
    waiting = _repeat_candidates(early, [case for case, _ in main], rules.repeats, rng)
    placed = 0
    for case in waiting:
        if placed == rules.repeats:
            break
        place = _place_for(order, case, rules, rng)
        if place is not None:
            order = [*order[:place], (case, 2), *order[place:]]
            placed += 1
    return order if placed == rules.repeats else None


def _repeat_candidates(
    early: Sequence[DesignCase],
    main: Sequence[DesignCase],
    count: int,
    rng: np.random.Generator,
) -> list[DesignCase]:
    """Cases to repeat, best first: the arms in proportion, each going round its strata."""
    share = sum(1 for case in main if case.arm == "synthetic") / len(main)
    # Rounded up or down at random, so that the number of repeats tells nothing.
    wanted = int(count * share + seeds.below(rng, 1 << 20) / (1 << 20))
    queues: dict[str, list[DesignCase]] = {}
    for arm in ("real", "synthetic"):
        used: Counter[tuple[str, str]] = Counter()
        turns = []
        for case in seeds.shuffled(rng, [case for case in early if case.arm == arm]):
            turns.append((used[case.organ, case.band], case))
            used[case.organ, case.band] += 1
        queues[arm] = [case for _, case in sorted(turns, key=lambda turn: turn[0])]
    first = queues["synthetic"][:wanted] + queues["real"][: count - wanted]
    rest = queues["synthetic"][wanted:] + queues["real"][count - wanted :]
    return seeds.shuffled(rng, first) + seeds.shuffled(rng, rest)


def _place_for(
    order: Sequence[tuple[DesignCase, int]],
    case: DesignCase,
    rules: Rules,
    rng: np.random.Generator,
) -> int | None:
    """A random place far enough behind the first showing and beside no case of its patient."""
    first = next(index for index, (other, _) in enumerate(order) if other.number == case.number)
    places = range(first + rules.minimum_gap, len(order) + 1)
    fallback = None
    for place in seeds.shuffled(rng, places):
        around = order[place - 1 : place + 1]
        if any(other.patient == case.patient for other, _ in around):
            continue
        nearby = [*order[max(0, place - rules.longest_run) : place], (case, 2)]
        nearby += order[place : place + rules.longest_run]
        if _longest_run(nearby) <= rules.longest_run:
            return place
        fallback = place if fallback is None else fallback
    return fallback
