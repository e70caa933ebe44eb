"""Lungs by thresholding, against masks that somebody looked at."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from recognition.engine.errors import RecognitionError
from recognition.engine.lungs import segment_lungs
from recognition.engine.overlap import dice
from tests.recognition.masks import ball

MM = (2.0, 2.0, 3.0)
SHAPE = (40, 120, 160)


def chest() -> tuple[np.ndarray, np.ndarray]:
    """Air around a body with two lungs, each with a vessel and one with a tumor at the wall."""
    rng = np.random.default_rng(5)
    _, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    body = ((y - 60) / 50) ** 2 + ((x - 80) / 70) ** 2 < 1
    lungs = np.zeros(SHAPE, bool)
    for center in (45, 115):
        lungs |= ball(SHAPE, (20, 60, center), 50, MM)
    hu = np.where(body, 40, -1000) * np.ones(SHAPE)
    hu[lungs] = -850
    hu[:, 58:61, 40:50] = 60  # a vessel
    hu[ball(SHAPE, (20, 60, 24), 8, MM)] = 30  # a tumor at the wall
    return (hu + rng.normal(0, 20, SHAPE)).astype(np.int16), lungs


def test_vessels_and_a_tumor_belong_to_the_lungs_and_the_air_around_does_not():
    hu, lungs = chest()
    assert dice(segment_lungs(hu, MM), lungs) > 0.97


def test_one_lung_is_enough_and_bowel_gas_is_none():
    hu, lungs = chest()
    hu[..., :80] = 40
    lungs[..., :80] = False
    hu[ball(SHAPE, (35, 60, 40), 10, MM)] = -900
    assert dice(segment_lungs(hu, MM), lungs) > 0.97


def test_an_abdomen_has_no_lung():
    with pytest.raises(RecognitionError, match="No lung was found"):
        segment_lungs(np.full(SHAPE, 40, np.int16), MM)


@pytest.mark.shared
@pytest.mark.parametrize("folder", ["lung_lidc-idri-0001", "lung_4dlung-p113"])
def test_dice_of_at_least_0_95_on_real_chests(shared_ct, folder):
    image = nib.load(shared_ct / folder / "ct.nii.gz")
    reference = np.asarray(nib.load(shared_ct / folder / "lung.nii.gz").dataobj).T > 0
    spacing = tuple(float(mm) for mm in image.header.get_zooms())
    assert dice(segment_lungs(np.asarray(image.dataobj).T, spacing), reference) >= 0.95
