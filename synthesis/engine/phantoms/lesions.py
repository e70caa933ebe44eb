"""Reference lesions: the stand-ins for real ones, made by a recipe no generator uses.

They grow *inside* the scene, before point spread and noise: clusters of balls melted together,
some with a necrotic middle or a brighter rim, in the lung with spicules.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from synthesis.engine.arrays import Field, MaskArray, bounding_box
from synthesis.engine.phantoms.scene import (
    Cut,
    Point,
    Scene,
    Segment,
    smooth_noise,
    tree_distance,
)
from synthesis.engine.shapes import draw_diameter

#: Mean and spread of the lesion's HU, relative to the organ ("lung": absolute).
_LOOK = {
    "liver": (-40.0, 10.0),
    "kidney": (-75.0, 25.0),
    "pancreas": (-35.0, 8.0),
    "lung": (25.0, 15.0),
}
_ATTEMPTS = 40


def add_reference_lesions(
    rng: np.random.Generator,
    scene: Scene,
    organs: Sequence[str],
    count: int,
    diameter_mm: tuple[float, float],
) -> MaskArray:
    """Grow up to ``count`` lesions in ``organs`` in turn; returns the mask of all of them."""
    tumors: MaskArray = np.zeros(scene.shape, bool)
    for k in range(count):
        name = organs[k % len(organs)]
        place = _find_place(rng, scene, name, tumors, diameter_mm)
        if place is not None:
            _grow(rng, scene, name, *place, tumors)
    return tumors


def _find_place(
    rng: np.random.Generator,
    scene: Scene,
    name: str,
    tumors: MaskArray,
    diameter_mm: tuple[float, float],
) -> tuple[Point, float] | None:
    mask = scene.mask(name) & ~tumors
    box = bounding_box(mask)
    if box is None:
        return None
    cut = tuple(slice(a, b, 2) for a, b in zip(box.start, box.stop, strict=True))
    step = tuple(2.0 * s for s in scene.step)
    depth = ndimage.distance_transform_edt(np.pad(mask[cut], 1), sampling=step)[1:-1, 1:-1, 1:-1]
    for _ in range(_ATTEMPTS):
        radius = 0.5 * draw_diameter(rng, *diameter_mm)
        room = np.argwhere(depth > radius + 2.5)
        if len(room):
            index = room[rng.integers(len(room))] * 2 + np.asarray(box.start)
            z, y, x = (float(axis[i]) for axis, i in zip(scene.axes, index, strict=True))
            return (x, y, z), radius
    return None


def _grow(
    rng: np.random.Generator,
    scene: Scene,
    name: str,
    center: Point,
    radius: float,
    tumors: MaskArray,
) -> None:
    cut = scene.around(center, radius * 2.0 + 6.0, margin=0.0)
    z, y, x = np.meshgrid(*(a[c] for a, c in zip(scene.axes, cut, strict=True)), indexing="ij")
    distance = _melted_balls(rng, x, y, z, center, radius)
    if name == "lung":
        distance = np.minimum(distance, _spicules(rng, scene, cut, center, radius))
    distance = _one_piece(distance, scene.mask(name)[cut])
    core = np.clip(-distance / radius, 0.0, 1.0)
    level = _level(rng, scene, name, cut, distance)
    if name != "lung" and radius > 7.0 and rng.random() < 0.5:
        level = level - rng.uniform(10.0, 25.0) * core
    if name == "liver" and rng.random() < 0.35:
        level = level + 22.0 * np.exp(-((distance + 1.5) ** 2) / 3.0)
    level = level + 4.0 * smooth_noise(rng, _shape(cut), _cells(cut))
    scene.paint(cut, distance, level.astype(np.float32))
    tumors[cut] |= distance < 0


def _one_piece(distance: Field, organ: MaskArray) -> Field:
    """The largest connected part of the lesion that lies in its organ."""
    labels, count = ndimage.label((distance < 0) & organ)
    if count == 0:
        return distance
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept = labels == int(sizes.argmax())
    near = ndimage.binary_dilation(kept) & organ
    out: Field = np.where(near, distance, np.maximum(distance, 1.0)).astype(np.float32)
    return out


def _melted_balls(
    rng: np.random.Generator, x: Field, y: Field, z: Field, center: Point, radius: float
) -> Field:
    """Signed distance (mm, approximate) to a lumpy cluster of balls melted together.

    The level at which the balls melt is chosen so that the cluster has the volume of a sphere of
    ``radius``.
    """
    total = np.zeros(x.shape, np.float32)
    stretch = np.exp(rng.normal(0.0, 0.22, 3))
    for k in range(int(rng.integers(5, 10))):
        away = np.zeros(3) if k == 0 else rng.normal(0.0, 0.46 * radius, 3) * stretch
        size = radius * float(rng.uniform(0.28, 0.48))
        gap = (
            (x - center[0] - away[0]) ** 2
            + (y - center[1] - away[1]) ** 2
            + (z - center[2] - away[2]) ** 2
        )
        total += np.exp(-gap / (2.0 * size**2))
    z_n, y_n, x_n = x.shape
    lumps = smooth_noise(
        rng, (z_n, y_n, x_n), (max(2, z_n // 3), max(3, y_n // 4), max(3, x_n // 4))
    )
    field = np.log(np.maximum(total, 1e-9)) + 0.28 * lumps
    voxel = abs(
        float((x[0, 0, 1] - x[0, 0, 0]) * (y[0, 1, 0] - y[0, 0, 0]) * (z[1, 0, 0] - z[0, 0, 0]))
    )
    share = min(4.19 * radius**3 / voxel / field.size, 0.9)
    level = float(np.quantile(field, 1.0 - share))
    # The log of a ball of sigma s falls by r / s**2 per mm: about 3 / radius here.
    out: Field = ((level - field) * radius / 3.0).astype(np.float32)
    return out


def _spicules(
    rng: np.random.Generator, scene: Scene, cut: Cut, center: Point, radius: float
) -> Field:
    segments: list[Segment] = []
    for _ in range(int(rng.integers(5, 12))):
        aim = rng.standard_normal(3)
        aim *= radius * rng.uniform(1.05, 1.5) / np.linalg.norm(aim)
        end = (center[0] + aim[0], center[1] + aim[1], center[2] + aim[2])
        segments.append((center, end, 1.6, 0.3))
    return tree_distance(scene, cut, segments)


def _level(rng: np.random.Generator, scene: Scene, name: str, cut: Cut, distance: Field) -> Field:
    mean, spread = _LOOK[name]
    level = rng.normal(mean, spread)
    if name != "lung":
        around = scene.mask(name)[cut] & (distance > 0)
        tissue = scene.hu[cut][around]
        level += float(np.median(tissue)) if tissue.size else 100.0
    return np.full(distance.shape, level, np.float32)


def _shape(cut: Cut) -> tuple[int, int, int]:
    z, y, x = (s.stop - s.start for s in cut)
    return (z, y, x)


def _cells(cut: Cut) -> tuple[int, int, int]:
    z, y, x = (max(2, (s.stop - s.start) // 4) for s in cut)
    return (z, y, x)
