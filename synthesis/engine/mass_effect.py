"""Mass effect: a growing lesion pushes the structures around it outwards, never the noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from synthesis.engine.arrays import Field, smooth
from synthesis.engine.records import HostCrop
from synthesis.engine.shapes import SoftLesion

#: Structures are moved after this much smoothing (mm): finer detail is noise and stays.
_MOVED_DETAIL_MM = 0.8
_LARGEST_PUSH_MM = 3.0
_FARTHEST_FADE_MM = 6.0


def on_crop(host: HostCrop, lesion: SoftLesion) -> tuple[Field, Field]:
    """The lesion's coverage, and its depth in mm (negative outside), on the host crop."""
    coverage = np.zeros(host.hu.shape, np.float32)
    place = lesion.box.within(host.box)
    coverage[place] = lesion.coverage
    inside = np.zeros(host.hu.shape, bool)
    inside[place] = lesion.depth_mm > 0
    if not inside.any():
        inside[place] = lesion.mask
    gap = ndimage.distance_transform_edt(~inside, sampling=host.spacing_zyx)
    depth = -gap.astype(np.float32)
    depth[place] = np.where(lesion.depth_mm > 0, lesion.depth_mm, depth[place])
    return coverage, depth


def push_aside(
    host: HostCrop, lesion: SoftLesion, depth: Field, strength: float
) -> tuple[Field, Field]:
    """Move the structures around the lesion outwards.

    The displacement points away from the lesion's center, is largest at its surface and fades
    over half a radius (at most 6 mm); towards the organ's edge it fades to nothing. Returns the
    change in HU and the weight of the zone that it may touch.
    """
    radius = 0.5 * lesion.diameter_mm
    largest = min(0.25 * radius, _LARGEST_PUSH_MM) * strength
    reach = float(np.clip(0.5 * radius, 2.0, _FARTHEST_FADE_MM))
    room = ndimage.distance_transform_edt(host.tissue, sampling=host.spacing_zyx)
    fade = np.exp(np.minimum(depth, 0.0) / reach) * np.clip(room / (largest + 3.0), 0.0, 1.0)
    fade = np.where(depth < -3.0 * reach, 0.0, fade)
    axes = [
        (np.arange(a, b, dtype=np.float32) - c) * s
        for a, b, c, s in zip(
            host.box.start, host.box.stop, lesion.center, host.spacing_zyx, strict=True
        )
    ]
    away: NDArray[np.float32] = np.stack(np.meshgrid(*axes, indexing="ij"))
    length = np.maximum(np.sqrt((away**2).sum(axis=0)), 1e-3)
    steps = np.asarray(host.spacing_zyx, np.float32)[:, None, None, None]
    index = np.indices(host.hu.shape, dtype=np.float32)
    source = index - away / length * (largest * fade) / steps
    structure = smooth(host.hu, _MOVED_DETAIL_MM, host.spacing_zyx)
    moved = ndimage.map_coordinates(structure, source, order=1, mode="nearest")
    zone = np.where(largest * fade > 0.02, np.minimum(fade, 1.0), 0.0).astype(np.float32)
    change = np.where(zone > 0, moved - structure, 0.0).astype(np.float32)
    return change, zone
