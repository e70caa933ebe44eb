"""Covariances, Obuchowski-Rockette and U-statistics of one condition."""

from __future__ import annotations

import numpy as np
import pytest

from readerstudy.analysis.stats.covariance import error_cov, u_moments
from readerstudy.analysis.stats.imrmc import imrmc, product
from readerstudy.analysis.stats.metrics import leave_one_out, values
from readerstudy.analysis.stats.mrmc import or_single
from readerstudy.analysis.stats.readings import Readings
from tests.analysis.tables import make, random_readings


@pytest.mark.parametrize("metric", ["auc", "balanced_accuracy", "accuracy", "dprime"])
@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_leave_one_out_equals_recomputation(metric: str, missing: float) -> None:
    whole = random_readings(missing=missing)
    patients = np.repeat(np.arange(20), 2)  # each patient has one case of each class
    readings = Readings(**{**vars(whole), "unit": patients, "unit_name": "patient"})
    got = leave_one_out(readings, metric)
    for unit in range(20):
        rest = readings.of_cases(patients != unit)
        assert got[:, unit] == pytest.approx(values(rest, metric), abs=1e-12)


def test_the_unbiased_covariance_matches_its_definition() -> None:
    """E over random case sets: mean of theta_j theta_k minus the product of means."""
    readings = random_readings(readers=3, cases=24)
    u = error_cov(readings, "auc", "unbiased").matrix
    d = error_cov(readings, "auc", "delong").matrix
    j = error_cov(readings, "auc", "jackknife").matrix
    assert u is not None
    assert d is not None
    assert j is not None
    assert np.abs(u - d).max() < 0.15 * np.abs(d).max()
    assert np.abs(j - d).max() < 0.15 * np.abs(d).max()


def test_covariances_with_missing_readings() -> None:
    readings = random_readings(missing=0.15)
    assert error_cov(readings, "auc", "jackknife").matrix is not None
    assert error_cov(readings, "auc", "unbiased").matrix is not None
    refused = error_cov(readings, "auc", "delong")
    assert refused.matrix is None
    assert refused.reason == "some readings are missing: use the jackknife"


def test_patients_as_unit_widen_the_interval_of_correlated_cases() -> None:
    rng = np.random.default_rng(11)
    patients = np.repeat(np.arange(20), 4)
    truth = (np.arange(80) // 40).astype(bool)
    shift = rng.normal(size=20)[patients] * 2
    score = np.round(shift + truth + rng.normal(size=(6, 80)) * 0.4, 6)
    by_patient = make(score.tolist(), truth.tolist(), patients.tolist())
    by_each = make(score.tolist(), truth.tolist())
    wide, narrow = or_single(by_patient, "auc"), or_single(by_each, "auc")
    assert wide.rrrc.estimate == narrow.rrrc.estimate
    assert (wide.unit, wide.n_units) == ("patient", 20)
    assert wide.rrrc.se > 1.5 * narrow.rrrc.se


def test_one_reader_has_an_interval_for_these_readers_only() -> None:
    done = or_single(random_readings(readers=1), "auc")
    assert done.rrrc.ci95 is None
    assert done.rrrc.reason == "one reader: the variation between readers cannot be estimated"
    assert done.frrc.ci95 is not None
    assert done.rrfc.reason == done.rrrc.reason


def test_identical_guessing_readers_have_no_interval() -> None:
    done = or_single(make([[1, 1, 1, 1]] * 3, [1, 1, 0, 0]), "auc")
    assert done.rrrc.estimate == 0.5
    assert done.rrrc.reason == "no variation between readers or cases: the standard error is zero"


def test_a_reader_without_one_class_is_left_out_and_named() -> None:
    nan = float("nan")
    readings = make(
        [[3, 2, -1, -2], [2, -1, 1, -2], [1, -2, 1, -1], [2, 1, nan, nan]], [1, 1, 0, 0]
    )
    done = or_single(readings, "auc")
    assert [r.reader for r in done.left_out] == ["R04"]
    assert done.left_out[0].reason == "did not read cases of both classes"
    assert done.n_readers == 3
    assert or_single(readings, "sensitivity").n_readers == 4


def test_no_reader_at_all() -> None:
    nan = float("nan")
    done = or_single(make([[2, 1, nan, nan]], [1, 1, 0, 0]), "auc")
    assert done.rrrc.estimate is None
    assert done.rrrc.reason == "no reader read enough cases"


def test_negative_cov2_enters_as_zero() -> None:
    # Readers who are right on different cases: their errors are negatively correlated.
    readings = make(
        [[1, 1, -1, -1, -1, -1, 1, 1], [-1, -1, 1, 1, 1, 1, -1, -1]], [1, 1, 1, 1, 0, 0, 0, 0]
    )
    done = or_single(readings, "accuracy")
    assert done.cov2_negative
    assert done.cov2 < 0
    assert done.rrrc.se == pytest.approx(np.sqrt(done.ms_r / 2)) if done.ms_r else True


def test_imrmc_v_variance_is_the_ideal_two_way_bootstrap() -> None:
    """Resampling readers and both kinds of cases converges to the closed form (statistics.md)."""
    readings = random_readings(readers=5, cases=30)
    found = product(u_moments(readings, readings.score))
    assert found is not None
    pos = np.flatnonzero(readings.is_positive)
    neg = np.flatnonzero(~readings.is_positive)
    kernel = (readings.score[:, pos, None] > readings.score[:, None, neg]) + 0.5 * (
        readings.score[:, pos, None] == readings.score[:, None, neg]
    )
    rng = np.random.default_rng(2)
    means = []
    for _ in range(4000):
        r = rng.multinomial(5, [1 / 5] * 5) / 5
        x = rng.multinomial(len(pos), [1 / len(pos)] * len(pos)) / len(pos)
        y = rng.multinomial(len(neg), [1 / len(neg)] * len(neg)) / len(neg)
        means.append(np.einsum("j,a,b,jab", r, x, y, kernel))
    assert np.var(means) == pytest.approx(found.v_variance, rel=0.08)


def test_imrmc_with_missing_readings_weighs_readers_by_their_pairs() -> None:
    readings = random_readings(seed=9, missing=0.3)
    pairs = (readings.read & readings.is_positive).sum(1) * (
        readings.read & ~readings.is_positive
    ).sum(1)
    want = np.average(values(readings, "auc"), weights=pairs)
    done = imrmc(readings, margins=(0.1,))
    assert done.result.estimate == pytest.approx(want, abs=1e-12)
    assert done.result.ci95 is not None
    assert done.v_result.se > 0
    negative = imrmc(random_readings(seed=7, missing=0.3))
    assert negative.result.reason == "the unbiased variance estimate is negative"
    assert negative.v_result.ci95 is not None


def test_imrmc_says_why_it_has_no_answer() -> None:
    assert "two readers" in (imrmc(random_readings(readers=1)).result.reason or "")
    whole = random_readings()
    paired = Readings(
        **{**vars(whole), "unit": np.repeat(np.arange(20), 2), "unit_name": "patient"}
    )
    assert imrmc(paired).result.reason == "several cases per patient: use the jackknife"
