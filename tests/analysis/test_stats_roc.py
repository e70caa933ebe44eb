"""ROC curves, their areas, averages, parts and fitted curves (checks.md X1, X3)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from readerstudy.analysis.stats import roc
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
