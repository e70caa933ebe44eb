"""Mixed models, order, time, heterogeneity, machine against readers: other routes and hand sums."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from readerstudy.analysis.stats import cluster, metrics, timing
from readerstudy.analysis.stats.foolrate import by_case, shrunken
from readerstudy.analysis.stats.glmm import sdt_glmm
from readerstudy.analysis.stats.lmm import lmm
from readerstudy.analysis.stats.machine import model_vs_readers
from readerstudy.analysis.stats.mrmc import or_single
from readerstudy.analysis.stats.readings import Readings
from readerstudy.analysis.stats.subgroup import heterogeneity

from .degenerate import NAN, frame, readings, study


def simulated(seed: int, j: int, k: int, sd: tuple[float, float], beta=(-0.5, 1.0)) -> Readings:
    """Verdicts from the probit model itself."""
    rng = np.random.default_rng(seed)
    truth = np.arange(k) % 2 == 0
    eta = beta[0] + beta[1] * truth + sd[0] * rng.normal(size=(j, 1)) + sd[1] * rng.normal(size=k)
    return readings(np.where(rng.normal(size=(j, k)) < eta, 1.0, -1.0), truth)


# ------------------------------------------------------------------------------- mixed models


def test_glmm_finds_what_made_the_verdicts() -> None:
    got = sdt_glmm(simulated(1, 20, 120, (0.4, 0.6)))
    assert got.dprime == pytest.approx(1.0, abs=3 * got.dprime_se)
    assert got.intercept == pytest.approx(-0.5, abs=3 * got.intercept_se)
    assert got.criterion == pytest.approx(-(got.intercept + got.dprime / 2))
    assert (got.sd_reader, got.sd_case) == (
        pytest.approx(0.4, abs=0.2),
        pytest.approx(0.6, abs=0.2),
    )
    assert got.singular is False
    assert "sensitivity" in got.label


def test_glmm_without_random_effects_is_the_probit_regression() -> None:
    r = simulated(4, 6, 40, (0.0, 0.0))
    got = sdt_glmm(r)
    x = np.column_stack([np.ones(240), np.tile(r.is_positive, 6)]).astype(float)
    family = sm.families.Binomial(sm.families.links.Probit())
    plain = sm.GLM(r.call.ravel(), x, family=family).fit()
    # Maximum likelihood: never below the model it contains.
    assert got.loglik >= plain.llf - 1e-6
    if got.singular and max(got.sd_reader, got.sd_case) < 1e-3:
        assert got.dprime == pytest.approx(plain.params[1], abs=1e-3)
    assert got.dprime == pytest.approx(plain.params[1], abs=0.2)


def test_glmm_does_not_depend_on_which_class_is_called_positive() -> None:
    r = simulated(2, 8, 50, (0.3, 0.5))
    r = replace(r, call=np.where(np.random.default_rng(0).random(r.call.shape) < 0.1, NAN, r.call))
    one, two = sdt_glmm(r), sdt_glmm(r.swapped())
    assert one.dprime == pytest.approx(two.dprime, abs=1e-3)
    assert one.criterion == pytest.approx(-two.criterion, abs=1e-3)
    assert one.loglik == pytest.approx(two.loglik, abs=1e-4)
    assert one.n == int(r.read.sum())


def test_lmm_equals_statsmodels() -> None:
    rng = np.random.default_rng(8)
    reader, case = np.repeat(np.arange(6), 15), np.tile(np.arange(15), 6)
    keep = rng.random(90) > 0.15
    reader, case = reader[keep], case[keep]
    x = rng.normal(size=len(reader))
    y = 1 + 0.5 * x + rng.normal(size=6)[reader] + 0.7 * rng.normal(size=15)[case]
    y += 0.5 * rng.normal(size=len(x))
    got = lmm(y, {"x": x}, reader, case)
    data = pd.DataFrame({"y": y, "x": x, "reader": reader, "case": case, "all": 1})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = sm.MixedLM.from_formula(
            "y ~ x", data, groups="all", re_formula="0",
            vc_formula={"reader": "0 + C(reader)", "case": "0 + C(case)"},
        ).fit(reml=True)  # fmt: skip
    assert [c.estimate for c in got.coefficients] == pytest.approx(
        want.fe_params.tolist(), abs=1e-4
    )
    assert [c.se for c in got.coefficients] == pytest.approx(want.bse_fe.tolist(), rel=5e-3)
    assert got.sd_residual == pytest.approx(want.scale**0.5, rel=1e-3)
    assert (got.sd_case, got.sd_reader) == pytest.approx(tuple(want.vcomp**0.5), rel=5e-3)
    assert got.loglik == pytest.approx(want.llf, abs=1e-3)


def test_a_trend_clustered_both_ways_equals_statsmodels() -> None:
    r = study(readers=5, cases=30, missing=0.1)
    f = frame(r)
    y = (f["verdict"] == f["truth"]).to_numpy(dtype=float)
    x = f["order_index"].to_numpy()
    got = cluster.twoway_slope(y, x, f["reader_id"], f["case_id"])
    groups = np.column_stack([pd.factorize(f[c])[0] for c in ("reader_id", "case_id")])
    want = sm.OLS(y, sm.add_constant(x)).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}
    )
    assert (got.intercept, got.estimate) == pytest.approx(tuple(want.params))
    assert got.se == pytest.approx(want.bse[1])
    assert got.df == 4


def test_few_clusters_get_the_wider_sandwich() -> None:
    f = frame(study(readers=6, cases=40))
    y = (f["verdict"] == f["truth"]).to_numpy(dtype=float)
    x = {"order": f["order_index"].to_numpy()}
    plain = cluster.gee(y, f["reader_id"], x, name="reader_id")
    wide = cluster.gee(y, f["reader_id"], x, name="reader_id", robust="bias_reduced")
    assert wide.coefficients[1].estimate == pytest.approx(plain.coefficients[1].estimate)
    assert wide.coefficients[1].se > plain.coefficients[1].se
    assert "ignores the other" in wide.label


def test_the_bias_reduced_variance_is_that_of_the_textbook() -> None:
    """statsmodels inverts a matrix as large as each cluster; the engine gets by without."""
    f = frame(study(readers=7, cases=40, missing=0.2)).sort_values("reader_id", kind="stable")
    y = (f["verdict"] == f["truth"]).to_numpy(dtype=float)
    order = f["order_index"].to_numpy()
    model = sm.GEE(
        y, np.column_stack([np.ones(len(y)), order]), groups=f["reader_id"].to_numpy(),
        family=sm.families.Binomial(), cov_struct=sm.cov_struct.Independence(),
    )  # fmt: skip
    wanted = model.fit(cov_type="bias_reduced").bse
    shuffled = np.random.default_rng(1).permutation(len(y))
    own = cluster.gee(
        y[shuffled], f["reader_id"].iloc[shuffled], {"order": order[shuffled]}, name="reader_id",
        robust="bias_reduced",
    )  # fmt: skip
    assert [c.se for c in own.coefficients] == pytest.approx(wanted, rel=1e-8)


# ------------------------------------------------------------------------------ order and time


def ordered(right: list[list[int]]) -> pd.DataFrame:
    """One row per reader, right (1) or wrong (0) in reading order; reader j starts at case j."""
    rows = [
        {"reader_id": f"R{j}", "case_id": f"C{(i + j) % len(row)}", "truth": "real",
         "verdict": "real" if ok else "synthetic", "order_index": float(i + 1)}
        for j, row in enumerate(right) for i, ok in enumerate(row)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_halves_and_stretches_by_hand() -> None:
    got = timing.order_effect(ordered([[0, 0, 1, 0, 1, 1, 1, 1], [1, 0, 0, 1, 1, 1, 0, 1]]), bins=4)
    assert got.halves.estimate == pytest.approx((0.75 + 0.25) / 2)
    assert [(b.low, b.high, b.n) for b in got.bins] == [(1, 2, 4), (3, 4, 4), (5, 6, 4), (7, 8, 4)]
    assert [b.mean for b in got.bins] == [0.25, 0.5, 1.0, 0.75]
    assert got.bins[2].ci95 is None  # both readers at 1: no width
    assert got.slope.estimate > 0
    assert (got.n, got.n_readers) == (16, 2)


def test_the_smooth_curve_is_a_tricube_weighted_line_at_each_position() -> None:
    """LOESS by hand: at one position, weighted least squares over the nearest two thirds."""
    rng = np.random.default_rng(5)
    right = (rng.random((4, 90)) < np.linspace(0.5, 0.9, 90)).astype(int)
    own = timing.order_effect(ordered(right.tolist())).smooth
    assert own.reason is None
    assert own.n == 360
    at = 30
    x, y = own.curve[at]
    orders, hits = np.tile(np.arange(1, 91), 4), right.ravel()
    apart = np.abs(orders - x)
    near = np.sort(apart)[round(2 / 3 * 360) - 1]
    weight = np.where(apart < near, (1 - (apart / near) ** 3) ** 3, 0.0)
    line = np.polyfit(orders - x, hits, 1, w=np.sqrt(weight))
    assert y == pytest.approx(line[1], abs=2e-3)
    few = timing.order_effect(ordered([[1, 0, 1, 1]])).smooth
    assert few.curve == ()
    assert few.reason == "fewer than 10 positions in the order"


def test_a_reader_without_order_effect_shows_none() -> None:
    rng = np.random.default_rng(6)
    got = timing.order_effect(ordered((rng.random((12, 60)) < 0.7).astype(int).tolist()))
    assert got.halves.ci95[0] < 0 < got.halves.ci95[1]
    assert got.gee.coefficients[1].p_t > 0.05
    assert timing.order_effect(ordered([[1, 0]]).drop(columns="order_index")).reason


def test_halves_equal_deleting_each_case() -> None:
    f = frame(study(readers=4, cases=20, missing=0.1))
    rank = f.groupby("reader_id")["order_index"].rank(method="first", pct=True)
    f["late"], f["right"] = rank > 0.5, (f["verdict"] == f["truth"]).astype(float)

    def gaps(rows: pd.DataFrame) -> np.ndarray:
        mean = rows.groupby(["reader_id", "late"])["right"].mean().unstack()
        return (mean[True] - mean[False]).to_numpy()

    left = np.array([gaps(f[f["case_id"] != c]) for c in f["case_id"].unique()])
    n = len(left)
    cov = (n - 1) ** 2 / n * np.cov(left, rowvar=False)
    values = gaps(f)
    shared = max((cov.sum() - np.trace(cov)) / 12, 0.0)
    got = timing.order_effect(f).halves
    assert got.estimate == pytest.approx(values.mean())
    assert got.se == pytest.approx((values.var(ddof=1) / 4 + shared) ** 0.5)


def test_response_times_flag_the_impossible_ones() -> None:
    f = frame(study(readers=4, cases=30))
    f.loc[0, "response_time_s"], f.loc[1, "response_time_s"] = 0.5, 3600.0
    got = timing.rt_model(f)
    assert (got.n, got.n_flagged, got.without_flagged.n) == (120, 2, 118)
    assert sum(r.n for r in got.per_reader) == sum(r.n for r in got.by_outcome) == 120
    assert got.per_reader[0].n_fast + got.per_reader[0].n_slow == 2
    assert [c.name for c in got.model.coefficients] == [
        "(Intercept)", "order_per_100", "correct", "truth_synthetic",
    ]  # fmt: skip
    assert timing.rt_model(f.drop(columns="response_time_s")).reason == timing.NO_TIME


def test_cochran_q_of_two_readers_is_mcnemar() -> None:
    r = study(readers=2, cases=60)
    right = (r.call == 1) == r.is_positive
    b, c = int((right[0] & ~right[1]).sum()), int((~right[0] & right[1]).sum())
    got = timing.cochran_q(r)
    assert got.statistic == pytest.approx((b - c) ** 2 / (b + c))
    assert (got.df, got.n_cases) == (1, 60)


def test_spearman_equals_scipy_and_says_when_it_has_no_interval() -> None:
    x, y = np.array([1.0, 2, 3, 4, 5, NAN]), np.array([2.0, 1, 4, 3, 5, 1])
    got = timing.spearman(x, y)
    want = stats.spearmanr(x[:5], y[:5])
    assert (got.n, got.estimate, got.p) == (5, pytest.approx(0.8), pytest.approx(want.pvalue))
    assert got.ci95[0] < 0.8 < got.ci95[1]
    assert timing.spearman(x[:5], x[:5]).ci95 is None
    assert timing.spearman(x, np.ones(6)).estimate is None


# ---------------------------------------------------------------------------------- subgroups


def test_two_groups_have_the_squared_t_of_their_difference() -> None:
    r = study(readers=6, cases=60)
    got = heterogeneity(r, [("a", "b")[k // 2 % 2] for k in range(60)])
    pair = got.differences[0].result
    assert got.test.statistic == pytest.approx(pair.statistic**2)
    assert got.test.p == pytest.approx(pair.p)
    each = [or_single(r.of_cases(np.arange(60) // 2 % 2 == g)).rrrc for g in (0, 1)]
    assert pair.estimate == pytest.approx(each[0].estimate - each[1].estimate)
    gap = pair.estimate**2 / (each[0].se ** 2 + each[1].se ** 2)
    assert (got.q, got.q_df) == (pytest.approx(gap), 1)
    assert got.i2 == pytest.approx(max(0.0, (gap - 1) / gap))


def test_groups_have_their_own_cases_and_share_the_readers() -> None:
    rng = np.random.default_rng(12)
    truth = np.arange(60) % 2 == 0
    latent = truth * 1.0 + 1.5 * rng.normal(size=60) + 0.5 * rng.normal(size=(5, 60))
    r = readings(latent - 0.5, truth)  # deceptive cases deceive everybody
    half = np.arange(60) < 30
    one, two = or_single(r.of_cases(half)), or_single(r.of_cases(~half))
    gap = metrics.values(r.of_cases(half), "auc") - metrics.values(r.of_cases(~half), "auc")
    pair = heterogeneity(r, np.where(half, "a", "b").tolist()).differences[0].result
    assert one.cov2 + two.cov2 > gap.var(ddof=1)
    want = gap.var(ddof=1) / 5 + one.cov2 + two.cov2
    assert pair.se == pytest.approx(want**0.5, rel=0.02)


def test_small_groups_are_named_and_left_out() -> None:
    r = study(cases=40)
    labels = ["rare" if k < 4 else ("", "a", "b")[k % 3] for k in range(40)]
    got = heterogeneity(r, labels)
    assert (got.groups, got.left_out) == (("a", "b"), ("rare",))
    alone = heterogeneity(r, ["a"] * 40)
    assert alone.reason == "fewer than two groups are large enough"


def test_shrunken_intervals_hold_the_rate_and_vanish_where_cases_do_not_differ() -> None:
    got = shrunken([0, 2, 5, 9, 10], [10] * 5)
    for x, one in zip((0, 2, 5, 9, 10), got, strict=True):
        assert one.ci95[0] < one.rate < one.ci95[1]
        assert abs(one.rate - 0.52) <= abs(x / 10 - 0.52)
    assert {(s.rate, s.ci95) for s in shrunken([5, 5, 5], [10] * 3)} == {(0.5, None)}
    # Excess spread 8.333 - 3 over 27: a prior worth 4.0625 readings at 0.4.
    assert shrunken([3, 7, 5, 1], [10] * 4)[1].rate == pytest.approx((7 + 1.625) / 14.0625)
    assert [s.rate for s in shrunken([0, 9], [9, 9])] == pytest.approx([0, 1], abs=1e-6)
    rows = by_case(study(readers=8))
    assert all(r.shrunken is not None and (r.shrunken_ci95 or r.shrunken_reason) for r in rows)


# ------------------------------------------------------------------------------------ machine


@pytest.mark.parametrize("metric", ["auc", "balanced_accuracy", "accuracy", "sensitivity"])
def test_machine_difference_equals_deleting_each_case(metric: str) -> None:
    r = study(readers=4, cases=24)
    score = np.random.default_rng(9).normal(size=24) + r.is_positive
    got = model_vs_readers(r, score, metric, margins=(0.1,))
    alone = replace(r, readers=("m",), score=score[None], call=(score > 0).astype(float)[None])
    used = r.is_positive if metric == "sensitivity" else np.ones(24, dtype=bool)
    left = []
    for k in np.flatnonzero(used):
        keep = np.arange(24) != k
        one = metrics.values(alone.of_cases(keep), metric)
        left.append(one - metrics.values(r.of_cases(keep), metric))
    n = len(left)
    cov = (n - 1) ** 2 / n * np.cov(np.array(left), rowvar=False)
    gap = metrics.values(alone, metric) - metrics.values(r, metric)
    shared = (cov.sum() - np.trace(cov)) / 12
    assert got.cov2 == pytest.approx(shared)
    assert got.difference.estimate == pytest.approx(gap.mean())
    assert got.difference.se == pytest.approx((gap.var(ddof=1) / 4 + max(shared, 0)) ** 0.5)
    assert got.difference.null == 0
    assert got.difference.tost[0].margin == 0.1


@given(st.integers(0, 500))
@settings(max_examples=15, deadline=None)
def test_machine_with_the_scores_of_a_twin_differs_by_nothing_from_it(seed: int) -> None:
    r = study(seed, readers=3, cases=16)
    got = model_vs_readers(r.of_readers(np.array([True, True, False])), r.score[2])
    swapped = model_vs_readers(r.swapped().of_readers(np.array([True, True, False])), -r.score[2])
    assert got.machine == pytest.approx(or_single(r).readers[2].value)
    assert got.difference.estimate == pytest.approx(swapped.difference.estimate)
    assert got.difference.se == pytest.approx(swapped.difference.se)


def test_cases_the_machine_did_not_rate_are_left_out_for_everyone() -> None:
    r = study(readers=4, cases=24)
    score = np.where(np.arange(24) < 20, r.is_positive * 1.0, NAN)
    got = model_vs_readers(r, score)
    part = r.of_cases(np.arange(24) < 20)
    assert got.n_cases == 20
    assert got.readers_mean.estimate == pytest.approx(or_single(part).rrrc.estimate)
    assert got.machine == 1.0
