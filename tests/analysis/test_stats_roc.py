"""ROC curves, their areas, averages, parts and fitted curves (checks.md X1, X3)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from readerstudy.analysis.stats import roc
from readerstudy.analysis.stats.binormal import binormal_ml
from readerstudy.analysis.stats.metrics import values
from tests.analysis.tables import random_readings


def test_X3_auc_equals_mann_whitney_with_ties_one_half() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.integers(1, 7, 40).astype(float), rng.integers(0, 6, 50).astype(float)
    u = stats.mannwhitneyu(x, y).statistic
    brute = np.mean((x[:, None] > y) + 0.5 * (x[:, None] == y))
    assert roc.auc(x, y) == pytest.approx(u / 2000, abs=1e-12) == pytest.approx(brute, abs=1e-12)
    curve = roc.roc_points(x, y)
    assert curve is not None
    assert np.trapezoid(curve.tpr, curve.fpr) == pytest.approx(brute, abs=1e-12)


def test_the_average_curve_has_the_mean_of_the_areas() -> None:
    readings = random_readings(cases=60)
    pos = readings.is_positive
    curves = [roc.roc_points(s[pos], s[~pos]) for s in readings.score]
    average = roc.average_roc(curves, points=3001)
    assert average is not None
    area = np.trapezoid(average.tpr, average.fpr)
    assert area == pytest.approx(values(readings, "auc").mean(), abs=2e-3)
    assert (average.fpr[0], average.tpr[0], average.tpr[-1]) == (0.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("x", "y", "estimate", "reason"),
    [
        ([3.0, 3.0], [-3.0, -3.0], 1.0, "perfect separation"),
        ([1.0, 1.0], [1.0, 1.0], 0.5, "all scores tied"),
        ([1.0], [1.0, -1.0], 0.75, "one case of a class"),
        ([], [1.0], None, "no positive cases"),
    ],
)
def test_X1_degenerate_auc(x: list, y: list, estimate: float | None, reason: str) -> None:
    got = roc.delong(np.array(x), np.array(y))
    assert got.estimate == estimate
    assert got.ci is None
    assert (got.reason or "").startswith(reason)


@pytest.mark.parametrize("kind", ["vertical", "diagonal"])
def test_either_average_curve_has_the_mean_area(kind: str) -> None:
    readings = random_readings(cases=60)
    pos = readings.is_positive
    curves = [roc.roc_points(s[pos], s[~pos]) for s in readings.score]
    average = roc.average_roc(curves, points=2001, kind=kind)
    area = np.trapezoid(average.tpr, average.fpr)
    assert area == pytest.approx(values(readings, "auc").mean(), abs=2e-3)
    assert (average.fpr[0], average.tpr[0]) == (0.0, 0.0)
    assert (average.fpr[-1], average.tpr[-1]) == (1.0, 1.0)
    assert (np.diff(average.fpr) >= -1e-12).all()
    assert (np.diff(average.tpr) >= -1e-12).all()
    assert roc.average_roc([], kind=kind) is None


def test_the_diagonal_average_treats_the_classes_alike() -> None:
    readings = random_readings(cases=60)
    pos = readings.is_positive
    plain = roc.average_roc([roc.roc_points(s[pos], s[~pos]) for s in readings.score],
                            kind="diagonal")  # fmt: skip
    mirror = roc.average_roc([roc.roc_points(-s[~pos], -s[pos]) for s in readings.score],
                             kind="diagonal")  # fmt: skip
    assert plain.fpr == pytest.approx([1 - t for t in reversed(mirror.tpr)], abs=1e-12)


def test_a_partial_area_by_hand() -> None:
    # Curve through (0, 0.5), (0.5, 0.5), (0.5, 1), (1, 1).
    positives, negatives = np.array([4.0, 2.0]), np.array([3.0, 1.0])
    half = roc.partial_auc(positives, negatives, low=0.5)
    assert half.estimate == pytest.approx(0.25)
    assert half.corrected == pytest.approx((1 + (0.25 - 0.125) / (0.5 - 0.125)) / 2)
    rest = roc.partial_auc(positives, negatives, low=0.0, high=0.5)
    assert rest.estimate == pytest.approx(0.5)
    whole = roc.partial_auc(positives, negatives, low=0.0)
    assert whole.estimate == pytest.approx(0.75) == pytest.approx(half.estimate + rest.estimate)
    assert whole.corrected == pytest.approx(0.75)
    up = roc.partial_auc(positives, negatives, low=0.5, over="sensitivity")
    assert up.estimate == pytest.approx(0.25)
    assert roc.pauc(positives, negatives, spec_from=0.5) == (half.estimate, half.corrected)
    assert roc.partial_auc(np.array([]), negatives, low=0.9).reason == "no positive cases were read"
    with pytest.raises(ValueError, match="low < high"):
        roc.partial_auc(positives, negatives, low=1.0)
    with pytest.raises(ValueError, match="unknown axis"):
        roc.partial_auc(positives, negatives, over="fpr")  # type: ignore[arg-type]


def test_a_binormal_curve_finds_the_parameters_it_was_made_with() -> None:
    rng = np.random.default_rng(12)
    a, b = 1.2, 0.7
    negatives, positives = rng.normal(size=20_000), rng.normal(a / b, 1 / b, 20_000)
    cuts = [-1.0, 0.0, 0.5, 1.0, 2.0]
    rated = (np.digitize(positives, cuts) + 0.0, np.digitize(negatives, cuts) + 0.0)
    for scores in ((positives, negatives), rated):
        fit = binormal_ml(*scores)
        assert fit.reason is None
        assert fit.a == pytest.approx(a, abs=0.05)
        assert fit.b == pytest.approx(b, abs=0.03)
        assert fit.auc == pytest.approx(stats.norm.cdf(a / np.sqrt(1 + b * b)), abs=0.005)
        assert fit.d_a == pytest.approx(np.sqrt(2) * stats.norm.ppf(fit.auc))
        assert fit.ci95[0] < fit.auc < fit.ci95[1]
        curve = fit.curve(2001)
        assert np.trapezoid(curve.tpr, curve.fpr) == pytest.approx(fit.auc, abs=1e-3)
        assert list(fit.cutoffs) == sorted(fit.cutoffs)


@pytest.mark.parametrize("seed", range(5))
def test_exchanged_classes_give_the_mirrored_binormal_curve(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 6, 30) + 1.0, rng.integers(0, 5, 40) + 0.0
    one, other = binormal_ml(x, y), binormal_ml(-y, -x, positive="real")
    assert one.reason is None
    assert other.a == pytest.approx(one.a / one.b, abs=1e-4)
    assert other.b == pytest.approx(1 / one.b, abs=1e-4)
    assert other.auc == pytest.approx(one.auc, abs=1e-5)
    assert other.se_auc == pytest.approx(one.se_auc, rel=1e-3)
    stretched = binormal_ml(np.exp(x), np.exp(y))
    assert (stretched.a, stretched.se_auc) == (one.a, one.se_auc)


@pytest.mark.parametrize(
    ("x", "y", "reason"),
    [
        ([3.0, 2.0, 2.0], [1.0, 1.0, -1.0], "perfect separation"),
        ([1.0, 1.0], [1.0, 1.0], "all scores tied"),
        ([2.0, 1.0], [2.0, 1.0], "two ratings"),
        ([], [1.0], "no positive cases"),
        ([1.0], [], "no negative cases"),
        ([1.0] + [2.0] * 6, [0.0] * 4 + [1.0], "no operating point"),
        ([2.0] + [3.0] * 6 + [4.0] * 38, [0.0] * 44 + [1.0] * 21 + [2.0] * 4, "no operating point"),
    ],
)
def test_X1_a_curve_that_cannot_be_fitted_keeps_the_empirical_area(
    x: list, y: list, reason: str
) -> None:
    fit = binormal_ml(np.array(x), np.array(y))
    assert (fit.a, fit.b, fit.auc, fit.se_auc, fit.curve()) == (None,) * 5
    assert (fit.reason or "").startswith(reason)
    assert fit.empirical_auc == roc.auc(np.array(x), np.array(y))


def test_two_scores_on_the_same_cases() -> None:
    rng = np.random.default_rng(9)
    x, y = rng.normal(1, 1, 30), rng.normal(0, 1, 40)
    noise = (x + rng.normal(size=30), y + rng.normal(size=40))
    done = roc.delong_paired(x, y, *noise)
    one, two = roc.delong(x, y), roc.delong(*noise)
    assert done.difference == pytest.approx(one.estimate - two.estimate)
    variance = one.variance + two.variance - 2 * done.covariance
    assert done.z == pytest.approx(done.difference / np.sqrt(variance))
    back = roc.delong_paired(*noise, x, y)
    assert (back.z, back.p) == (pytest.approx(-done.z), pytest.approx(done.p))
    assert roc.delong_paired(x, y, 2 * x, 2 * y).reason == "the two scores rank alike"
    assert "two cases" in (roc.delong_paired(x[:1], y, x[:1], y).reason or "")
    with pytest.raises(ValueError, match="same cases"):
        roc.delong_paired(x, y, x[:5], y)
