"""Agreement by hand, against statsmodels, against brute force, and what must hold for any data."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.anova import anova_lm

from readerstudy.analysis.stats import agreement
from readerstudy.analysis.stats.agreement.alpha import LEVELS
from readerstudy.analysis.stats.agreement.intra import score_levels
from readerstudy.analysis.stats.agreement.weights import weight_matrix

from .degenerate import NAN, frame, readings, study

#: Four cases, three raters: pair agreement 1, 1, 1/3, 1/3; half of the ratings are 1.
SMALL = np.array([[1, 1, 1], [0, 0, 0], [1, 1, 0], [1, 0, 0]], dtype=float)


def pair(table: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Two raters' answers from their square table of counts."""
    cells = [(i, j) for i, row in enumerate(table) for j, n in enumerate(row) for _ in range(n)]
    a, b = np.array(cells, dtype=float).T
    return a, b


# ------------------------------------------------------------------------------ hand numbers


def test_cohen_by_hand() -> None:
    got = agreement.cohen(*pair([[20, 5], [10, 15]]))
    assert (got.n, got.agreement) == (50, 0.7)
    assert got.estimate == pytest.approx(0.4)  # (0.7 - 0.5) / 0.5
    # Fleiss, Cohen, Everitt: A = 0.4 * 0.34^2 + 0.3 * 0.46^2, B = 0.6^2 (0.1 * 1.1^2 + 0.2 * 0.9^2)
    # and C = 0.1^2 over n (1 - 0.5)^2.
    variance = (0.10972 + 0.10188 - 0.01) / 12.5
    assert got.se == pytest.approx(variance**0.5)
    assert got.ci95 == pytest.approx((0.4 - 1.959964 * got.se, 0.4 + 1.959964 * got.se))


def test_several_raters_by_hand() -> None:
    found = agreement.chance_corrected(SMALL)
    assert found["percent_agreement"].estimate == pytest.approx(2 / 3)
    for name in ("fleiss", "gwet_ac", "brennan_prediger"):
        assert found[name].estimate == pytest.approx(1 / 3), name
    # 1 - (12 - 1) (1 + 1) / (6 * 6)
    assert found["krippendorff"].estimate == pytest.approx(7 / 18)
    assert agreement.kripp_alpha(SMALL).estimate == pytest.approx(7 / 18)
    # Each rater's own share of ones is 3/4, 1/2, 1/4: chance (3/8 + 5/8 - ...) over three pairs.
    pairs = [(0.75, 0.5), (0.75, 0.25), (0.5, 0.25)]
    chance = np.mean([a * b + (1 - a) * (1 - b) for a, b in pairs])
    assert found["conger"].expected == pytest.approx(chance)
    assert agreement.fleiss(SMALL).conger_exact == pytest.approx(found["conger"].estimate)


def test_gwet_is_not_upset_by_a_rare_answer() -> None:
    a, b = pair([[118, 5], [2, 0]])
    ratings = np.column_stack([a, b])
    share = 1 - (123 + 120) / 250
    chance = 2 * share * (1 - share)
    assert agreement.gwet_ac(ratings).estimate == pytest.approx((0.944 - chance) / (1 - chance))
    assert agreement.cohen(a, b).estimate < 0


def test_marginal_homogeneity_of_two_answers_is_mcnemar() -> None:
    a, b = pair([[30, 12], [5, 53]])
    for test in (agreement.stuart_maxwell, agreement.bowker):
        got = test(a, b)
        assert (got.statistic, got.df) == (pytest.approx(49 / 17), 1)
        assert got.p == pytest.approx(stats.chi2.sf(49 / 17, 1))


def test_marginal_homogeneity_of_three_answers_by_hand() -> None:
    # Fleiss, Levin, Paik: with d the differences of the margins and n the mean of mirrored cells,
    # X2 = (n23 d1^2 + n13 d2^2 + n12 d3^2) / (2 (n12 n23 + n12 n13 + n13 n23)).
    table = [[35, 5, 0], [15, 20, 5], [10, 5, 5]]
    n12, n13, n23 = 10, 5, 5
    d = np.array(table).sum(axis=1) - np.array(table).sum(axis=0)
    want = (n23 * d[0] ** 2 + n13 * d[1] ** 2 + n12 * d[2] ** 2) / (
        2 * (n12 * n23 + n12 * n13 + n13 * n23)
    )
    got = agreement.stuart_maxwell(*pair(table))
    assert (got.statistic, got.df) == (pytest.approx(want), 2)


def test_intra_reader_by_hand() -> None:
    first = frame(readings([[3, 1, -1, -3, 2, -2]], [1, 0, 1, 0, 1, 0]))
    second = frame(readings([[2, -1, -1, 1, 3, -2]], [1, 0, 1, 0, 1, 0]), repeat=2)
    got = agreement.intra_reader(first, second).pooled
    assert (got.n, got.agreement.x, got.to_positive, got.to_negative) == (6, 4, 1, 1)
    assert got.mcnemar_p == 1.0
    # Steps on -3, -2, -1, 1, 2, 3: 1, 1, 0, 3, 1, 0.
    assert got.mean_change == pytest.approx(1.0)
    assert got.kappa.estimate == pytest.approx((4 / 6 - 0.5) / 0.5)


def test_intra_reader_uses_the_second_reading_only_and_needs_a_first_one() -> None:
    first = frame(readings([[1, -1, 1, -1]], [1, 0, 1, 0]))
    third = first.assign(repeat=3, verdict="real", score=-1.0)
    again = first.assign(repeat=2)
    orphan = again.iloc[:1].assign(case_id="C999")
    plain = agreement.intra_reader(first, again)
    assert agreement.intra_reader(first, pd.concat([again, third, orphan])) == plain
    assert plain.pooled.n == 4
    assert agreement.intra_reader(first, first.iloc[:0]).reason == "no case was read twice"


def test_score_levels_leave_out_zero_and_keep_fractions() -> None:
    assert score_levels(np.array([1.0, -3.0, NAN])).tolist() == [-3, -2, -1, 1, 2, 3]
    assert score_levels(np.array([0.25, -1.5])).tolist() == [-1.5, 0.25]


# ------------------------------------------------------------------------ against other routes


def test_two_raters_give_one_kappa_by_every_route() -> None:
    rng = np.random.default_rng(5)
    a = rng.integers(0, 4, 60).astype(float)
    b = np.where(rng.random(60) < 0.6, a, rng.integers(0, 4, 60))
    ratings = np.column_stack([a, b])
    for kind, weights in (("none", "identity"), ("linear", "linear"), ("quadratic", "quadratic")):
        one = agreement.cohen(a, b, kind)  # type: ignore[arg-type]
        conger = agreement.chance_corrected(ratings, weights)["conger"]  # type: ignore[arg-type]
        matrix = agreement.pairwise_matrix(ratings, ["a", "b"], kind)  # type: ignore[arg-type]
        assert one.estimate == pytest.approx(conger.estimate)
        assert one.estimate == pytest.approx(matrix.mean)
        assert one.se == pytest.approx(conger.se, rel=0.05)


@pytest.mark.parametrize("kind", ["none", "quadratic"])
def test_the_matrix_holds_the_kappa_of_each_pair_with_gaps(kind: str) -> None:
    score = agreement.ratings_of(study(readers=5, cases=30, missing=0.25), "score")
    levels = score_levels(score[~np.isnan(score)]).tolist()
    got = agreement.pairwise_matrix(score, list("abcde"), kind, levels)  # type: ignore[arg-type]
    for i, j in combinations(range(5), 2):
        want = agreement.cohen(score[:, i], score[:, j], kind, levels)  # type: ignore[arg-type]
        assert got.kappa[i][j] == got.kappa[j][i] == pytest.approx(want.estimate)
    assert [p.n for p in got.pairs if (p.a, p.b) == ("b", "d")] == [
        int((~np.isnan(score[:, 1]) & ~np.isnan(score[:, 3])).sum())
    ]
    known = [p.kappa for p in got.pairs]
    assert (got.mean, got.minimum, got.maximum) == (
        pytest.approx(np.mean(known)), min(known), max(known),
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["none", "linear"])
def test_the_interval_of_the_mean_kappa_equals_deleting_each_case(kind: str) -> None:
    score = agreement.ratings_of(study(readers=4, cases=25, missing=0.2), "score")
    levels = [-3, -2, -1, 1, 2, 3]

    def mean(x: np.ndarray) -> float:
        return agreement.pairwise_matrix(x, list("abcd"), kind, levels, interval=False).mean  # type: ignore[arg-type]

    shared = (~np.isnan(score)).sum(axis=1) >= 2
    left = np.array([mean(np.delete(score, i, axis=0)) for i in np.flatnonzero(shared)])
    m = len(left)
    got = agreement.pairwise_matrix(score, list("abcd"), kind, levels)  # type: ignore[arg-type]
    assert got.se == pytest.approx(((m - 1) / m * ((left - left.mean()) ** 2).sum()) ** 0.5)
    half = stats.t.ppf(0.975, m - 1) * got.se
    assert got.ci95 == pytest.approx((got.mean - half, got.mean + half))


def test_ratings_of_nobody_leave_every_pair_undefined() -> None:
    got = agreement.pairwise_matrix(np.full((3, 2), NAN), ["a", "b"])
    assert (got.n_pairs, got.mean, got.kappa[0][1]) == (0, None, None)
    assert got.pairs[0].reason == "no case was rated by both"


@pytest.mark.parametrize("level", LEVELS)
def test_alpha_equals_krippendorffs_sums_over_pairs(level: str) -> None:
    rng = np.random.default_rng(11)
    ratings = rng.integers(1, 5, (12, 4)).astype(float)
    ratings[rng.random(ratings.shape) < 0.3] = NAN
    units = [row[~np.isnan(row)] for row in ratings]
    units = [u for u in units if len(u) >= 2]
    values = np.concatenate(units)
    count = {v: int((values == v).sum()) for v in np.unique(values)}

    def gap(a: float, b: float) -> float:
        if level == "nominal":
            return float(a != b)
        if level == "interval":
            return (a - b) ** 2
        if level == "ratio":
            return ((a - b) / (a + b)) ** 2
        low, high = min(a, b), max(a, b)
        between = sum(n for v, n in count.items() if low <= v <= high)
        return (between - (count[a] + count[b]) / 2) ** 2

    n = len(values)
    seen = sum(gap(a, b) / (len(u) - 1) for u in units for a in u for b in u) / n
    chance = sum(gap(a, b) for a in values for b in values) / (n * (n - 1))
    got = agreement.kripp_alpha(ratings, level)  # type: ignore[arg-type]
    assert got.estimate == pytest.approx(1 - seen / chance)


def test_standard_errors_agree_with_leaving_cases_out() -> None:
    score = agreement.ratings_of(study(readers=5, cases=60, missing=0.1), "score")
    # One answer is rare: chance then differs from case to case and carries its own error.
    ratings = np.where(np.isnan(score), NAN, score > 1)
    n = len(ratings)
    for name, whole in agreement.chance_corrected(ratings, categories=(0, 1)).items():
        left = [
            agreement.chance_corrected(np.delete(ratings, i, axis=0), categories=(0, 1))[name]
            for i in range(n)
        ]
        values = np.array([a.estimate for a in left])
        jackknife = np.sqrt((n - 1) / n * ((values - values.mean()) ** 2).sum())
        assert whole.se == pytest.approx(jackknife, rel=0.04), name
    boot = agreement.kripp_alpha(ratings, replicates=1000, rng=np.random.default_rng(1))
    whole = agreement.chance_corrected(ratings)["krippendorff"]
    assert boot.estimate == pytest.approx(whole.estimate)
    assert boot.se == pytest.approx(whole.se, rel=0.2)
    assert boot.ci95 is not None
    assert boot.ci95[0] < boot.estimate < boot.ci95[1]


def test_icc_from_the_mean_squares_of_an_analysis_of_variance() -> None:
    rng = np.random.default_rng(2)
    n, k = 12, 4
    x = rng.normal(size=(n, 1)) * 2 + rng.normal(size=k) + rng.normal(size=(n, k))
    long = pd.DataFrame(
        {"y": x.ravel(), "case": np.repeat(np.arange(n), k), "rater": np.tile(np.arange(k), n)}
    )
    table = anova_lm(smf.ols("y ~ C(case) + C(rater)", long).fit())
    b, r, e = (table["sum_sq"] / table["df"])[["C(case)", "C(rater)", "Residual"]]
    w = (table["sum_sq"]["C(rater)"] + table["sum_sq"]["Residual"]) / (n * (k - 1))
    got = {i.kind: i for i in agreement.icc(x)}
    assert got["ICC1"].estimate == pytest.approx((b - w) / (b + (k - 1) * w))
    assert got["ICC2"].estimate == pytest.approx((b - e) / (b + (k - 1) * e + k * (r - e) / n))
    assert got["ICC3"].estimate == pytest.approx((b - e) / (b + (k - 1) * e))
    assert got["ICC3k"].estimate == pytest.approx((b - e) / b)
    assert got["ICC2"].f == pytest.approx(b / e)
    for one in got.values():
        assert one.ci95[0] < one.estimate < one.ci95[1]
        assert one.p == pytest.approx(stats.f.sf(one.f, one.df1, one.df2))


# ------------------------------------------------------------------------ what must always hold


matrices = st.integers(2, 6).flatmap(
    lambda raters: st.lists(
        st.lists(st.sampled_from([1.0, 2.0, 3.0, NAN]), min_size=raters, max_size=raters),
        min_size=1, max_size=10,
    )
).map(np.array)  # fmt: skip


@given(matrices)
@settings(max_examples=25, deadline=None)
def test_order_of_raters_and_cases_and_names_of_answers_do_not_matter(x: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    mixed = rng.permuted(np.arange(x.shape[1]))
    turned = 4 - x[::-1][:, mixed]
    for weights in ("identity", "linear", "quadratic", "ordinal"):
        one = agreement.chance_corrected(x, weights, (1, 2, 3))  # type: ignore[arg-type]
        two = agreement.chance_corrected(turned, weights, (1, 2, 3))  # type: ignore[arg-type]
        for name in one:
            assert one[name].estimate == pytest.approx(two[name].estimate, abs=1e-9)
            assert one[name].se == pytest.approx(two[name].se, abs=1e-9)
            assert (one[name].estimate is None) <= (one[name].reason is not None)
    for level in ("nominal", "ordinal", "interval"):
        a, b = (agreement.kripp_alpha(m, level) for m in (x, turned))  # type: ignore[arg-type]
        assert a.estimate == pytest.approx(b.estimate, abs=1e-9)


@given(matrices)
@settings(max_examples=25, deadline=None)
def test_no_coefficient_exceeds_one_and_perfect_agreement_is_one(x: np.ndarray) -> None:
    for one in agreement.chance_corrected(x).values():
        assert one.estimate is None or one.estimate <= 1 + 1e-12
    same = np.repeat(x[:, :1], 3, axis=1)
    answers = np.unique(same[~np.isnan(same)])
    for one in agreement.chance_corrected(same).values():
        if len(answers) > 1:
            assert one.estimate == pytest.approx(1)
        elif one.name != "percent_agreement":
            assert one.estimate is None
            assert one.reason


def test_guessing_readers_agree_by_chance_only() -> None:
    rng = np.random.default_rng(3)
    guesses = (rng.random((400, 8)) < 0.5).astype(float)
    for one in agreement.chance_corrected(guesses).values():
        if one.name != "percent_agreement":
            assert abs(one.estimate) < 0.03, one.name
            assert one.ci95[0] < 0 < one.ci95[1]


def test_agreement_is_given_for_each_class_alone() -> None:
    r = study(readers=5, cases=40)
    got = agreement.inter_reader(r, rng=np.random.default_rng(0), replicates=50)
    assert set(got.groups) == {"all", "synthetic", "real"}
    part = agreement.ratings_of(r.of_cases(r.is_positive))
    assert got.groups["synthetic"].fleiss == agreement.fleiss(part, (0, 1))
    assert (got.groups["synthetic"].n_cases, got.groups["real"].n_cases) == (20, 20)
    assert got.pairwise.n_pairs == 10
    assert got == agreement.inter_reader(r, rng=np.random.default_rng(0), replicates=50)


@pytest.mark.parametrize("name", ["identity", "linear", "quadratic", "ordinal", "radical",
                                  "ratio", "circular", "bipolar"])  # fmt: skip
def test_weights_are_symmetric_and_one_on_the_diagonal(name: str) -> None:
    got = weight_matrix(np.array([1.0, 2.0, 4.0, 5.0]), name)  # type: ignore[arg-type]
    assert np.array_equal(got, got.T)
    assert np.array_equal(np.diag(got), np.ones(4))
    assert 0 <= got.min() < got.max() <= 1


def test_unknown_names_and_missing_generators_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown weights 'cubic'"):
        agreement.gwet_ac(SMALL, "cubic")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="zero or more"):
        agreement.gwet_ac(SMALL - 1, "ratio")
    with pytest.raises(ValueError, match="unknown level"):
        agreement.kripp_alpha(SMALL, "cardinal")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="random generator"):
        agreement.kripp_alpha(SMALL, replicates=10)
    with pytest.raises(ValueError, match="not among the categories"):
        agreement.gwet_ac(SMALL, categories=(0,))
