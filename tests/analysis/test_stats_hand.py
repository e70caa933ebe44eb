"""Hand tables, degenerate readers, and what must hold for any data (checks.md X1, X2, X3, X7)."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from readerstudy.analysis.stats import inference, proportions, roc
from readerstudy.analysis.stats.analyze import analyze
from readerstudy.analysis.stats.bayes import bayes_normal
from readerstudy.analysis.stats.cluster import gee, twoway_cluster
from readerstudy.analysis.stats.confusion import Confusion, confusion, pooled
from readerstudy.analysis.stats.covariance import error_cov, u_moments
from readerstudy.analysis.stats.foolrate import by_case, shrink
from readerstudy.analysis.stats.imrmc import imrmc, product
from readerstudy.analysis.stats.metrics import leave_one_out, values
from readerstudy.analysis.stats.mrmc import or_single
from readerstudy.analysis.stats.plan import Plan
from readerstudy.analysis.stats.planning import power_single
from readerstudy.analysis.stats.readings import Readings
from readerstudy.analysis.stats.reference import uniroot
from readerstudy.analysis.stats.sdt import sdt
from readerstudy.analysis.stats.serialize import to_json


def make(score: list[list[float]], positive: list[int], unit: list[int] | None = None) -> Readings:
    """Readings from signed scores; NaN = not read."""
    s = np.array(score, dtype=float)
    call = np.where(np.isnan(s), np.nan, (s > 0).astype(float))
    n = s.shape[1]
    return Readings(
        tuple(f"R{j + 1:02d}" for j in range(len(s))),
        tuple(f"C{k + 1:03d}" for k in range(n)),
        "synthetic",
        "real",
        np.array(positive, dtype=bool),
        np.array(unit or range(n), dtype=np.int64),
        s,
        call,
        "patient" if unit else "case",
    )


def random_readings(seed: int = 7, readers: int = 6, cases: int = 40, missing: float = 0.0):
    rng = np.random.default_rng(seed)
    truth = np.arange(cases) % 2 == 0
    latent = rng.normal(size=(readers, cases)) + 0.9 * truth + rng.normal(size=cases) * 0.5
    score = np.clip(np.round(latent * 2 - 1), -3, 3)
    score[score == 0] = 1
    score[rng.random(score.shape) < missing] = np.nan
    return make(score.tolist(), truth.tolist())


def table(readings: Readings) -> pd.DataFrame:
    rows = [
        {
            "reader_id": r,
            "case_id": c,
            "organ": "liver" if k % 3 else "lung",
            "size_mm": 10.0 + k,
            "truth": "synthetic" if readings.is_positive[k] else "real",
            "generator": "textural" if readings.is_positive[k] else "none",
            "repeat": 1,
            "order_index": k + 1,
            "verdict": "synthetic" if readings.call[j, k] else "real",
            "confidence": abs(readings.score[j, k]),
        }
        for j, r in enumerate(readings.readers)
        for k, c in enumerate(readings.cases)
        if not np.isnan(readings.score[j, k])
    ]
    return pd.DataFrame(rows)


# --------------------------------------------------------------------------------- proportions


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


# ------------------------------------------------------------------------- confusion, d'


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


# ----------------------------------------------------------------------------------------- AUC


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


# ---------------------------------------------------------------------------- covariance, MRMC


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


# -------------------------------------------------------------------------------------- verdict


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


# ------------------------------------------------------------------------------ cases, analysis


def test_cases_are_ranked_with_a_deterministic_tie_break() -> None:
    readings = make([[-1, -2, 1, 1], [-1, 1, 1, -1], [-1, -1, -1, 1]], [1, 1, 0, 0])
    rows = by_case(readings)
    assert [(r.case, r.wrong, r.n) for r in rows] == [
        ("C001", 3, 3),
        ("C002", 2, 3),
        ("C003", 2, 3),
        ("C004", 2, 3),
    ]
    assert rows[1].wrong_readers == ("R01", "R03")


def test_shrunken_rates_lie_between_the_raw_rate_and_the_mean() -> None:
    x, n = [0, 1, 6, 7, 8], [8] * 5
    mean = 22 / 40
    for count, value in zip(x, shrink(x, n), strict=True):
        assert min(count / 8, mean) <= value <= max(count / 8, mean)
    assert shrink([2, 2, 2], [4, 4, 4]) == [0.5] * 3
    assert shrink([0, 0], [4, 4]) == [0.0, 0.0]


def test_X8_repeats_change_nothing_but_their_count() -> None:
    rows = table(random_readings())
    again = rows.head(30).assign(repeat=2, verdict="real")
    plain, more = analyze(rows), analyze(pd.concat([rows, again]))
    assert more["data"].pop("n_repeats") == 30
    assert plain["data"].pop("n_repeats") == 0
    assert more == plain


def test_order_of_rows_changes_nothing() -> None:
    rows = table(random_readings())
    assert analyze(rows.sample(frac=1, random_state=5)) == analyze(rows)


@pytest.mark.parametrize(
    ("score", "positive"),
    [
        ([[3, 2, -1, -2]] * 1, [1, 1, 0, 0]),  # one reader, all right
        ([[-3, -2, 1, 2]] * 3, [1, 1, 0, 0]),  # all wrong, all alike
        ([[1, 1, 1, 1]] * 3, [1, 1, 0, 0]),  # one answer only
        ([[1, -1]] * 2, [1, 0]),  # one case per class
        ([[2, -1, 1, -2], [1, 1, -1, 2]], [1, 0, 1, 0]),
        ([[2, float("nan"), 1, -2], [float("nan"), 1, -1, 2]], [1, 0, 1, 0]),
    ],
)
def test_X1_degenerate_studies_give_json_without_nan(score: list, positive: list) -> None:
    result = analyze(table(make(score, positive)))
    json.dumps(result, allow_nan=False)
    assert result["primary"]["sentence"]
    if result["primary"]["verdict"]["code"] == "undefined":
        assert result["primary"]["result"]["reason"]


def test_the_positive_class_is_named_throughout() -> None:
    result = analyze(table(random_readings()))
    assert result["positive"] == result["primary"]["positive"] == "synthetic"
    assert {r["table"]["positive"] for r in result["readers"]} == {"synthetic"}
    assert {e["positive"] for e in result["endpoints"].values()} == {"synthetic"}
    swapped = analyze(table(random_readings()), Plan(positive="real", negative="synthetic"))
    for ours, theirs in (("sensitivity", "specificity"), ("auc", "auc")):
        assert result["endpoints"][ours]["rrrc"]["ci95"] == pytest.approx(
            swapped["endpoints"][theirs]["rrrc"]["ci95"], abs=1e-12
        )


def test_nan_never_leaves_the_engine() -> None:
    with pytest.raises(ValueError, match="NaN or infinite"):
        to_json({"x": float("nan")})


def test_the_fool_rate_is_about_synthetic_cases_whichever_class_is_positive() -> None:
    rows = table(random_readings())
    rows["score"] = rows["confidence"].where(rows["verdict"] == "synthetic", -rows["confidence"])
    ours = analyze(rows)
    theirs = analyze(rows, Plan(positive="real", negative="synthetic"))
    for result in (ours, theirs):
        assert result["fool_rate"]["overall"]["truth"] == "synthetic"
    assert theirs["fool_rate"] == ours["fool_rate"]
    assert theirs["endpoints"]["fool_rate"]["rrrc"] == ours["endpoints"]["fool_rate"]["rrrc"]
    for a, b in zip(ours["readers"], theirs["readers"], strict=True):
        assert a["fool_rate"] == b["fool_rate"]
        assert a["auc"]["estimate"] == pytest.approx(b["auc"]["estimate"], abs=1e-12)


# ----------------------------------------------------------------------- iMRMC, clusters, planning


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


def test_clustered_regressions_with_one_answer_say_why() -> None:
    same = np.ones(6)
    names = pd.Series(list("aabbcc"))
    assert gee(same, names, name="reader").reason == "all outcomes are alike"
    assert gee(np.array([0.0, 1.0]), pd.Series(["a", "a"]), name="reader").reason == (
        "fewer than two clusters"
    )
    assert twoway_cluster(same, names, names).reason == "all outcomes are alike"
    one = twoway_cluster(np.array([0.0, 1.0]), pd.Series(["a", "a"]), pd.Series(["x", "y"]))
    assert one.reason == "fewer than two readers or cases"


def test_twoway_cluster_equals_statsmodels() -> None:
    import statsmodels.api as sm

    rng = np.random.default_rng(4)
    reader, case = np.repeat(np.arange(8), 30), np.tile(np.arange(30), 8)
    y = (rng.random(240) < 0.6).astype(float)
    fit = sm.Logit(y, np.ones(240)).fit(disp=0, cov_type="cluster", cov_kwds={
        "groups": np.column_stack([reader, case]), "use_correction": False})  # fmt: skip
    done = twoway_cluster(y, pd.Series(reader.astype(str)), pd.Series(case.astype(str)))
    assert done.logit_se == pytest.approx(float(fit.bse[0]), rel=1e-9)


def test_power_grows_with_readers_and_cases_and_tost_has_its_size_at_the_margin() -> None:
    known = {"var_reader": 0.003, "var_error": 0.0025, "cov2": 0.0006, "pilot_cases": 100}
    few = power_single(6, 100, theta=0.5, **known)
    many = power_single(20, 400, theta=0.5, **known)
    assert many.power_tost > few.power_tost
    assert few.power_two_sided == pytest.approx(0.05, abs=1e-9)
    assert power_single(20, 400, theta=0.6, **known).power_tost == pytest.approx(0.05, abs=1e-3)
    with pytest.raises(ValueError, match="at least two readers"):
        power_single(1, 100, theta=0.5, **known)


def test_bayes_without_a_standard_error_says_why() -> None:
    assert bayes_normal(0.5, None).reason == "the standard error cannot be estimated"
    assert bayes_normal(0.5, 0.01).bf01 > 3
    assert bayes_normal(0.8, 0.01).bf01 < 1e-6
