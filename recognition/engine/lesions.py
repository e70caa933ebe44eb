"""From a mask to a table of lesions: one connected component, one lesion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
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

#: Voxels that share a corner belong together: an oblique thread of tumor is one lesion.
_NEIGHBOURS = np.ones((3, 3, 3), bool)


@dataclass(frozen=True)
class Lesion:
    """One connected component of a tumor mask.

    ``number`` is its label, 1 for the largest. ``diameter_mm`` is that of the sphere of equal
    volume. ``centroid`` is the index ``(z, y, x)`` of the center of mass, ``center`` the voxel of
    the lesion nearest to it (a crescent's center of mass lies outside). ``box`` holds half-open
    index ranges ``(z, y, x)``. ``probability`` is the largest one inside (1 without a map).
    """

    number: int
    voxels: int
    volume_ml: float
    diameter_mm: float
    centroid: tuple[float, float, float]
    center: tuple[int, int, int]
    box: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    probability: float


def find_lesions(
    mask: MaskArray,
    spacing: Spacing,
    *,
    probability: Field | None = None,
    smallest_mm: float = 0.0,
) -> tuple[Labels, tuple[Lesion, ...]]:
    """The lesions of a mask, largest first, and the volume of their numbers.

    Args:
        mask: tumor voxels, (z, y, x).
        spacing: voxel size (x, y, z) in mm.
        probability: how sure somebody is of tumor, per voxel, 0 to 1.
        smallest_mm: equivalent diameter in mm under which a component is dropped.

    Raises:
        ValueError: a spacing that is none, arrays of different shape.
    """
    spacing_zyx = zyx(spacing)
    if probability is not None and probability.shape != mask.shape:
        raise ValueError(
            f"The probability map has the shape {probability.shape}, the mask {mask.shape}."
        )
    raw, count = ndimage.label(mask, _NEIGHBOURS)
    sizes = np.bincount(raw.ravel(), minlength=count + 1)[1:]
    ml = sizes * voxel_ml(spacing)
    kept = [i for i in range(count) if equivalent_diameter_mm(float(ml[i])) >= smallest_mm]
    kept.sort(key=lambda i: -int(sizes[i]))  # stable: equal sizes stay in reading order
    renumber = np.zeros(count + 1, np.int32)
    renumber[[i + 1 for i in kept]] = np.arange(1, len(kept) + 1, dtype=np.int32)
    labels: Labels = renumber[raw]
    boxes = ndimage.find_objects(labels, len(kept))
    found = tuple(
        _lesion(n, labels, boxes[n - 1], spacing, spacing_zyx, probability)
        for n in range(1, len(kept) + 1)
    )
    return labels, found


def _lesion(
    number: int,
    labels: Labels,
    box: tuple[slice, slice, slice],
    spacing: Spacing,
    spacing_zyx: Spacing,
    probability: Field | None,
) -> Lesion:
    inside = labels[box] == number
    points = np.argwhere(inside)
    start = np.array([part.start for part in box])
    middle = points.mean(axis=0)
    away = (((points - middle) * np.asarray(spacing_zyx)) ** 2).sum(axis=1)
    center = points[int(away.argmin())] + start
    middle = middle + start
    volume = len(points) * voxel_ml(spacing)
    ranges = [(int(part.start), int(part.stop)) for part in box]
    return Lesion(
        number=number,
        voxels=len(points),
        volume_ml=volume,
        diameter_mm=equivalent_diameter_mm(volume),
        centroid=(float(middle[0]), float(middle[1]), float(middle[2])),
        center=(int(center[0]), int(center[1]), int(center[2])),
        box=(ranges[0], ranges[1], ranges[2]),
        probability=1.0 if probability is None else float(probability[box][inside].max()),
    )
