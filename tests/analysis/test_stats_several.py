"""Several conditions: Obuchowski-Rockette, DBM, U-statistics, generators that share real cases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from readerstudy.analysis.stats.conditions import Conditions
from readerstudy.analysis.stats.covariance import u_moments
from readerstudy.analysis.stats.dbm import dbm
from readerstudy.analysis.stats.imrmc import imrmc, imrmc_multi, product
from readerstudy.analysis.stats.inference import f_tail
from readerstudy.analysis.stats.mrmc import or_single
from readerstudy.analysis.stats.multi import components, or_multi
from readerstudy.analysis.stats.readings import Readings
from readerstudy.analysis.stats.serialize import to_json
from readerstudy.analysis.stats.simulation import RoeMetz, simulate_conditions, simulate_roe_metz
from tests.analysis.tables import make, random_readings

NAN = float("nan")


@pytest.fixture(scope="module")
def three() -> Conditions:
    rng = np.random.default_rng(3)
    return simulate_conditions(RoeMetz.of("HL"), {"A": 0.6, "B": 0.7, "C": 0.6}, 5, 20, 24, rng)


def test_mean_squares_and_covariances_by_hand() -> None:
    theta = np.array([[0.5, 0.7], [0.6, 0.9]])
    # Rows: condition 1 reader 1, condition 1 reader 2, condition 2 reader 1, condition 2 reader 2.
    v = np.array([[8, 4, 6, 2], [4, 10, 1, 5], [6, 1, 12, 3], [2, 5, 3, 6]]) / 1000
    done = components(theta, v)
    assert done.ms_t == pytest.approx(2 * (0.075**2 * 2))
    assert done.ms_r == pytest.approx(2 * (0.125**2 * 2))
    assert done.ms_tr == pytest.approx(4 * 0.025**2)
    assert done.var_error == pytest.approx(0.009)
    assert done.cov1 == pytest.approx((6 + 5) / 2000)
    assert done.cov2 == pytest.approx((4 + 3) / 2000)
    assert done.cov3 == pytest.approx((2 + 1) / 2000)
    assert done.var_reader == pytest.approx((0.0625 - 0.0025) / 2 - 0.0055 + 0.0015)
    assert done.var_condition_reader == pytest.approx(0.0025 - 0.009 + 0.0055 + 0.0020)
    nested = components(theta, v, "cases_in_conditions")
    assert (nested.cov1, nested.cov3) == (0.0, 0.0)
    nested = components(theta, v, "cases_in_readers")
    assert (nested.cov2, nested.cov3) == (0.0, 0.0)
    assert nested.cov1 == done.cov1


@pytest.mark.parametrize("metric", ["auc", "accuracy", "sensitivity", "dprime"])
def test_dbm_and_or_with_the_jackknife_are_one_test(three: Conditions, metric: str) -> None:
    one, two = or_multi(three, metric), dbm(three, metric)
    assert one.rrrc.test.statistic == pytest.approx(two.test.statistic, rel=1e-9)
    assert one.rrrc.test.df2 == pytest.approx(two.test.df2, rel=1e-9)
    assert one.rrrc.test.p == pytest.approx(two.test.p, rel=1e-9)
    for ours, theirs in zip(one.rrrc.differences, two.differences, strict=True):
        assert ours.result.ci95 == pytest.approx(theirs.result.ci95, rel=1e-9)
        assert ours.p_holm == pytest.approx(theirs.p_holm, rel=1e-9)
    assert two.components.var_r == pytest.approx(one.components.var_reader, rel=1e-9)
    assert two.components.var_tr == pytest.approx(one.components.var_condition_reader, rel=1e-9)
    for mean, (name, theirs) in zip(one.rrrc.means, two.means, strict=True):
        assert mean.condition == name
        assert mean.result.ci95 == pytest.approx(theirs.ci95, rel=1e-9)


def test_two_conditions_have_f_equal_to_t_squared(three: Conditions) -> None:
    pair = Conditions(three.names[:2], three.each[:2])
    for result in (or_multi(pair).rrrc, or_multi(pair).rrfc):
        t = result.differences[0].result
        assert result.test.statistic == pytest.approx(t.statistic**2, rel=1e-9)
        assert result.test.p == pytest.approx(t.p, rel=1e-9)
    fixed = or_multi(pair).frrc
    assert fixed.test.distribution == "chi2"
    assert fixed.test.p == pytest.approx(fixed.differences[0].result.p, rel=1e-9)


@pytest.mark.parametrize("cov", ["jackknife", "delong", "unbiased"])
def test_every_covariance_compares_and_holm_covers_all_pairs(three: Conditions, cov: str) -> None:
    done = or_multi(three, "auc", cov, margins=(0.1,))
    assert done.reason is None
    assert [(d.first, d.second) for d in done.rrrc.differences] == [
        ("A", "B"), ("A", "C"), ("B", "C"),
    ]  # fmt: skip
    for result in (done.rrrc, done.frrc, done.rrfc):
        raw = sorted(d.result.p for d in result.differences)
        smallest = min(d.p_holm for d in result.differences)
        assert smallest == pytest.approx(min(1.0, 3 * raw[0]))
        assert all(len(d.result.tost) == 1 for d in result.differences)
        assert all(d.result.null == 0.0 for d in result.differences)


def test_one_condition_alone_keeps_its_mean_and_says_why_it_has_no_test() -> None:
    readings = random_readings()
    done = or_multi(Conditions.of({"genA": readings}))
    assert done.reason == "one condition: there is nothing to compare"
    assert done.rrrc.test.p is None
    single = or_single(readings)
    assert done.rrrc.means[0].result.ci95 == pytest.approx(single.rrrc.ci95, abs=1e-12)
    alone = dbm(Conditions.of({"genA": readings}))
    assert alone.means[0][1].ci95 == pytest.approx(single.rrrc.ci95, rel=1e-9)
    assert alone.test.reason == done.reason


def test_generators_share_the_real_cases_and_own_their_synthetic_ones() -> None:
    rng = np.random.default_rng(8)
    readings = simulate_roe_metz(RoeMetz.of("HL", 0.66), 5, 24, 20, rng)
    labels = ["g1"] * 12 + ["g2"] * 12 + ["none"] * 20
    found = Conditions.by_generator(readings, labels)
    assert found.names == ("g1", "g2")
    assert [int(own.read[0].sum()) for own in found.each] == [32, 32]
    done = or_multi(found)
    parts = done.components
    assert parts is not None
    for name, mean in zip(found.names, done.rrrc.means, strict=True):
        keep = np.array([label in (name, "none") for label in labels])
        assert mean.result.estimate == pytest.approx(
            or_single(readings.of_cases(keep)).rrrc.estimate, abs=1e-12
        )
    assert parts.cov1 < parts.var_error
    assert parts.cov3 < parts.cov2  # only the real cases are in common
    assert "missing" in (or_multi(found, "auc", "delong").reason or "")
    assert "missing" in (dbm(found).reason or "")
    pair = imrmc_multi(found).pairs[0]
    unbiased = or_multi(found, "auc", "unbiased").rrrc.differences[0].result
    assert pair.difference is not None
    assert pair.difference.result.estimate == pytest.approx(unbiased.estimate, abs=1e-12)
    assert pair.difference.result.se == pytest.approx(unbiased.se, rel=0.15)


def test_generators_are_those_of_the_synthetic_class_whichever_is_positive() -> None:
    rng = np.random.default_rng(8)
    readings = simulate_roe_metz(RoeMetz.of("HL", 0.66), 4, 12, 10, rng)
    labels = ["g1"] * 6 + ["g2"] * 6 + [""] * 10
    ours = or_multi(Conditions.by_generator(readings, labels))
    theirs = or_multi(Conditions.by_generator(readings.swapped(), labels))
    assert theirs.rrrc.test.p == pytest.approx(ours.rrrc.test.p, rel=1e-9)
    with pytest.raises(ValueError, match="names the generator"):
        Conditions.by_generator(readings, [""] * 22)


def test_conditions_with_cases_of_their_own_have_no_covariance_between_them() -> None:
    one, two = random_readings(seed=1, readers=4), random_readings(seed=2, readers=4)
    renamed = replace(two, cases=tuple(f"D{k}" for k in range(two.n_cases)))
    done = or_multi(Conditions.of({"a": one, "b": renamed})).components
    assert done is not None
    assert abs(done.cov1) < 1e-18
    assert abs(done.cov3) < 1e-18
    apart = Conditions.of({"a": one, "b": renamed})
    cross = product(u_moments(apart.each[0], *(own.score for own in apart.each)))
    assert cross is not None
    assert cross.components[:2] == pytest.approx([0.0, 0.0], abs=1e-12)  # no case in common
    assert cross.components[2] != 0.0  # but readers
    split = imrmc_multi(apart).pairs[0].difference
    assert split is not None
    alone = imrmc_multi(Conditions.of({"a": one})).each[0][1]
    assert split.variance > alone.result.se**2 / 2


def test_alignment_by_reader_and_case() -> None:
    whole = random_readings(readers=3, cases=6)
    part = whole.of_readers(np.array([False, True, True])).of_cases(np.arange(6) > 0)
    found = Conditions.of({"all": whole, "part": part})
    assert found.readers == whole.readers
    assert np.isnan(found.each[1].score[0]).all()
    assert np.isnan(found.each[1].score[:, 0]).all()
    assert (found.each[1].score[1:, 1:] == part.score).all()
    done = or_multi(found)
    assert [r.reader for r in done.left_out] == ["R01"]
    assert done.n_readers == 2
    flipped = replace(part, is_positive=~part.is_positive)
    with pytest.raises(ValueError, match="truth of case C002 changes"):
        Conditions.of({"all": whole, "part": flipped})
    with pytest.raises(ValueError, match="different names"):
        Conditions.of({"all": whole, "part": part.swapped()})
    with pytest.raises(ValueError, match="no condition"):
        Conditions.of({})


def test_patients_stay_whole_across_conditions() -> None:
    one = make([[1, -1, 2, -2]] * 2, [1, 0, 1, 0], [0, 0, 1, 1])
    late = Readings(**{**vars(one), "cases": ("C003", "C004", "C005", "C006")})
    found = Conditions.of({"a": one, "b": late})
    unit = dict(zip(found.each[0].cases, found.each[0].unit.tolist(), strict=True))
    assert unit["C001"] == unit["C002"] != unit["C003"]
    assert unit["C003"] == unit["C004"] != unit["C005"] == unit["C006"]


@pytest.mark.parametrize(
    ("score", "reason"),
    [
        ([[1, 1, 1, 1]] * 2, "no variation"),
        ([[3, 2, -1, -2]], "fewer than two readers"),
        ([[1, NAN, NAN, NAN], [1, -1, NAN, NAN]], "fewer than two readers"),
    ],
)
def test_X1_degenerate_readers_give_reasons(score: list, reason: str) -> None:
    own = make(score, [1, 1, 0, 0])
    found = Conditions.of({"a": own, "b": own})
    done = or_multi(found)
    assert reason in (done.rrrc.test.reason or "")
    assert done.rrrc.differences[0].result.p is None
    assert dbm(found).test.p is None
    assert dbm(found).test.reason
    pair = imrmc_multi(found).pairs[0]
    assert pair.reason or pair.difference.result.p is None


def test_unknown_designs_and_metrics_are_refused(three: Conditions) -> None:
    with pytest.raises(ValueError, match="unknown design"):
        or_multi(three, design="split")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown metric"):
        or_multi(three, "precision")


def test_f_with_infinite_denominator_degrees_of_freedom_is_a_chi_squared():
    """scipy's F gives NaN there; 7.815 is the 5 % point of chi-squared with 3 df."""
    assert f_tail(7.814727903251179 / 3, 3, None) == pytest.approx(0.05)
    assert f_tail(7.814727903251179 / 3, 3, float("inf")) == pytest.approx(0.05)
    assert f_tail(4.757062663089414, 3, 6) == pytest.approx(0.05)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("last", [-3.0, -2.0])
def test_one_case_that_carries_everything_gives_a_reason_and_no_interval(last):
    """Three of four readers saw one negative case only: no spread, or no degrees of freedom."""
    score = np.full((4, 5), -3.0)
    score[1:, 3] = np.nan
    score[3, 4] = last
    found = imrmc(make(score.tolist(), [0, 1, 1, 0, 1], None))
    assert found.result.ci95 is None
    assert found.result.p is None
    assert found.result.reason
    to_json(found)
