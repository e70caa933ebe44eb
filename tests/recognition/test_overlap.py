"""Dice and normalized surface distance, beside MONAI, SimpleITK and DeepMind's surface-distance."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import surface_distance
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import DiceMetric

from recognition.engine.overlap import dice, surface_dice
from tests.recognition.masks import ball

SHAPE = (24, 40, 40)
SPACINGS = [(1.0, 1.0, 1.0), (0.7, 0.7, 5.0), (1.25, 1.25, 2.5)]


def pair(seed: int, spacing) -> tuple[np.ndarray, np.ndarray]:
    """Two overlapping blobs with ragged edges."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(2):
        center = np.array(SHAPE) / 2 + rng.uniform(-2, 2, 3)
        made.append(ball(SHAPE, center, rng.uniform(6, 12), spacing))
    made[0] ^= made[0] & (rng.random(SHAPE) < 0.1)
    return made[0], made[1]


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("seed", range(4))
def test_dice_equals_monai_and_simpleitk(seed, spacing):
    one, two = pair(seed, spacing)
    ours = dice(one, two)
    monai = DiceMetric()(torch.from_numpy(one)[None, None], torch.from_numpy(two)[None, None])
    itk = sitk.LabelOverlapMeasuresImageFilter()
    itk.Execute(*(sitk.GetImageFromArray(m.astype(np.uint8)) for m in (one, two)))
    assert ours == pytest.approx(float(monai), abs=1e-6)
    assert ours == pytest.approx(itk.GetDiceCoefficient(), abs=1e-12)


@pytest.mark.parametrize("tolerance", [1.0, 2.0])
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("seed", range(2))
def test_surface_dice_equals_deepminds(seed, spacing, tolerance):
    one, two = pair(seed, spacing)
    distances = surface_distance.compute_surface_distances(one, two, spacing[::-1])
    theirs = surface_distance.compute_surface_dice_at_tolerance(distances, tolerance)
    assert surface_dice(one, two, spacing, tolerance_mm=tolerance) == pytest.approx(
        theirs, abs=1e-6
    )


def test_a_lesion_at_the_edge_of_the_scan_has_a_surface_there():
    mask = np.zeros(SHAPE, bool)
    mask[:4, :6, :6] = True
    assert surface_dice(mask, mask, (1, 1, 1)) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("predicted", "empty", "expected"),
    [
        (False, "exclude", None),
        (True, "exclude", None),
        (False, "score", 1.0),
        (True, "score", 0.0),
    ],
)
def test_a_scan_without_tumor_follows_the_stated_rule(predicted, empty, expected):
    prediction, reference = np.full(SHAPE, predicted), np.zeros(SHAPE, bool)
    assert dice(prediction, reference, empty) == expected
    assert surface_dice(prediction, reference, (1, 1, 1), empty=empty) == expected


def test_a_missed_tumor_counts_as_nothing_found():
    tumor = ball(SHAPE, (12, 20, 20), 6, (1, 1, 1))
    assert dice(np.zeros_like(tumor), tumor) == 0.0
    assert surface_dice(np.zeros_like(tumor), tumor, (1, 1, 1)) == 0.0


def test_masks_of_two_grids_are_refused():
    with pytest.raises(ValueError, match="shape"):
        dice(np.zeros((2, 2, 2), bool), np.zeros((2, 2, 3), bool))
    with pytest.raises(ValueError, match="tolerance"):
        surface_dice(np.ones(SHAPE, bool), np.ones(SHAPE, bool), (1, 1, 1), tolerance_mm=0)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_dice_is_symmetric_and_between_0_and_1(seed):
    one, two = pair(seed, (1, 1, 1))
    assert dice(one, two) == dice(two, one)
    assert 0 <= (dice(one, two) or 0) <= 1
    assert dice(one, one) == 1
