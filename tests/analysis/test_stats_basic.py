"""Proportions, 2 x 2 tables, signal detection, verdicts: hand numbers (checks.md X1, X2, X7)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from readerstudy.analysis.stats import inference, proportions
from readerstudy.analysis.stats.bayes import bayes_normal
from readerstudy.analysis.stats.confusion import Confusion, confusion, pooled
from readerstudy.analysis.stats.mrmc import or_single
from readerstudy.analysis.stats.reference import uniroot
from readerstudy.analysis.stats.sdt import sdt
from tests.analysis.tables import make, random_readings


@pytest.mark.parametrize("method", list(proportions.METHOD_NAMES))
def test_X1_no_readings_give_a_reason_and_no_number(method: str) -> None:
    got = proportions.rate_ci(0, 0, method)  # type: ignore[arg-type]
    assert (got.estimate, got.ci, got.reason) == (None, None, "no readings")


@pytest.mark.parametrize("method", list(proportions.METHOD_NAMES))
@pytest.mark.parametrize(("x", "n"), [(0, 1), (1, 1), (0, 7), (7, 7), (3, 7), (60, 120)])
def test_every_interval_holds_its_estimate_and_stays_in_0_1(method: str, x: int, n: int) -> None:
    got = proportions.rate_ci(x, n, method)  # type: ignore[arg-type]
    assert got.ci is not None
    assert 0 <= got.ci[0] <= x / n <= got.ci[1] <= 1
    mirror = proportions.rate_ci(n - x, n, method)  # type: ignore[arg-type]
    assert mirror.ci is not None
    assert mirror.ci == pytest.approx((1 - got.ci[1], 1 - got.ci[0]), abs=1e-9)


def test_X2_clopper_pearson_and_wilson_equal_scipy() -> None:
    for x, n in [(0, 9), (3, 9), (9, 9), (434, 780)]:
        test = stats.binomtest(x, n)
        for method, name in (("clopper_pearson", "exact"), ("wilson", "wilson")):
            want = test.proportion_ci(method=name)
            assert proportions.rate_ci(x, n, method).ci == pytest.approx(tuple(want), abs=1e-9)


def test_exact_roots_stand_within_the_tolerance_of_the_reference_root_finder() -> None:
    for x, n in [(81, 263), (15, 148), (0, 20), (1, 29)]:
        assert proportions.rate_ci(x, n, "midp").ci == pytest.approx(uniroot.midp(x, n), abs=6.2e-5)
        assert proportions.rate_ci(x, n, "lik").ci == pytest.approx(uniroot.lik(x, n), abs=6.2e-5)
    low, high = proportions.rate_ci(0, 20, "midp").ci or (None, None)
    assert (low, high) == (0.0, pytest.approx(1 - 0.05 ** (1 / 20), abs=1e-12))


def test_a_count_above_its_total_is_refused() -> None:
    with pytest.raises(ValueError, match="4 of 3 is not a proportion"):
        proportions.rate_ci(4, 3)


def test_confusion_counts_by_hand() -> None:
    nan = float("nan")
    readings = make([[2, -1, 3, -2, nan], [-1, -1, -1, -1, -1]], [1, 1, 0, 0, 0])
    assert confusion(readings) == (
        Confusion("synthetic", "real", 1, 1, 1, 1),
        Confusion("synthetic", "real", 0, 2, 0, 3),
    )
    total = pooled(readings)
    assert (total.table.tp, total.table.fn, total.table.fp, total.table.tn) == (1, 3, 1, 4)
    assert "naive" in total.label


def test_undefined_ratios_say_why() -> None:
    derived = Confusion("synthetic", "real", 0, 4, 0, 4).derived()
    assert derived["mcc"].estimate is None
    assert derived["mcc"].reason == "the reader gave one answer only"
    assert derived["lr_plus"].estimate is None
    assert derived["lr_minus"].estimate == 1.0
    assert all(
        v.estimate is None
        for v in Confusion("synthetic", "real", 3, 1, 0, 0).derived().values()
        if v.reason == "needs cases of both classes"
    )


def test_X7_swapping_the_positive_class_swaps_rates_and_flips_only_the_criterion() -> None:
    readings = random_readings()
    plain, swapped = confusion(readings), confusion(readings.swapped())
    for a, b in zip(plain, swapped, strict=True):
        assert (a.tp, a.fn, a.fp, a.tn) == (b.tn, b.fp, b.fn, b.tp)
        one = sdt(a.tp, a.fn, a.fp, a.tn)
        two = sdt(b.tp, b.fn, b.fp, b.tn, positive="real")
        assert one.dprime == pytest.approx(two.dprime, abs=1e-12)
        assert one.criterion == pytest.approx(-two.criterion, abs=1e-12)
    for metric in ("auc", "balanced_accuracy", "accuracy"):
        same, other = or_single(readings, metric), or_single(readings.swapped(), metric)
        assert same.rrrc.estimate == pytest.approx(other.rrrc.estimate, abs=1e-12)
        assert same.rrrc.ci95 == pytest.approx(other.rrrc.ci95, abs=1e-12)


@pytest.mark.parametrize("counts", [(5, 0, 0, 5), (0, 5, 5, 0), (5, 0, 5, 0), (1, 0, 0, 1)])
def test_loglinear_dprime_is_finite_for_perfect_readers(counts: tuple[int, ...]) -> None:
    got = sdt(*counts)
    assert got.reason is None
    assert np.isfinite([got.dprime, got.criterion, got.se_dprime]).all()


def test_dprime_without_correction_or_without_a_class_has_a_reason() -> None:
    assert "log-linear" in (sdt(5, 0, 0, 5, correction="none").reason or "")
    assert sdt(0, 0, 1, 4).reason == "no positive cases were read"


@pytest.mark.parametrize(
    ("estimate", "se", "code"),
    [
        (0.50, 0.02, "equivalent"),
        (0.70, 0.03, "different"),
        (0.56, 0.02, "different_within_margin"),
        (0.56, 0.05, "inconclusive"),
        (0.30, 0.03, "different"),
    ],
)
def test_four_verdicts(estimate: float, se: float, code: str) -> None:
    result = inference.infer(estimate, se, 40, method="t", margins=(0.1,))
    assert inference.verdict(result, 0.1).code == code


def test_equivalence_holds_exactly_when_the_90_interval_is_inside() -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        result = inference.infer(
            float(rng.uniform(0.35, 0.65)),
            float(rng.uniform(0.005, 0.1)),
            float(rng.uniform(3, 80)),
            method="t",
            margins=(0.1,),
        )
        low, high = result.ci90 or (0, 0)
        assert result.tost[0].equivalent == (low > 0.4 and high < 0.6)


def test_verdict_without_an_interval_is_undefined() -> None:
    result = inference.infer(0.5, 0.0, 3, method="t", margins=(0.1,))
    assert inference.verdict(result, 0.1).code == "undefined"
    assert result.tost[0].reason == result.reason


def test_holm_skips_what_is_undefined() -> None:
    assert inference.holm([0.01, None, 0.04]) == [0.02, None, 0.04]
    assert inference.holm([None]) == [None]


def test_bayes_without_a_standard_error_says_why() -> None:
    assert bayes_normal(0.5, None).reason == "the standard error cannot be estimated"
    assert bayes_normal(0.5, 0.01).bf01 > 3
    assert bayes_normal(0.8, 0.01).bf01 < 1e-6
