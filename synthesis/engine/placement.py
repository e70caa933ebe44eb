"""Where a lesion may grow: inside the organ, away from its edge, never on a real tumor.

Distances are computed once per organ on a coarse copy of its mask (about 2.5 mm), which makes
drawing a place a matter of microseconds; the pipeline then checks the drawn lesion voxel by
voxel on the scanner's own grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from synthesis.engine.arrays import (
    Hu,
    MaskArray,
    Spacing,
    bounding_box,
    robust_sd,
    zyx,
)

_COARSE_MM = 2.5
#: Real tumors keep this distance (mm) from a new lesion's surface.
TUMOR_CLEARANCE_MM = 4.0


@dataclass(frozen=True)
class OrganMap:
    """Everything placement needs to know about one organ of one scan.

    ``depth_mm`` is the distance of each coarse voxel to the organ's edge or to the nearest real
    tumor; ``typical_hu`` and ``spread_hu`` are the organ's median and robust SD.
    """

    origin: tuple[int, int, int]
    stride: tuple[int, int, int]
    depth_mm: NDArray[np.float32]
    spacing_zyx: Spacing
    typical_hu: float
    spread_hu: float

    @property
    def deepest_mm(self) -> float:
        return float(self.depth_mm.max(initial=0.0))

    def draw(
        self, rng: np.random.Generator, clearance_mm: float
    ) -> tuple[float, float, float] | None:
        """A random center (continuous z, y, x index) at least ``clearance_mm`` from the edge.

        Deeper places are likelier, in proportion to how much room is left around the lesion.
        None when the organ has no such place.
        """
        room = self.depth_mm.ravel() - np.float32(clearance_mm)
        places = np.flatnonzero(room > 0)
        if places.size == 0:
            return None
        likelihood = np.cumsum(room[places].astype(np.float64) + 1.0)
        pick = places[np.searchsorted(likelihood, rng.uniform(0.0, likelihood[-1]))]
        coarse = np.unravel_index(int(pick), self.depth_mm.shape)
        z, y, x = (
            float(o + n * (float(c) + rng.uniform(-0.5, 0.5)))
            for o, n, c in zip(self.origin, self.stride, coarse, strict=True)
        )
        return (z, y, x)


def map_organ(hu: Hu, organ: MaskArray, tumor: MaskArray | None, spacing: Spacing) -> OrganMap:
    """Prepare placement in ``organ``.

    Args:
        hu: the scan, shape (z, y, x).
        organ: the organ mask, same shape.
        tumor: real tumors to stay clear of, same shape, or None.
        spacing: voxel size (x, y, z) in mm.

    Raises:
        ValueError: the organ mask is empty, or the shapes differ.
    """
    if organ.shape != hu.shape or (tumor is not None and tumor.shape != hu.shape):
        raise ValueError("The masks and the CT volume have different shapes.")
    box = bounding_box(organ)
    if box is None:
        raise ValueError("The organ mask is empty.")
    step = zyx(spacing)
    strides = [max(1, round(_COARSE_MM / s)) for s in step]
    stride = (strides[0], strides[1], strides[2])
    cut = tuple(slice(a, b, n) for a, b, n in zip(box.start, box.stop, stride, strict=True))
    coarse_mm = tuple(n * s for n, s in zip(stride, step, strict=True))
    inside = np.asarray(organ[cut], bool)
    values = np.asarray(hu[cut])[inside]
    depth = ndimage.distance_transform_edt(np.pad(inside, 1), sampling=coarse_mm)
    depth = depth[1:-1, 1:-1, 1:-1]
    if tumor is not None:
        # The tumor is read on the full grid: a small one would slip through the coarse one.
        grown = ndimage.maximum_filter(np.asarray(tumor[box.slices], np.uint8), size=stride)
        real = grown[tuple(slice(None, None, n) for n in stride)].astype(bool)
        if real.any():
            gap = ndimage.distance_transform_edt(~real, sampling=coarse_mm)
            depth = np.minimum(depth, gap - TUMOR_CLEARANCE_MM)
    return OrganMap(
        origin=box.start,
        stride=stride,
        depth_mm=depth.astype(np.float32),
        spacing_zyx=step,
        typical_hu=float(np.median(values)) if values.size else 0.0,
        spread_hu=robust_sd(values),
    )
