"""Array types and the few grid helpers every engine module needs."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Hu: TypeAlias = NDArray[np.int16]
Field: TypeAlias = NDArray[np.float32]
MaskArray: TypeAlias = NDArray[np.bool_]
Labels: TypeAlias = NDArray[np.int32]
Spacing: TypeAlias = tuple[float, float, float]


def zyx(spacing: Spacing) -> Spacing:
    """``(x, y, z)`` millimetres to array order, refusing what cannot be a voxel size."""
    if len(spacing) != 3 or not all(np.isfinite(s) and s > 0 for s in spacing):
        raise ValueError(f"Voxel spacing must be three positive numbers in mm, not {spacing!r}.")
    return (float(spacing[2]), float(spacing[1]), float(spacing[0]))


def voxel_ml(spacing: Spacing) -> float:
    """Volume of one voxel in millilitres."""
    return float(spacing[0] * spacing[1] * spacing[2]) / 1000.0


def equivalent_diameter_mm(volume_ml: float) -> float:
    """Diameter in mm of the sphere that has ``volume_ml`` millilitres."""
    return float((6000.0 * volume_ml / np.pi) ** (1.0 / 3.0))


def bounds(mask: MaskArray, margin: int = 0) -> tuple[slice, slice, slice] | None:
    """The smallest box around what is set, widened by ``margin`` voxels; None for nothing."""
    out = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        hit = np.flatnonzero(mask.any(axis=others))
        if hit.size == 0:
            return None
        start, stop = int(hit[0]) - margin, int(hit[-1]) + 1 + margin
        out.append(slice(max(start, 0), min(stop, mask.shape[axis])))
    return (out[0], out[1], out[2])
