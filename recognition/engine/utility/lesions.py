"""Lesions as they are compared: a pattern of contrast on a small cube, and a few plain numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from recognition.engine.arrays import (
    Field,
    Labels,
    MaskArray,
    Spacing,
    equivalent_diameter_mm,
    voxel_ml,
    zyx,
)
from recognition.engine.lesions import find_lesions

Values = NDArray[np.float64]

#: Side of the cube in samples, and in diameters of the lesion: long lesions must fit.
SIDE, SPAN = 16, 2.2
#: Tissue this far (mm) from the lesion says what its contrast is against.
_RING_MM = (2.0, 9.0)
_LEAST_VOXELS = 8
FEATURES = (
    "log diameter",
    "contrast",
    "log deviation inside",
    "deviation of the rim",
    "fill of its box",
    "elongation",
    "flatness",
)


@dataclass(frozen=True)
class Sample:
    """One lesion: where it is from, how it looks.

    ``pattern`` (SIDE, SIDE, SIDE) holds HU relative to the tissue around, 0 outside the lesion,
    on a cube of ``SPAN`` diameters about its center. ``picture`` is a slice (HU) through the
    middle with ``outline``, the lesion on it, for people to look at.
    """

    name: str
    patient: str
    diameter_mm: float
    pattern: Field
    features: Values
    picture: Field
    outline: MaskArray


def samples_in(
    hu: Field, tumor: MaskArray, organ: MaskArray, spacing: Spacing, *, name: str, patient: str
) -> Iterator[Sample]:
    """Every lesion of a volume that is large enough to compare.

    Args:
        hu, tumor, organ: (z, y, x); the organ may hold its tumors.
        spacing: (x, y, z) in mm.
        name, patient: where the volume is from.
    """
    numbers, lesions = find_lesions(tumor, spacing)
    for lesion in lesions:
        if lesion.voxels >= _LEAST_VOXELS:
            yield _sample(hu, numbers, lesion.number, tumor, organ, spacing, (name, patient))


def _sample(
    hu: Field,
    numbers: Labels,
    number: int,
    tumor: MaskArray,
    organ: MaskArray,
    spacing: Spacing,
    origin: tuple[str, str],
) -> Sample:
    step = np.asarray(zyx(spacing))
    mask = numbers == number
    points = np.argwhere(mask)
    diameter = equivalent_diameter_mm(len(points) * voxel_ml(spacing))
    reach = np.ceil((0.5 * SPAN * diameter + _RING_MM[1]) / step).astype(int)
    low = np.maximum(points.min(axis=0) - reach, 0)
    high = np.minimum(points.max(axis=0) + 1 + reach, mask.shape)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    crop, inside = np.asarray(hu[box], np.float32), mask[box]
    gap = ndimage.distance_transform_edt(~inside, sampling=step)
    around = (gap > _RING_MM[0]) & (gap < _RING_MM[1]) & ~tumor[box]
    tissue = around & organ[box]
    ring = crop[tissue] if tissue.sum() >= _LEAST_VOXELS else crop[around]
    level = float(np.median(ring)) if ring.size else 0.0
    contrast = np.where(inside, crop - level, 0.0).astype(np.float32)
    center = points.mean(axis=0) - low
    middle = int(np.clip(round(float(center[0])), 0, len(crop) - 1))
    return Sample(
        name=f"{origin[0]}, lesion {number}",
        patient=origin[1],
        diameter_mm=diameter,
        pattern=_on_cube(contrast, center, diameter, step),
        features=_features(contrast, inside, step, diameter),
        picture=crop[middle],
        outline=inside[middle],
    )


def _on_cube(contrast: Field, center: Values, diameter: float, step: Values) -> Field:
    away = (np.arange(SIDE) + 0.5) / SIDE - 0.5
    grid = np.meshgrid(*(away * SPAN * diameter / s for s in step), indexing="ij")
    places = [axis + c for axis, c in zip(grid, center, strict=True)]
    out: Field = ndimage.map_coordinates(contrast, places, order=1, cval=0.0, output=np.float32)
    return out


def _features(contrast: Field, inside: MaskArray, step: Values, diameter: float) -> Values:
    values = contrast[inside].astype(np.float64)
    core = ndimage.binary_erosion(inside)
    rim = contrast[inside & ~core].astype(np.float64)
    points = np.argwhere(inside) * step
    own = np.diag(step**2 / 12.0)  # a voxel is not a point
    least, middle, greatest = np.sqrt(np.linalg.eigvalsh(np.cov(points.T) + own))
    sides = np.prod(np.ptp(np.argwhere(inside), axis=0) + 1)
    return np.array(
        [
            np.log(diameter),
            np.median(values),
            np.log(values.std() + 1.0),
            rim.mean() - values.mean(),
            inside.sum() / sides,
            middle / greatest,
            least / greatest,
        ]
    )
