"""Calibration of stated probabilities, and whether confidence goes with being right."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from readerstudy.analysis.stats import calibration

from .degenerate import frame, readings, study


def stated(rows: list[tuple[float, int, int]]) -> pd.DataFrame:
    """(percent, readings of positives, readings of negatives), two readers in turn."""
    out = []
    for percent, positive, negative in rows:
        for i in range(positive + negative):
            truth = "synthetic" if i < positive else "real"
            out.append({"p_synthetic_pct": percent, "truth": truth, "verdict": "real"})
    table = pd.DataFrame(out)
    table["reader_id"] = np.where(np.arange(len(table)) % 2, "R1", "R2")
    table["case_id"] = [f"C{i:03d}" for i in range(len(table))]
    return table


def test_probabilities_that_mean_what_they_say() -> None:
    got = calibration.calibration(stated([(20, 10, 40), (50, 10, 10), (80, 40, 10)]), replicates=0)
    assert (got.slope, got.intercept) == (pytest.approx(1), pytest.approx(0, abs=1e-9))
    assert got.in_the_large == pytest.approx(0, abs=1e-9)
    assert got.ece == pytest.approx(0, abs=1e-12)
    assert got.brier == pytest.approx((100 * 0.16 + 20 * 0.25) / 120)
    assert got.brier_reference == 0.25
    assert got.spiegelhalter_z == pytest.approx(0, abs=1e-9)
    assert [(b.n, b.rate.estimate) for b in got.bins if b.n] == [(50, 0.2), (20, 0.5), (50, 0.8)]


def test_slope_and_intercepts_equal_statsmodels() -> None:
    rng = np.random.default_rng(3)
    rows = [(float(p), *rng.integers(1, 9, 2)) for p in (1, 7, 20, 33, 60, 85, 96)]
    table = stated([(p, int(a), int(b)) for p, a, b in rows])
    got = calibration.calibration(table, replicates=0)
    p = table["p_synthetic_pct"].to_numpy() / 100
    y = (table["truth"] == "synthetic").to_numpy(dtype=float)
    x = np.log(p / (1 - p))
    family = sm.families.Binomial()
    both = sm.GLM(y, sm.add_constant(x), family=family).fit()
    shift = sm.GLM(y, np.ones((len(y), 1)), family=family, offset=x).fit()
    assert (got.intercept, got.slope) == pytest.approx(tuple(both.params))
    assert got.in_the_large == pytest.approx(shift.params[0])


def test_naming_the_other_class_positive_mirrors_everything() -> None:
    f = frame(study(readers=4, cases=30))
    one = calibration.calibration(f, replicates=0)
    two = calibration.calibration(f, positive="real", replicates=0)
    for key in ("brier", "log_loss", "slope"):
        assert getattr(one, key) == pytest.approx(getattr(two, key))
    assert one.intercept == pytest.approx(-two.intercept)
    assert one.in_the_large == pytest.approx(-two.in_the_large)
    other = f.replace({"truth": {"synthetic": "malignant", "real": "benign"}})
    assert calibration.calibration(other, positive="malignant", replicates=0).slope == one.slope


def test_bins_are_on_the_whole_percent() -> None:
    table = stated([(p, 1, 1) for p in range(101)])
    got = calibration.calibration(table, replicates=0)
    assert [b.n for b in got.bins] == [20] * 9 + [22]


def test_intervals_come_from_readers_and_cases_and_repeat_with_the_seed() -> None:
    f = frame(study(readers=5, cases=40))
    got = calibration.calibration(f, replicates=200, rng=np.random.default_rng(1))
    again = calibration.calibration(f, replicates=200, rng=np.random.default_rng(1))
    assert got == again
    for key in ("brier", "slope", "in_the_large"):
        low, high = got.ci95[key]
        assert low < getattr(got, key) < high
    assert got.ci95["brier_reference"] == (0.25, 0.25)  # the mix is fixed by design
    with pytest.raises(ValueError, match="random generator"):
        calibration.calibration(f)


def test_readers_who_differ_make_the_interval_wide_although_cases_do_not() -> None:
    truth = np.arange(20) % 2 == 0
    sure = np.where(truth, 90.0, 10.0)
    rows = pd.DataFrame(
        {
            "reader_id": np.repeat(["sure", "unsure"], 20),
            "case_id": np.tile([f"C{k}" for k in range(20)], 2),
            "truth": np.tile(np.where(truth, "synthetic", "real"), 2),
            "p_synthetic_pct": np.concatenate([sure, np.full(20, 50.0)]),
        }
    )
    got = calibration.calibration(rows, replicates=200, rng=np.random.default_rng(0))
    assert got.brier == pytest.approx(0.13)
    assert got.ci95["brier"] == pytest.approx((0.01, 0.25))


def test_without_probabilities_or_with_one_class_there_is_a_reason() -> None:
    f = frame(study())
    got = calibration.calibration(f.drop(columns="p_synthetic_pct"))
    assert (got.n, got.n_without, got.reason) == (0, len(f), "no probabilities were stated")
    assert calibration.calibration(f[f["truth"] == "real"]).reason == "needs cases of both classes"
    flat = calibration.calibration(stated([(50, 5, 5)]), replicates=0)
    assert (flat.slope, flat.brier) == (None, 0.25)
    assert "do not vary" in flat.reason


def test_confidence_by_hand() -> None:
    r = readings([[3, -3, 1, -1, 2, 1], [3, 1, -1, -2, -3, 2]], [1, 0, 0, 1, 1, 0])
    got = calibration.confidence(r)
    assert [(c.level, c.n, c.naive.x) for c in got.levels] == [(1, 5, 1), (2, 3, 1), (3, 4, 3)]
    # R01: right at 3, 3, 2; wrong at 1, 1, 1. R02: right at 3, 1; wrong at 1, 2, 3, 2.
    assert got.n_readers == 2
    assert got.type2_auc.estimate == pytest.approx((1 + (3.5 + 0.5) / 8) / 2)
    assert sum(c.share for c in got.levels) == pytest.approx(1)


def test_confidence_without_meaning_has_a_type_2_area_of_one_half() -> None:
    rng = np.random.default_rng(8)
    size = rng.integers(1, 4, (10, 200))
    right = rng.random((10, 200)) < 0.7
    truth = np.arange(200) % 2 == 0
    got = calibration.confidence(readings(np.where(right == truth, size, -size), truth))
    assert got.type2_auc.ci95[0] < 0.5 < got.type2_auc.ci95[1]
    assert got.type2_auc.estimate == pytest.approx(0.5, abs=0.03)
