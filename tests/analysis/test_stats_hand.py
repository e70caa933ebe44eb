"""The whole analysis, ranks of cases, clustered regressions (checks.md X1, X8)."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from readerstudy.analysis.stats.analyze import analyze
from readerstudy.analysis.stats.cluster import gee, twoway_cluster
from readerstudy.analysis.stats.foolrate import by_case, shrink
from readerstudy.analysis.stats.plan import Plan
from readerstudy.analysis.stats.serialize import to_json
from tests.analysis.tables import make, random_readings, table


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
    assert [r.pop("n_repeats") for r in more["data"]["by_reader"]] == [30, 0, 0, 0, 0, 0]
    assert [r.pop("n_repeats") for r in plain["data"]["by_reader"]] == [0] * 6
    assert more.pop("intra_reader")["per_reader"]
    assert plain.pop("intra_reader") is None
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
