"""Power, tables of designs, simulated trials."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from readerstudy.analysis.stats.metrics import values
from readerstudy.analysis.stats.mrmc import or_single
from readerstudy.analysis.stats.planning import Components, power_single, power_two_modalities
from readerstudy.analysis.stats.plantable import cases_needed, plan_table
from readerstudy.analysis.stats.simulation import (
    STRUCTURES,
    RoeMetz,
    components_of,
    simulate_conditions,
    simulate_roe_metz,
    simulated_power,
)
from tests.analysis.tables import random_readings

PILOT = Components(0.002, 0.0022, 0.0005, 120, "a pilot")
PAIR = {"var_tr": 2e-4, "var_error": 8e-4, "cov1": 3.5e-4, "cov2": 3.4e-4, "cov3": 2.4e-4,
        "pilot_cases": 114}  # fmt: skip


def test_power_grows_with_readers_and_cases_and_tost_has_its_size_at_the_margin() -> None:
    known = {"var_reader": 0.003, "var_error": 0.0025, "cov2": 0.0006, "pilot_cases": 100}
    few = power_single(6, 100, theta=0.5, **known)
    many = power_single(20, 400, theta=0.5, **known)
    assert many.power_tost > few.power_tost
    assert few.power_two_sided == pytest.approx(0.05, abs=1e-9)
    assert power_single(20, 400, theta=0.6, **known).power_tost == pytest.approx(0.05, abs=1e-3)
    assert few.half_width95 == pytest.approx(few.se * stats.t.ppf(0.975, few.df))
    with pytest.raises(ValueError, match="at least two readers"):
        power_single(1, 100, theta=0.5, **known)


@pytest.mark.parametrize("generalize", ["both", "cases", "readers"])
def test_two_conditions_have_the_size_of_the_test_without_an_effect(generalize: str) -> None:
    none = power_two_modalities(6, 100, effect=0.0, generalize=generalize, **PAIR)
    assert none.power == pytest.approx(0.05, abs=1e-9)
    small = power_two_modalities(6, 100, effect=0.03, generalize=generalize, **PAIR)
    large = power_two_modalities(6, 100, effect=0.06, generalize=generalize, **PAIR)
    more = power_two_modalities(12, 300, effect=0.03, generalize=generalize, **PAIR)
    assert 0.05 < small.power < large.power < 1
    assert more.power > small.power
    assert (small.df2 is None) == (generalize == "cases")


def test_two_conditions_by_hand() -> None:
    done = power_two_modalities(5, 228, effect=0.05, **PAIR)
    spread = 2e-4 + 0.5 * (8e-4 - 3.5e-4 + 4 * 1e-4)
    assert done.se == pytest.approx(np.sqrt(2 * spread / 5))
    assert done.ncp == pytest.approx((0.05 / done.se) ** 2)
    assert done.df2 == pytest.approx(spread**2 * 4 / (2e-4 + 0.5 * (8e-4 - 3.5e-4 - 1e-4)) ** 2)
    # A negative component counts as zero.
    below = power_two_modalities(5, 228, effect=0.05, **{**PAIR, "var_tr": -1.0})
    assert below == power_two_modalities(5, 228, effect=0.05, **{**PAIR, "var_tr": 0.0})
    with pytest.raises(ValueError, match="no variation"):
        power_two_modalities(5, 228, effect=0.05, **{**PAIR, "var_tr": 0.0, "cov1": 1.0})
    with pytest.raises(ValueError, match="at least two"):
        power_two_modalities(1, 228, effect=0.05, **PAIR)


@pytest.mark.parametrize("readers", [4, 13, 100])
@pytest.mark.parametrize("theta", [0.5, 0.51, 0.65, 0.99])
def test_power_is_a_chance_however_large_the_effect(readers: int, theta: float) -> None:
    last = 0.0
    for cases in (4, 40, 400, 40_000):
        done = power_single(readers, cases, var_reader=1e-4, var_error=0.003, cov2=0.001,
                            pilot_cases=100, theta=theta)  # fmt: skip
        assert 0 <= done.power_tost <= 1
        assert last - 1e-9 <= done.power_two_sided <= 1
        last = done.power_two_sided


def test_components_of_a_finished_trial_give_back_its_precision() -> None:
    done = or_single(random_readings(readers=8, cases=60))
    found = Components.from_trial(done, 60, "this trial")
    assert found is not None
    again = power_single(
        8, 60, var_reader=found.var_reader, var_error=found.var_error, cov2=found.cov2,
        pilot_cases=60, theta=0.5,
    )  # fmt: skip
    if found.var_reader > 0:
        assert again.se == pytest.approx(done.rrrc.se)
        assert again.df == pytest.approx(done.rrrc.df)
    else:
        assert again.se > done.rrrc.se
    assert Components.from_trial(or_single(random_readings(readers=1)), 40) is None


def test_a_table_of_designs() -> None:
    rows = plan_table(PILOT, [5, 13], [60, 240], seconds_per_reading=90)
    assert [(r.n_readers, r.n_cases) for r in rows] == [(5, 60), (5, 240), (13, 60), (13, 240)]
    first, last = rows[0], rows[-1]
    assert (first.readings, first.hours_per_reader, first.hours_total) == (300, 1.5, 7.5)
    assert last.half_width95 < first.half_width95
    assert last.power_tost > first.power_tost
    one = power_single(13, 240, var_reader=0.002, var_error=0.0022, cov2=0.0005, pilot_cases=120,
                       theta=0.6)  # fmt: skip
    assert last.power_difference == one.power_two_sided
    refused = plan_table(PILOT, [1], [60])[0]
    assert refused.power_tost is None
    assert "two readers" in (refused.reason or "")


@pytest.mark.parametrize(
    ("goal", "theta"), [("tost", 0.5), ("difference", 0.6), ("precision", 0.5)]
)
def test_the_fewest_cases_reach_the_goal_and_one_less_does_not(goal: str, theta: float) -> None:
    found = cases_needed(13, PILOT, goal=goal, theta=theta, half_width=0.05)
    assert found.reason is None

    def reached(k: int) -> bool:
        done = power_single(13, k, var_reader=0.002, var_error=0.0022, cov2=0.0005,
                            pilot_cases=120, theta=theta)  # fmt: skip
        return {
            "tost": done.power_tost >= 0.8,
            "difference": done.power_two_sided >= 0.8,
            "precision": done.half_width95 <= 0.05,
        }[goal]

    assert reached(found.n_cases)
    assert not reached(found.n_cases - 1)


def test_too_few_readers_are_named_as_the_limit() -> None:
    found = cases_needed(3, replace(PILOT, var_reader=0.02), goal="tost", margin=0.05)
    assert found.n_cases is None
    assert "add readers" in (found.reason or "")
    assert cases_needed(1, PILOT).reason == "power needs at least two readers and two cases"


# ------------------------------------------------------------------------------ simulated trials


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("auc", [0.5, 0.8])
def test_simulated_trials_have_the_true_value_they_claim(structure: str, auc: float) -> None:
    model, rng = RoeMetz.of(structure, auc), np.random.default_rng(2)
    for metric, levels in (("auc", 6), ("auc", None), ("balanced_accuracy", 6)):
        means = [
            values(simulate_roe_metz(model, 8, 40, 40, rng, levels=levels), metric).mean()
            for _ in range(60)
        ]
        error = np.std(means, ddof=1) / np.sqrt(60)
        assert abs(np.mean(means) - model.truth(metric, levels)) < 4 * error


def test_the_scale_of_answers_and_missing_readings() -> None:
    rng = np.random.default_rng(1)
    trial = simulate_roe_metz(RoeMetz.of("LL", 0.7), 6, 100, 50, rng, missing=0.1)
    assert (trial.n_readers, trial.n_positive, trial.n_negative) == (6, 100, 50)
    seen = trial.score[~np.isnan(trial.score)]
    assert set(seen) == {-3.0, -2.0, -1.0, 1.0, 2.0, 3.0}
    assert np.isnan(trial.score).mean() == pytest.approx(0.1, abs=0.04)
    read = ~np.isnan(trial.score)
    assert ((trial.score > 0) == (trial.call == 1))[read].all()
    again = simulate_roe_metz(RoeMetz.of("LL", 0.7), 6, 100, 50, np.random.default_rng(1),
                              missing=0.1)  # fmt: skip
    assert np.array_equal(trial.score, again.score, equal_nan=True)


def test_correlated_structures_correlate() -> None:
    rng = np.random.default_rng(6)
    high = simulate_roe_metz(RoeMetz.of("HL"), 30, 400, 400, rng, levels=None)
    low = simulate_roe_metz(RoeMetz.of("LL"), 30, 400, 400, rng, levels=None)
    upper = np.triu_indices(30, 1)
    assert np.corrcoef(high.score)[upper].mean() == pytest.approx(0.6, abs=0.06)
    assert np.corrcoef(low.score)[upper].mean() == pytest.approx(0.2, abs=0.06)
    for structure, shared in (("HL", 0.5), ("LL", 0.3)):  # C + RC in common: .3 + .2, .1 + .2
        pair = simulate_conditions(RoeMetz.of(structure), {"a": 0.5, "b": 0.5}, 4, 1000, 1000, rng,
                                   levels=None)  # fmt: skip
        one, two = pair.each[0].score[0], pair.each[1].score[0]
        assert np.corrcoef(one, two)[0, 1] == pytest.approx(shared, abs=0.08)


def test_simulated_power_agrees_with_the_closed_form() -> None:
    rng = np.random.default_rng(20)
    model = RoeMetz.of("HL", 0.6)
    calls: list[tuple[int, int]] = []
    done = simulated_power(model, 8, 40, 40, rng, replicates=300,
                           progress=lambda i, n: calls.append((i, n)))  # fmt: skip
    parts = components_of(model, 8, 80, rng, replicates=100)
    assert "HL" in parts.source
    closed = plan_table(parts, [8], [80], theta=done.truth, alternative=done.truth)[0]
    assert done.power_difference == pytest.approx(closed.power_difference, abs=0.09)
    assert done.mean_se == pytest.approx(closed.se, rel=0.15)
    assert 0.91 < done.coverage95 < 0.99
    assert calls[0] == (0, 300)
    assert calls[-1] == (300, 300)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda rng: simulate_roe_metz(RoeMetz.of("HL"), 0, 4, 4, rng),
        lambda rng: simulate_roe_metz(RoeMetz.of("HL"), 2, 4, 4, rng, levels=5),
        lambda rng: simulate_roe_metz(RoeMetz.of("HL"), 2, 4, 4, rng, missing=1.0),
        lambda rng: simulated_power(RoeMetz.of("HL"), 2, 4, 4, rng, replicates=0),
        lambda rng: RoeMetz.of("XX"),
        lambda rng: RoeMetz(1.0, 0.01, 0.5),
        lambda rng: RoeMetz(0.5, -0.01, 0.5),
        lambda rng: RoeMetz.of("HL").truth("dprime"),
    ],
)
def test_impossible_simulations_are_refused(wrong) -> None:
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        wrong(np.random.default_rng(1))


def test_a_trial_that_cannot_be_analysed_is_counted() -> None:
    done = simulated_power(RoeMetz.of("HL"), 1, 4, 4, np.random.default_rng(1), replicates=3)
    assert (done.n_undefined, done.coverage95) == (3, None)
    assert done.reason == "no simulated trial could be analysed"
