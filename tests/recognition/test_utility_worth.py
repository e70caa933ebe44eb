"""What four labelled phantoms gain from synthetic lesions: the study, with real trainings."""

from __future__ import annotations

import json

import pytest
import torch
from django.core.management import call_command


@pytest.fixture
def one_thread():
    """The sums of a training, and so its end, depend on how many threads share them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_synthesis_on_the_fly_finds_what_four_labelled_phantoms_do_not_teach(one_thread, tmp_path):
    # These phantoms were looked at once, after every setting was fixed on those of the preset.
    changes = [
        "phantoms.seed=7001",
        "arms=[real,both]",
        "scales=[1]",
        "ungated=false",
        "seeds=[0]",
        "copies.lesions=0",
    ]
    sets = [word for change in changes for word in ("--set", change)]
    call_command("utility_study", "--preset", "phantom", "--out", str(tmp_path / "out"), *sets)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    real, both = results["arms"]
    assert (real["name"], both["name"]) == ("real only", "real + textural")
    # held-out phantoms, at one false positive per scan
    assert both["sensitivity"]["value"] >= 0.8
    (row,) = results["contrasts"]
    assert row["gain"]["low"] > 0
    assert row["p"] < 0.05
