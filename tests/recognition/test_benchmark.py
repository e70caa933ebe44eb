"""`benchmark recognition`, at sizes that take no time."""

from __future__ import annotations

import pytest

from readerstudy.cases.recognition import benchmark as sections
from recognition import benchmark
from recognition.engine.training.config import TrainingConfig


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(benchmark, "SIDE", 32)
    monkeypatch.setattr(benchmark, "SHAPE", (20, 64, 64))


def test_a_network_is_timed_in_both_precisions(monkeypatch):
    found = benchmark.network("unet", 4)
    for what in ("window_fp32", "window_bf16", "step_fp32", "step_bf16"):
        wall, cpu = found[what]
        assert 0 < wall < 60
        assert cpu > 0
    assert found["step_mb"] >= found["window_mb"] > 50


def test_a_slow_run_is_not_repeated(monkeypatch):
    runs = []
    monkeypatch.setattr(benchmark, "_spent", lambda work: (work(), (30.0, 40.0))[1])
    assert benchmark._best(lambda: runs.append(1), 3) == (30.0, 40.0)
    assert len(runs) == 1


def test_the_sections_say_which_is_quickest_and_whether_the_targets_are_met(monkeypatch):
    def part(kind, name, width):
        if kind == "volume":
            return {"wall": 61.0, "cpu": 100.0, "mb": 900.0, "mb_before": 300.0, "windows": 10}
        wall = 0.1 if (name, width) == sections.DEFAULT else 1.0
        times = {f"{w}_{p}": (wall, wall) for w in ("window", "step") for p in ("fp32", "bf16")}
        return {
            **times,
            "parameters_m": 1.0,
            "bf16_in_hardware": True,
            "window_mb": 1,
            "step_mb": 2,
        }

    monkeypatch.setattr(sections, "_part", part)
    networks = sections.network_benchmark()
    assert "The quickest window belongs to unet-16" in networks.notes[1]
    assert len(networks.measures) == len(sections.NETWORKS) * 11
    met = {measure.name: measure.met for measure in sections.volume_benchmark().measures}
    assert (met["Whole CT, wall"], met["Peak memory"]) == (False, True)


def test_the_network_that_is_measured_is_the_default_of_the_trainings():
    network = TrainingConfig().network
    assert (network.name, network.width) == sections.DEFAULT
