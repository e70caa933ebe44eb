"""Mass effect: a growing lesion pushes the structures around it outwards, never the noise."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from synthesis.engine.arrays import Field, smooth
from synthesis.engine.records import HostCrop
from synthesis.engine.shapes import SoftLesion

#: Structures are moved after this much smoothing (mm): finer detail is noise and stays.
_MOVED_DETAIL_MM = 0.8
_LARGEST_PUSH_MM = 3.0
_FARTHEST_FADE_MM = 6.0
#: Beyond this many of its fading distances nothing moves any more.
_FADES = 3.0


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


def fade_mm(diameter_mm: float) -> float:
    """The displacement falls to a third over this distance from the lesion's surface."""
    return float(np.clip(0.25 * diameter_mm, 2.0, _FARTHEST_FADE_MM))


def pushed_mm(diameter_mm: float) -> float:
    """Tissue this far from the lesion's surface may move."""
    return _FADES * fade_mm(diameter_mm)


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
    fade = np.exp(np.minimum(depth, 0.0) / np.float32(fade_mm(lesion.diameter_mm)))
    fade[depth < -pushed_mm(lesion.diameter_mm)] = 0.0
    if not host.tissue.all():
        room = ndimage.distance_transform_edt(host.tissue, sampling=host.spacing_zyx)
        fade *= np.minimum(room / (largest + 3.0), 1.0).astype(np.float32)
    zone: Field = np.where(largest * fade > 0.02, np.minimum(fade, 1.0), 0.0).astype(np.float32)
    where = np.stack(np.nonzero(zone))
    steps = np.asarray(host.spacing_zyx, np.float32)[:, None]
    center = np.asarray(lesion.center) - np.asarray(host.box.start)
    away = (where - center[:, None]).astype(np.float32) * steps
    length = np.maximum(np.sqrt((away**2).sum(axis=0)), 1e-3)
    source = where - away * (np.float32(largest) * zone[tuple(where)] / length) / steps
    structure = smooth(host.hu, _MOVED_DETAIL_MM, host.spacing_zyx)
    moved = ndimage.map_coordinates(structure, source, order=1, mode="nearest")
    change = np.zeros(host.hu.shape, np.float32)
    change[tuple(where)] = moved - structure[tuple(where)]
    return change, zone
