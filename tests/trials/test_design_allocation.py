"""The stored orders: hard rules, balance, reproducibility, infeasible designs, speed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from readerstudy.trials.design import allocation, balance, seeds
from readerstudy.trials.design.allocation import DesignCase, Rules, Slot
from readerstudy.trials.design.errors import InfeasibleDesign

ROOT = Path(__file__).resolve().parents[2]


def make_cases(
    main: int, *, practice: int = 4, patients: int | None = None, synthetic: float = 0.5
) -> list[DesignCase]:
    return [
        DesignCase(
            number=index + 1,
            phase="main",
            arm=("real", "synthetic")[int((index + 1) * synthetic) - int(index * synthetic)],
            organ=("liver", "kidney", "lung")[index % 3],
            band=("small", "large")[index // 3 % 2],
            patient=f"P{index % (patients or main)}",
        )
        for index in range(main)
    ] + [
        DesignCase(
            main + index + 1,
            "practice",
            ("real", "synthetic")[index % 2],
            "liver",
            "small",
            f"Q{index}",
        )
        for index in range(practice)
    ]


def codes(count: int) -> list[str]:
    return [f"R{index:02d}" for index in range(1, count + 1)]


def check_order(slots: tuple[Slot, ...], cases: list[DesignCase], rules: Rules) -> None:
    """Every hard rule of an order."""
    by_number = {case.number: case for case in cases}
    assert [slot.position for slot in slots] == list(range(1, len(slots) + 1))
    first = Counter(slot.case for slot in slots if slot.repeat == 1)
    assert first == Counter(list(by_number))  # each case exactly once
    practice = [slot for slot in slots if slot.phase == "practice"]
    assert slots[: len(practice)] == tuple(practice)  # practice first
    for slot in slots:
        assert slot.phase == by_number[slot.case].phase
    seen = {slot.case: slot.position for slot in slots if slot.repeat == 1}
    repeats = [slot for slot in slots if slot.repeat == 2]
    assert len(repeats) == rules.repeats
    assert len({slot.case for slot in repeats}) == rules.repeats
    for slot in repeats:
        assert slot.phase == "main"
        assert slot.position - seen[slot.case] >= rules.minimum_gap
    for one, other in pairwise(slots):
        assert by_number[one.case].patient != by_number[other.case].patient


@st.composite
def designs(draw: st.DrawFn) -> tuple[list[DesignCase], Rules]:
    main = draw(st.integers(2, 70))
    patients = draw(st.lists(st.integers(0, 12), min_size=main, max_size=main))
    arms = draw(st.lists(st.booleans(), min_size=main, max_size=main))
    practice = draw(st.integers(0, 6))
    cases = [
        DesignCase(
            number, "main", "synthetic" if arm else "real", f"organ{number % 3}", "band", f"P{who}"
        )
        for number, (who, arm) in enumerate(zip(patients, arms, strict=True), start=1)
    ]
    cases += [
        DesignCase(main + index, "practice", "real", "organ0", "band", f"P{index % 3}")
        for index in range(1, practice + 1)
    ]
    gap = draw(st.integers(2, main + 3))
    rules = Rules(
        repeats=draw(st.integers(0, 8)),
        minimum_gap=gap,
        block=draw(st.integers(2, 30)),
        longest_run=draw(st.integers(5, 9)),
    )
    return cases, rules


@settings(max_examples=150, deadline=None)
@given(designs(), st.integers(0, 2**62))
def test_D3_D4_an_order_keeps_every_hard_rule_or_names_the_constraint(
    design: tuple[list[DesignCase], Rules], seed: int
) -> None:
    cases, rules = design
    try:
        orders = allocation.allocate(cases, rules, seed, codes(3))
    except InfeasibleDesign:
        room = len([case for case in cases if case.phase == "main"]) - rules.minimum_gap + 1
        counts = {
            phase: Counter(case.patient for case in cases if case.phase == phase)
            for phase in ("main", "practice")
        }
        tight = any(
            max(count.values()) > (sum(count.values()) + 1) // 2 - 2
            for count in counts.values()
            if count
        )
        # Never refused without a reason: no room for repeats, or one patient nearly everywhere.
        assert rules.repeats > max(0, room) or tight or rules.repeats > room - 4
    else:
        for slots in orders.values():
            check_order(slots, cases, rules)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**62), st.randoms(use_true_random=False))
def test_D1_order_of_the_input_does_not_matter(seed: int, shuffler: random.Random) -> None:
    cases = make_cases(40, patients=13)
    rules = Rules(4, 20, 20, 8)
    first = allocation.allocate(cases, rules, seed, codes(4))
    mixed = list(cases)
    shuffler.shuffle(mixed)
    second = allocation.allocate(mixed, rules, seed, list(reversed(codes(4))))
    assert first == second
    assert allocation.digest(first) == allocation.digest(second)


def test_D1_T9_same_bytes_in_another_process_and_with_another_hash_seed() -> None:
    script = (
        "from tests.trials.test_design_allocation import make_cases, codes\n"
        "from readerstudy.trials.design import allocation\n"
        "rules = allocation.Rules(6, 30, 20, 8)\n"
        "cases = make_cases(60, patients=17)\n"
        "print(allocation.digest(allocation.allocate(cases, rules, 20261121, codes(9))))\n"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("1", "4711")
    }
    # Stored orders must verify for ever: a changed digest here is a new ALGORITHM name.
    assert seen == {"da99fa59480c965575bcea84ffb53af1fc729a0755491bd9342a530fd3b15ece"}


def test_one_readers_order_depends_on_no_other_reader() -> None:
    cases, rules = make_cases(30), Rules(2, 10, 20, 8)
    alone = allocation.allocate(cases, rules, 5, ["R07"])["R07"]
    among = allocation.allocate(cases, rules, 5, codes(12))["R07"]
    assert alone == among
    orders = allocation.allocate(cases, rules, 5, codes(12))
    assert len(set(orders.values())) == 12


@pytest.mark.parametrize("n", range(2, 9))
def test_D2_williams_rows_have_equal_places_and_carry_over(n: int) -> None:
    rows = allocation.williams_rows(n)
    assert all(sorted(row) == list(range(n)) for row in rows)
    places = Counter((place, block) for row in rows for place, block in enumerate(row))
    assert len(set(places.values())) == 1
    assert len(places) == n * n
    follows = Counter(pair for row in rows for pair in pairwise(row))
    assert len(follows) == n * (n - 1)
    assert len(set(follows.values())) == 1


def test_D2_each_case_stands_anywhere_equally_often() -> None:
    cases = make_cases(60, practice=0)
    orders = allocation.allocate(cases, Rules(6, 30, 20, 8), 3, codes(240))
    places = 12
    counts = balance.position_counts(orders, places)
    expected = 240 / places
    from scipy import stats

    p_values = [
        float(stats.chi2.sf(sum((n - expected) ** 2 / expected for n in row), places - 1))
        for row in counts.values()
    ]
    # 60 tests: with Bonferroni none may be below .05 / 60, and their sum must look like chance.
    assert min(p_values) > 0.05 / 60
    assert 0.2 < sum(p_values) / len(p_values) < 0.98


def test_position_and_truth_are_balanced() -> None:
    cases = make_cases(60, practice=0, synthetic=31 / 60)
    by_number = {case.number: case for case in cases}
    orders = allocation.allocate(cases, Rules(0, 2, 20, 8), 8, codes(400))
    at = Counter(
        slot.position
        for slots in orders.values()
        for slot in slots
        if by_number[slot.case].arm == "synthetic"
    )
    # Binomial with n = 400: 5 standard deviations either side.
    for position in range(1, 61):
        assert abs(at[position] / 400 - 31 / 60) < 5 * (0.25 / 400) ** 0.5
    for slots in orders.values():
        for start in (0, 20, 40):
            block = slots[start : start + 20]
            share = sum(by_number[slot.case].arm == "synthetic" for slot in block)
            assert share in {10, 11}


def test_strata_are_spread_over_the_blocks() -> None:
    cases = make_cases(60, practice=0)
    by_number = {case.number: case for case in cases}
    for slots in allocation.allocate(cases, Rules(0, 2, 20, 8), 8, codes(10)).values():
        thirds = [
            Counter(
                (by_number[slot.case].arm, by_number[slot.case].organ) for slot in slots[i : i + 20]
            )
            for i in (0, 20, 40)
        ]
        for key in thirds[0]:
            assert max(third[key] for third in thirds) - min(third[key] for third in thirds) <= 2


def test_repeats_are_shared_by_the_arms() -> None:
    cases = make_cases(60)
    by_number = {case.number: case for case in cases}
    orders = allocation.allocate(cases, Rules(6, 30, 20, 8), 8, codes(200))
    shares = Counter(
        sum(by_number[slot.case].arm == "synthetic" for slot in slots if slot.repeat == 2)
        for slots in orders.values()
    )
    assert set(shares) <= {2, 3, 4}
    assert shares[3] > 150


@pytest.mark.parametrize("bet_after", [5, 6, 7, 8])
@pytest.mark.parametrize(("limit", "block"), [(5, 20), (8, 20), (8, 60), (8, 10)])
def test_T11_betting_on_the_other_arm_after_a_long_run_gains_under_one_point(
    bet_after: int, limit: int, block: int
) -> None:
    """The bettor knows what it has seen so far (more than any reader knows) and guesses else."""
    cases = make_cases(60, practice=0)
    by_number = {case.number: case for case in cases}
    plan = allocation.Plan(cases, Rules(0, 2, block, limit), 17)
    gain = total = 0.0
    for code in codes(600):
        run, previous = 0, ""
        for slot in plan.order(code):
            arm = by_number[slot.case].arm
            if run >= bet_after:
                gain += 0.5 if arm != previous else -0.5
            run = run + 1 if arm == previous else 1
            previous, total = arm, total + 1
    assert 100 * gain / total < 1.0


def test_runs_of_one_arm_stay_within_the_limit() -> None:
    cases = make_cases(60, practice=0)
    by_number = {case.number: case for case in cases}
    for slots in allocation.allocate(cases, Rules(4, 20, 20, 5), 8, codes(100)).values():
        assert balance.longest_arm_run(slots, by_number) <= 5


def test_few_patients_are_still_kept_apart() -> None:
    # Three volumes for twenty cases, as in a first trial on little data.
    cases = make_cases(20, patients=3)
    rules = Rules(2, 12, 20, 8)
    for slots in allocation.allocate(cases, rules, 1, codes(20)).values():
        check_order(slots, cases, rules)


# ---------------------------------------------------------------------------------------- D4
def test_D4_too_many_cases_of_one_patient_are_named() -> None:
    cases = [
        DesignCase(n, "main", "real", "liver", "small", "P-77" if n <= 13 else f"P{n}")
        for n in range(1, 21)
    ]
    with pytest.raises(InfeasibleDesign) as caught:
        allocation.allocate(cases, Rules(0, 2, 20, 8), 1, codes(1))
    assert str(caught.value) == (
        "Patient P-77 has 13 of the 20 main cases: a patient never comes twice in a row, so 10 at "
        "most can be ordered; choose cases of other patients."
    )


def test_D4_a_gap_that_does_not_fit_is_named() -> None:
    with pytest.raises(InfeasibleDesign) as caught:
        allocation.allocate(make_cases(20), Rules(5, 18, 20, 8), 1, codes(1))
    assert str(caught.value) == (
        "5 repeats at least 18 positions apart do not fit 20 main cases (room for 3); lower "
        "minimum_gap or the number of repeats."
    )


def test_D4_constraints_that_fail_together_are_named() -> None:
    # Only A B A B A keeps the patients apart, and only the end is far enough from the first A.
    cases = [
        DesignCase(n, "main", "real", "liver", "small", "A" if n <= 3 else "B") for n in range(1, 6)
    ]
    started = time.process_time()
    with pytest.raises(InfeasibleDesign) as caught:
        allocation.allocate(cases, Rules(1, 5, 20, 8), 1, codes(1))
    assert str(caught.value) == (
        "No order keeps 1 repeat at least 5 positions apart and the 3 cases of patient A out of "
        "neighbouring positions; lower the number of repeats or minimum_gap, or choose cases of "
        "more patients."
    )
    assert time.process_time() - started < 5


def test_D4_no_cases() -> None:
    with pytest.raises(InfeasibleDesign, match="no main cases to order"):
        allocation.allocate([], Rules(0, 2, 20, 8), 1, codes(1))


@pytest.mark.parametrize("patients", [500, 20, 3])
def test_100_readers_and_500_cases_take_under_five_seconds(patients: int) -> None:
    cases = make_cases(500, patients=patients)
    started = time.process_time()
    orders = allocation.allocate(cases, Rules(50, 30, 20, 8), 1, codes(100))
    assert time.process_time() - started < 5
    assert sum(len(slots) for slots in orders.values()) == 100 * 554


# -------------------------------------------------------------------------------------- summaries
def test_summary_of_an_order() -> None:
    slots = (
        Slot(1, 9, "practice", 1),
        Slot(2, 1, "main", 1),
        Slot(3, 2, "main", 1),
        Slot(4, 3, "main", 1),
        Slot(5, 1, "main", 2),
        Slot(6, 2, "main", 2),
    )
    row = balance.reader_summary("R01", slots, {9: "Q", 1: "A", 2: "A", 3: "B"})
    assert (row.practice, row.main, row.repeats, row.total) == (1, 3, 2, 6)
    assert (row.shortest_gap, row.median_gap) == (3, 3.0)
    assert row.same_patient_neighbours == 2
    spread = balance.organ_spread({"R01": slots}, {9: "x", 1: "liver", 2: "lung", 3: "liver"})
    assert [(item.organ, item.thirds) for item in spread] == [
        ("liver", (1.0, 0.0, 1.0)),
        ("lung", (0.0, 1.0, 0.0)),
    ]


def test_draws_are_fair_and_the_bits_are_fixed() -> None:
    rng = seeds.generator(1, "a", 2)
    assert seeds.raw(rng, 1) == seeds.raw(seeds.generator(1, "a", 2), 1)
    counts = Counter(seeds.below(rng, 3) for _ in range(3000))
    assert all(900 < counts[value] < 1100 for value in range(3))
    with pytest.raises(ValueError, match="positive"):
        seeds.below(rng, 0)
