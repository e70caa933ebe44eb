"""Summaries by patient, and one method against another."""

from __future__ import annotations

import numpy as np
import pytest

from recognition.engine.detection import Detection, Target
from recognition.engine.evaluation import Scan, compare, summarize


def scan(name, patient, hits, misses=0, false=0, dice=None, diameter=15.0) -> Scan:
    targets = tuple([Target(diameter, 0.9)] * hits + [Target(diameter, None)] * misses)
    rating = 0.9 if hits else 0.4 if false else 0.0
    one = {rule: Detection(rule, targets, (0.4,) * false, rating) for rule in ("iou", "center")}
    return Scan(name, patient, dice, dice, one, hits + misses, hits + false, 1.0, 1.0)


STUDY = [
    scan("a", "P1", hits=2, misses=0, false=0, dice=0.8),
    scan("b", "P1", hits=1, misses=1, false=2, dice=0.6),
    scan("c", "P2", hits=0, misses=1, false=1, dice=0.0),
    scan("d", "P3", hits=0, false=1),
    scan("e", "P4", hits=0),
]


def named(estimates, measure):
    return next(row for row in estimates if row.measure == measure)


def test_the_measures_of_a_small_study_by_hand():
    got = summarize(STUDY, np.random.default_rng(1))
    assert named(got, "Dice").value == pytest.approx(1.4 / 3)
    assert named(got, "Dice").n == 3
    assert named(got, "lesion sensitivity, all (iou)").value == pytest.approx(3 / 5)
    assert named(got, "lesion sensitivity, early <20 mm (center)").n == 5
    assert named(got, "false positives per scan (iou)").value == pytest.approx(4 / 5)
    assert named(got, "patient sensitivity").value == 1.0
    assert named(got, "patient specificity").value == 0.5
    # ratings: ill 0.9, 0.4; well 0.4, 0.0 -> wins 1, 1, 1/2, 1
    assert named(got, "patient AUC").value == pytest.approx(3.5 / 4)


def test_what_is_not_there_has_a_reason_and_no_number():
    got = summarize(STUDY, np.random.default_rng(1))
    none = named(got, "lesion sensitivity, >50 mm (iou)")
    assert (none.value, none.low, none.high, none.n) == (None, None, None, 0)
    assert none.reason == "There are no lesions."
    alone = summarize(STUDY[:1], np.random.default_rng(1))
    assert named(alone, "patient AUC").value is None
    assert named(alone, "patient specificity").value is None
    with pytest.raises(ValueError, match="no scan"):
        summarize([], np.random.default_rng(1))


def test_intervals_draw_patients_not_scans():
    """Ten scans of one patient are one observation: there is nothing to vary."""
    one = [scan(str(i), "P1", hits=i % 2, misses=1 - i % 2) for i in range(10)]
    row = named(summarize(one, np.random.default_rng(1)), "lesion sensitivity, all (iou)")
    assert (row.low, row.high) == (0.5, 0.5)
    ten = [scan(str(i), f"P{i}", hits=i % 2, misses=1 - i % 2) for i in range(10)]
    row = named(summarize(ten, np.random.default_rng(1)), "lesion sensitivity, all (iou)")
    assert row.low == pytest.approx(0.2)
    assert row.high == pytest.approx(0.8)


def better_and_worse(patients: int):
    better = [scan(str(i), f"P{i}", hits=1, dice=0.8) for i in range(patients)]
    worse = [scan(str(i), f"P{i}", hits=0, misses=1, dice=0.4) for i in range(patients)]
    return {"better": better, "worse": worse}


def test_six_patients_all_in_one_direction_give_two_in_sixty_four():
    """The sign test's p: 2 of 2^6 exchanges are as far from zero."""
    got = compare(better_and_worse(6), np.random.default_rng(2))
    row = named(got, "lesion sensitivity, all (iou)")
    assert row.difference == 1.0
    assert row.p == pytest.approx(2 / 64)
    dice = named(got, "Dice")
    assert dice.difference == pytest.approx(0.4)
    assert dice.p == pytest.approx(2 / 64)


def test_holm_counts_the_pairs_of_a_measure():
    methods = {**better_and_worse(6), "worse too": better_and_worse(6)["worse"]}
    rows = [r for r in compare(methods, np.random.default_rng(2)) if r.measure == "Dice"]
    assert [round(r.p * 64) for r in rows] == [2, 2, 64]
    assert [r.p_holm for r in rows] == pytest.approx([6 / 64, 6 / 64, 1.0])


def test_the_same_seed_gives_the_same_numbers_and_many_patients_a_sampled_p():
    methods = better_and_worse(20)
    first, again = (compare(methods, np.random.default_rng(3), replicates=500) for _ in range(2))
    assert first == again
    assert named(first, "Dice").p == pytest.approx(1 / 501)


def test_methods_that_saw_other_scans_are_not_compared():
    methods = better_and_worse(3)
    methods["worse"] = methods["worse"][:2]
    with pytest.raises(ValueError, match="did not see the same scans"):
        compare(methods, np.random.default_rng(1))
