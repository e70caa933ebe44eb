"""Phantoms: right organs, right densities, the same from the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from synthesis.engine.generators import get_generator
from synthesis.engine.phantoms import PHANTOM_KINDS, PHANTOM_ORGANS, make_phantom
from synthesis.engine.pipeline import prepare, synthesize
from synthesis.engine.records import Accepted, LesionSpec, Scan

SMALL = {"shape": (48, 128, 128), "spacing": (3.0, 3.0, 5.0)}


@pytest.fixture(scope="module", params=PHANTOM_KINDS)
def phantom(request):
    return make_phantom(np.random.default_rng(4), request.param, lesions=3, **SMALL)


def test_a_phantom_looks_like_ct_in_numbers(phantom):
    assert phantom.hu.dtype == np.int16
    assert phantom.hu.shape == SMALL["shape"]
    assert np.median(phantom.hu[:, :4, :4]) == pytest.approx(-1000, abs=25)
    assert np.percentile(phantom.hu, 99.8) > 250  # bone
    ml = {name: mask.sum() * 0.045 for name, mask in phantom.organs.items()}
    expected = {
        "liver": (900, 3000),
        "kidney": (180, 500),
        "pancreas": (25, 150),
        "spleen": (60, 500),
        "lung": (2500, 6500),
    }
    for name, volume in ml.items():
        low, high = expected[name]
        assert low < volume < high, (name, volume)
    level = {"liver": (80, 130), "kidney": (130, 210), "lung": (-920, -780)}
    for name, (low, high) in level.items():
        if name in phantom.organs:
            assert low < np.median(phantom.hu[phantom.organs[name]]) < high


def test_reference_lesions_lie_in_their_organs(phantom):
    organs = np.logical_or.reduce([phantom.organs[n] for n in PHANTOM_ORGANS[phantom.kind]])
    assert phantom.tumors.sum() > 20
    assert organs[phantom.tumors].mean() > 0.97


def test_the_same_seed_draws_the_same_phantom():
    one, again, other = (
        make_phantom(np.random.default_rng(s), "chest", shape=(20, 64, 64), spacing=(6, 6, 12))
        for s in (1, 1, 2)
    )
    assert np.array_equal(one.hu, again.hu)
    assert np.array_equal(one.tumors, again.tumors)
    assert not np.array_equal(one.hu, other.hu)


def test_lesions_can_be_synthesized_in_every_phantom_organ(phantom):
    for organ in PHANTOM_ORGANS[phantom.kind]:
        scan = Scan(phantom.hu, phantom.spacing, organ, phantom.organs[organ], phantom.tumors)
        outcome = synthesize(prepare(scan), LesionSpec((8.0, 16.0)), get_generator("textural"), 1)
        assert isinstance(outcome.verdict, Accepted), (organ, outcome.verdict)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "foot"}, "choose one of: abdomen, chest"),
        ({"kind": "chest", "lesion_organs": ["liver"]}, "has no organ 'liver'"),
    ],
)
def test_unknown_phantoms_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_phantom(np.random.default_rng(0), **arguments)
