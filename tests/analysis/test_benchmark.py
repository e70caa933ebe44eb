"""The benchmark's arithmetic: growth is judged by what was measured, and a miss is said."""

from __future__ import annotations

from typing import Any

import pytest

from readerstudy.analysis import benchmark


@pytest.mark.parametrize(("power", "met"), [(1.0, True), (2.0, False)])
def test_growth_is_the_exponent_of_the_last_doubling(
    monkeypatch: pytest.MonkeyPatch, power: float, met: bool
) -> None:
    def child(what: str, readers: int, cases: int) -> dict[str, Any]:
        readings = (readers * cases / 1000) ** power
        return {"steps": {"Endpoints": readings, "Tiny": 1e-6}, "jackknife": readings / 10}

    monkeypatch.setattr(benchmark, "_child", child)
    section = benchmark.growth_benchmark()
    whole = [m for m in section.measures if "whole" in m.name]
    assert [(m.value, m.met) for m in whole] == [(pytest.approx(power, abs=0.01), met)] * 2
    assert "| Endpoints |" in section.notes[0] and "Tiny" not in section.notes[0]
    assert f"| {power:.2f} |" in section.notes[0]


def test_a_whole_analysis_misses_its_bounds_aloud(monkeypatch: pytest.MonkeyPatch) -> None:
    def child(what: str, readers: int, cases: int) -> dict[str, Any]:
        return {
            "wall": 6.0, "cpu": 6.0, "megabytes": 2500.0, "steps": {"Endpoints": 6.0},
            "readings": readers * cases, "replicates": 2000, "importing": 1.0,
        }  # fmt: skip

    monkeypatch.setattr(benchmark, "_child", child)
    met = [m.met for m in benchmark.whole_benchmark().measures]
    assert met == [False, None, None, True, None, False]


def test_a_failing_child_says_why() -> None:
    with pytest.raises(RuntimeError, match="nothing-of-the-kind"):
        benchmark._child("nothing-of-the-kind")
