"""Simulated trials whose truth is known: intervals cover, tests keep their level.

docs/benchmarks/coverage.md has the numbers of more designs.
"""

from __future__ import annotations

import numpy as np
import pytest

from readerstudy.analysis.stats.imrmc import imrmc
from readerstudy.analysis.stats.inference import Inference
from readerstudy.analysis.stats.mrmc import or_single
from readerstudy.analysis.stats.simulation import RoeMetz, simulate_roe_metz

TRIALS = 2000


@pytest.mark.slow
def test_intervals_cover_and_tests_keep_their_level_under_guessing() -> None:
    """95 % intervals hold the truth in 92.5 to 97.5 %; guessing is rejected in 2.5 to 7 %."""
    rng, model = np.random.default_rng(2026), RoeMetz.of("HL")
    found: dict[str, list[Inference]] = {"OR, AUC": [], "OR, balanced accuracy": [], "iMRMC": []}
    for _ in range(TRIALS):
        trial = simulate_roe_metz(model, 6, 30, 30, rng)
        found["OR, AUC"].append(or_single(trial, "auc", margins=(0.1,)).rrrc)
        found["OR, balanced accuracy"].append(or_single(trial, "balanced_accuracy").rrrc)
        found["iMRMC"].append(imrmc(trial).result)
    for name, results in found.items():
        covers = np.mean([r.ci95[0] <= 0.5 <= r.ci95[1] for r in results if r.ci95])
        rejects = np.mean([r.p < 0.05 for r in results if r.p is not None])
        assert sum(r.ci95 is None for r in results) <= TRIALS // 100, name
        assert 0.925 <= covers <= 0.975, (name, covers)
        assert 0.025 <= rejects <= 0.07, (name, rejects)


@pytest.mark.slow
def test_equivalence_is_claimed_by_mistake_in_one_of_twenty_at_most() -> None:
    """True area exactly at the margin: TOST(0.10) claims equivalence in 5 % at most."""
    rng, model = np.random.default_rng(7), RoeMetz.of("LL", 0.6)
    claims, covers = [], []
    for _ in range(TRIALS // 2):
        trial = simulate_roe_metz(model, 8, 80, 80, rng, levels=None)
        result = or_single(trial, "auc", "delong", margins=(0.1,)).rrrc
        claims.append(result.tost[0].equivalent)
        covers.append(result.ci95[0] <= 0.6 <= result.ci95[1])
    assert np.mean(claims) <= 0.07
    assert np.mean(claims) > 0.02  # the trial is large enough to be tested by this
    assert 0.925 <= np.mean(covers) <= 0.975
