"""Bfloat16: taken where it is at hand and harmless, said no to where it is not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from synthesis.engine import precision
from synthesis.engine.errors import SynthesisError
from synthesis.engine.generators.freetumor import FreeTumorGenerator
from synthesis.engine.networks import UNetSegmentorConfig
from synthesis.engine.pipeline import prepare, synthesize
from synthesis.engine.precision import PRECISIONS, choose
from synthesis.engine.records import LesionSpec
from synthesis.engine.segmenters import NetworkSegmenter

from . import weights
from .hosts import ball_host

CPU = torch.device("cpu")


def off_by(error):
    """An answer that is ``error`` off in bfloat16."""
    return lambda: torch.tensor([error if torch.is_autocast_enabled("cpu") else 0.0])


@pytest.fixture(params=[True, False], ids=["bf16 processor", "older processor"])
def processor(request, monkeypatch):
    monkeypatch.setattr(precision, "has_bf16", lambda device: request.param)
    return request.param


def test_auto_takes_bf16_only_where_the_processor_has_it_and_the_answer_bears_it(processor):
    assert choose("auto", CPU, off_by(0.01), 0.02, "it").bf16 is processor
    assert not choose("auto", CPU, off_by(0.03), 0.02, "it").bf16
    assert not choose("auto", CPU, off_by(float("nan")), 0.02, "it").bf16


def test_what_is_asked_for_by_name_is_done_or_refused(processor):
    assert not choose("fp32", CPU, off_by(0.0), 0.02, "it").bf16
    assert choose("bf16", CPU, off_by(0.01), 0.02, "it").bf16
    with pytest.raises(SynthesisError, match=r"answer of it is off by 0.03.*choose .* fp32"):
        choose("bf16", CPU, off_by(0.03), 0.02, "it")
    with pytest.raises(SynthesisError, match="choose one of: auto, fp32, bf16"):
        choose("fp8", CPU, off_by(0.0), 0.02, "it")
    assert PRECISIONS == ("auto", "fp32", "bf16")


def test_the_published_network_always_answers_in_single_precision(processor):
    assert weights.published().inference.name == "fp32"


def test_lesions_in_bf16_are_those_of_fp32_to_a_few_hu_and_repeat_to_the_byte():
    prepared, spec = prepare(ball_host()), LesionSpec((14.0, 14.0))
    checkpoint = weights.loaded(weights.SMALL_CONDITIONAL)
    made = {}
    for name in ("fp32", "bf16"):
        generator = FreeTumorGenerator(checkpoint, precision=name)
        first, again = (synthesize(prepared, spec, generator, 3).verdict.lesion for _ in range(2))
        assert first.sha256 == again.sha256
        assert first.parameters["precision"] == name
        made[name] = first
    assert made["fp32"].offset == made["bf16"].offset
    apart = made["fp32"].residual.astype(int) - made["bf16"].residual
    assert 0 < np.abs(apart).max() <= 3 or not apart.any()


def test_a_segmentor_sees_the_same_tumor_in_both_precisions():
    checkpoint = weights.loaded(UNetSegmentorConfig(channels=(4, 8, 8), res_units=1), "segmentor")
    scan = ball_host()
    labels = [
        NetworkSegmenter(checkpoint, precision=name).segment(scan.hu.astype(np.float32), (1, 1, 1))
        for name in ("fp32", "bf16")
    ]
    assert (labels[0] != labels[1]).mean() < 0.02
