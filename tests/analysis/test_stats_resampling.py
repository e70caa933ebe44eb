"""Two-way bootstrap and permutation of labels."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from readerstudy.analysis.stats.bootstrap import bootstrap_2way
from readerstudy.analysis.stats.imrmc import imrmc
from readerstudy.analysis.stats.metrics import values
from readerstudy.analysis.stats.permutation import label_permutation
from readerstudy.analysis.stats.readings import Readings
from readerstudy.analysis.stats.weighted import weighted_values
from tests.analysis.tables import make, random_readings


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("metric", ["auc", "balanced_accuracy", "accuracy", "dprime"])
@pytest.mark.parametrize("many_levels", [False, True])
def test_weights_do_what_copies_of_cases_would_do(metric: str, many_levels: bool) -> None:
    readings = random_readings(readers=4, cases=30, missing=0.2)
    if many_levels:
        noise = rng().normal(size=readings.score.shape).round(1)
        readings = replace(readings, score=readings.score + noise)
    counts = rng(2).integers(0, 3, (6, 30)).astype(float)
    positive = counts * readings.is_positive
    got = weighted_values(readings, metric, positive, counts - positive)
    for b, row in enumerate(counts.astype(int)):
        index = np.repeat(np.arange(30), row)
        copied = Readings(
            readings.readers, tuple(map(str, range(len(index)))), "synthetic", "real",
            readings.is_positive[index], np.arange(len(index)), readings.score[:, index],
            readings.call[:, index],
        )  # fmt: skip
        assert got[b] == pytest.approx(values(copied, metric), abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("metric", ["auc", "balanced_accuracy"])
def test_the_bootstrap_converges_to_the_v_statistic(metric: str) -> None:
    readings = random_readings(readers=6, cases=40)
    done = bootstrap_2way(readings, metric, 8000, rng=rng())
    ideal = imrmc(readings, metric).v_result
    assert done.estimate == pytest.approx(ideal.estimate)
    assert done.se == pytest.approx(ideal.se, rel=0.04)
    low, high = done.ci95
    assert low < done.ci90[0] < done.estimate < done.ci90[1] < high
    assert done.as_inference().ci95 == done.ci95


def test_the_seed_decides_and_nothing_else() -> None:
    readings = random_readings()
    assert bootstrap_2way(readings, rng=rng(5)) == bootstrap_2way(readings, rng=rng(5))
    assert bootstrap_2way(readings, rng=rng(5)) != bootstrap_2way(readings, rng=rng(6))
    one, two = (label_permutation(readings, rng=rng(seed)) for seed in (5, 5))
    assert one == two


def test_patients_are_resampled_whole() -> None:
    generator = rng(11)
    patients = np.repeat(np.arange(20), 4)
    truth = (np.arange(80) // 40).astype(int)
    shift = generator.normal(size=20)[patients] * 2
    score = shift + truth + generator.normal(size=(6, 80)) * 0.4
    whole = make(score.tolist(), truth.tolist(), patients.tolist())
    apart = make(score.tolist(), truth.tolist())
    wide, narrow = (bootstrap_2way(r, rng=rng()).se for r in (whole, apart))
    assert wide > 1.4 * narrow


@pytest.mark.parametrize(
    ("score", "truth", "reason"),
    [
        ([[3, 2, -1, -2]], [1, 1, 0, 0], "one reader"),
        ([[3, -1]] * 2, [1, 0], "fewer than two cases to resample"),
        ([[1, 1, 1, 1]] * 3, [1, 1, 0, 0], "no variation"),
        ([[2, 1, float("nan"), float("nan")]], [1, 1, 0, 0], "no reader"),
    ],
)
def test_X1_the_bootstrap_says_why_it_has_no_interval(
    score: list, truth: list, reason: str
) -> None:
    done = bootstrap_2way(make(score, truth), rng=rng())
    assert reason in (done.reason or "")
    assert (done.se, done.ci95, done.p) == (None, None, None)


def test_missing_readings_and_readers_without_a_class_are_met() -> None:
    readings = random_readings(readers=6, cases=16, missing=0.5)
    done = bootstrap_2way(readings, rng=rng())
    assert done.reason is None
    assert done.ci95 is not None
    assert done.n_undefined < done.replicates / 2


def test_permutation_against_every_permutation() -> None:
    score = [[3, 2, -1, 1, -2, -3], [2, 1, 1, -2, -1, -2]]
    readings = make(score, [1, 1, 1, 0, 0, 0])
    observed = values(readings, "auc").mean()
    every = [
        values(make(score, list(labels)), "auc").mean()
        for labels in set(permutations([1, 1, 1, 0, 0, 0]))
    ]
    exact = np.mean(np.array(every) >= observed - 1e-12)
    done = label_permutation(readings, replicates=8000, rng=rng())
    assert done.p_greater == pytest.approx(exact, abs=0.01)
    assert done.null_mean == pytest.approx(0.5, abs=0.01)
    assert done.p == pytest.approx(2 * done.p_greater)


def test_permutation_has_its_size_when_nobody_can_tell() -> None:
    generator = rng(4)
    p = []
    for _ in range(200):
        score = (
            generator.normal(size=(3, 1))
            + generator.normal(size=20)
            + generator.normal(size=(3, 20))
        )  # readers share what a case looks like
        readings = make(score.tolist(), [1] * 10 + [0] * 10)
        p.append(label_permutation(readings, replicates=100, rng=generator).p)
    assert np.mean(np.array(p) < 0.1) == pytest.approx(0.1, abs=0.06)


def test_labels_move_between_patients_of_equal_size_only() -> None:
    # Two patients of two synthetic lesions each, four single real cases: a patient's lesions
    # cannot swap with single cases, so there is one arrangement and no evidence.
    readings = make([[3, 2, 3, 1, -1, -2, -1, -3]] * 2, [1] * 4 + [0] * 4, [0, 0, 1, 1, 2, 3, 4, 5])
    done = label_permutation(readings, replicates=100, rng=rng())
    assert done.p == 1.0
    assert done.null_sd == 0.0


def test_what_cannot_be_permuted_is_refused_or_reasoned() -> None:
    with pytest.raises(ValueError, match="does not compare the classes"):
        label_permutation(random_readings(), "sensitivity", rng=rng())
    with pytest.raises(ValueError, match="at least 100"):
        label_permutation(random_readings(), replicates=10, rng=rng())
    with pytest.raises(ValueError, match="at least 100"):
        bootstrap_2way(random_readings(), replicates=10, rng=rng())
    nan = float("nan")
    done = label_permutation(make([[2, 1, nan, nan]], [1, 1, 0, 0]), rng=rng())
    assert done.p is None
    assert done.reason == "no reader read enough cases"
