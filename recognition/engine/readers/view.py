"""What a reader sees of a case, as a block of voxels, and the regions a machine finds in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from recognition.engine.arrays import Field, Hu, MaskArray, Spacing, zyx

#: Half-open index ranges (z, y, x).
Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

#: Voxels are kept this far (mm) outside the marker.
AROUND_MM = 24.0
#: The tissue a lesion is compared with lies this far (mm) from its outline.
RING_MM = (2.0, 12.0)
#: Width (mm) of the rim on either side of the outline.
RIM_MM = 2.0
#: A padded or empty voxel.
_EMPTY_HU = -1015
#: A marker is never taken for closer than this (mm) to the lesion's middle.
_LEAST_MM = 2.5
#: An outline is looked for within the marker's ellipsoid widened by this factor.
_WIDER = 1.5
#: Share of the ellipsoid that an outline must fill, and how far it may go beyond, to be believed.
_BELIEVED = (0.15, 2.5)
#: A lesion must stand out by this many standard deviations of its surroundings.
_STANDS_OUT = 0.35


@dataclass(frozen=True)
class View:
    """The surroundings of a marked lesion as they were sent to a reader.

    ``hu`` is (z, y, x); ``spacing`` (x, y, z) in mm; ``box`` the marker in voxels of ``hu``;
    ``margin_mm`` what the rule of the images adds to a lesion's box on every side, on average.
    """

    hu: Hu
    spacing: Spacing
    box: Box
    margin_mm: float = 6.0

    def __post_init__(self) -> None:
        zyx(self.spacing)
        if self.hu.ndim != 3:
            raise ValueError(f"A view has three axes, not the shape {self.hu.shape}.")
        for (low, high), size in zip(self.box, self.hu.shape, strict=True):
            if not 0 <= low < high <= size:
                raise ValueError(f"The marker {self.box} does not lie in a block {self.hu.shape}.")

    @cached_property
    def radius(self) -> Field:
        """Distance from the middle of the marker; 1 on the ellipsoid of the lesion's likely box."""
        step = zyx(self.spacing)
        total = np.zeros(self.hu.shape, np.float32)
        for axis, ((low, high), mm) in enumerate(zip(self.box, step, strict=True)):
            half = max(0.5 * (high - low) * mm - self.margin_mm, _LEAST_MM, 0.75 * mm)
            along = (np.arange(self.hu.shape[axis]) + 0.5 - 0.5 * (low + high)) * mm / half
            shape = [1, 1, 1]
            shape[axis] = -1
            total = total + (along**2).reshape(shape).astype(np.float32)
        out: Field = np.sqrt(total)
        return out

    @cached_property
    def lesion(self) -> MaskArray:
        """The lesion as found from its marker: voxels on its side of the halfway value.

        Where nothing stands out, the ellipsoid that the marker leaves room for.
        """
        ball: MaskArray = self.radius <= 1.0
        away = (self.radius >= _WIDER) & self._filled
        if not away.any():
            return ball
        soft = ndimage.gaussian_filter(
            self.hu.astype(np.float32), [min(1.0 / mm, 2.0) for mm in zyx(self.spacing)]
        )
        near = away & (self.radius <= 2.0 * _WIDER)
        outside = soft[near if near.any() else away]
        level, spread = float(np.median(outside)), float(outside.std())
        core = float(np.median(soft[self.radius <= 0.6])) if (self.radius <= 0.6).any() else level
        if abs(core - level) <= _STANDS_OUT * spread:
            return ball
        halfway = 0.5 * (core + level)
        side = (soft < halfway) if core < level else (soft > halfway)
        labels, count = ndimage.label(side & (self.radius <= _WIDER))
        if not count:
            return ball
        inside = np.bincount(labels[ball], minlength=count + 1)
        inside[0] = 0
        found: MaskArray = ndimage.binary_fill_holes(labels == int(inside.argmax()))
        low, high = _BELIEVED
        return found if low <= found.sum() / max(1, ball.sum()) <= high else ball

    @cached_property
    def depth(self) -> Field:
        """Signed distance (mm) to the outline, positive inside."""
        step = zyx(self.spacing)
        inside = ndimage.distance_transform_edt(self.lesion, sampling=step)
        outside = ndimage.distance_transform_edt(~self.lesion, sampling=step)
        out: Field = (inside - outside).astype(np.float32)
        return out

    @cached_property
    def around(self) -> MaskArray:
        """Tissue beside the lesion, of the kind that is commonest there."""
        out: MaskArray = (self.depth <= -RING_MM[0]) & (self.depth >= -RING_MM[1]) & self._filled
        if not out.any():
            return out
        values = self.hu[out]
        middle = float(np.median(values))
        spread = max(1.4826 * float(np.median(np.abs(values - middle))), 5.0)
        kept: MaskArray = out & (np.abs(self.hu - middle) <= 4.0 * spread)
        return kept

    @cached_property
    def rim(self) -> MaskArray:
        """Both sides of the outline."""
        out: MaskArray = np.abs(self.depth) <= RIM_MM
        return out

    @cached_property
    def level(self) -> float:
        """Median HU of the tissue around; 0 where there is none."""
        return float(np.median(self.hu[self.around])) if self.around.any() else 0.0

    @cached_property
    def grain(self) -> Field:
        """What a smoothing within the slice takes away: noise and the finest structure, in HU."""
        values = self.hu.astype(np.float32)
        smooth = ndimage.gaussian_filter(values, (0.0, 1.0, 1.0))
        out: Field = values - smooth
        return out

    @property
    def _filled(self) -> NDArray[np.bool_]:
        out: NDArray[np.bool_] = self.hu > _EMPTY_HU
        return out


def around_marker(shape: tuple[int, int, int], box: Box, spacing: Spacing) -> Box:
    """The part of a volume that a view of this marker holds."""
    ranges = []
    for size, (low, high), mm in zip(shape, box, zyx(spacing), strict=True):
        pad = int(np.ceil(AROUND_MM / mm))
        ranges.append((max(0, low - pad), min(size, high + pad)))
    return (ranges[0], ranges[1], ranges[2])


def robust_sd(values: NDArray[np.float32]) -> float:
    """1.4826 x the median absolute deviation; 0 for nothing."""
    if not values.size:
        return 0.0
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))
