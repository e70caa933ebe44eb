"""How coarse the tissue of a lesion is, measured the way the procedural generator paints it."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from synthesis.engine.arrays import (
    Field,
    Hu,
    MaskArray,
    Spacing,
    bounding_box,
    robust_sd,
    smooth,
    zyx,
)
from synthesis.engine.measure import NOISE_SPLIT_MM, RING_MM

#: Read this deep (mm) in the lesion, where its soft edge no longer shows.
_CLEAR_OF_EDGE_MM = 3.5
_ENOUGH_VOXELS = 80


def grain_hu(
    hu: Hu | Field,
    mask: MaskArray,
    spacing: Spacing,
    *,
    organ: MaskArray | None = None,
    other_tumors: MaskArray | None = None,
) -> float:
    """Robust SD (HU) of the structure in a lesion beyond what the organ around it has as well.

    Smoothed within a slice over `NOISE_SPLIT_MM`, so that the scanner's noise is mostly gone;
    the slow part of it that stays is taken from the ring of organ around the lesion and
    subtracted in squares. NaN for lesions too small to have an inside, or without such a ring.

    Args:
        hu: scan in HU, shape (z, y, x); only the region around the lesion is read.
        mask: the lesion, same shape.
        spacing: voxel size (x, y, z) in mm.
        organ: the organ it lies in; the ring stays inside it.
        other_tumors: voxels never used as reference tissue.

    Raises:
        ValueError: the mask is empty.
    """
    tight = bounding_box(mask)
    if tight is None:
        raise ValueError("The lesion mask is empty.")
    step = zyx(spacing)
    box = tight.grown(RING_MM[1] + 2.0, step).clipped(mask.shape)
    crop = np.asarray(hu[box.slices], np.float32)
    lesion = np.asarray(mask[box.slices], bool)
    outside = ndimage.distance_transform_edt(~lesion, sampling=step)
    depth = ndimage.distance_transform_edt(np.pad(lesion, 1), sampling=step)[1:-1, 1:-1, 1:-1]
    ring = (outside >= RING_MM[0]) & (outside <= RING_MM[1])
    if organ is not None:
        ring &= np.asarray(organ[box.slices], bool)
    if other_tumors is not None:
        ring &= ~np.asarray(other_tumors[box.slices], bool)
    heart = lesion & (depth >= _CLEAR_OF_EDGE_MM)
    if min(int(heart.sum()), int(ring.sum())) < _ENOUGH_VOXELS:
        return math.nan
    inside, around = (_slow_sd(crop, region, step) for region in (heart, ring))
    return math.sqrt(max(0.0, inside**2 - around**2))


def _slow_sd(hu: Field, region: MaskArray, spacing_zyx: Spacing) -> float:
    """Robust SD of the low-pass signal of ``region``, averaged over the region alone."""
    in_plane: Spacing = (1e6, spacing_zyx[1], spacing_zyx[2])
    width = max(NOISE_SPLIT_MM, *spacing_zyx[1:])
    weight = region.astype(np.float32)
    level = np.float32(np.median(hu[region]))
    total = np.maximum(smooth(weight, width, in_plane), 1e-3)
    low = level + smooth((hu - level) * weight, width, in_plane) / total
    return robust_sd(low[region])
