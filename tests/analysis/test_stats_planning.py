"""Power, tables of designs, simulated trials."""

from __future__ import annotations

import pytest

from readerstudy.analysis.stats.planning import power_single


def test_power_grows_with_readers_and_cases_and_tost_has_its_size_at_the_margin() -> None:
    known = {"var_reader": 0.003, "var_error": 0.0025, "cov2": 0.0006, "pilot_cases": 100}
    few = power_single(6, 100, theta=0.5, **known)
    many = power_single(20, 400, theta=0.5, **known)
    assert many.power_tost > few.power_tost
    assert few.power_two_sided == pytest.approx(0.05, abs=1e-9)
    assert power_single(20, 400, theta=0.6, **known).power_tost == pytest.approx(0.05, abs=1e-3)
    with pytest.raises(ValueError, match="at least two readers"):
        power_single(1, 100, theta=0.5, **known)
