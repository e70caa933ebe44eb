"""A canvas in millimetres: implicit shapes painted in HU, bent by one smooth deformation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from synthesis.engine.arrays import Field, MaskArray, Spacing, zyx

Point = tuple[float, float, float]
Cut = tuple[slice, slice, slice]

AIR = -1000.0
#: Edges are painted over this many mm; the scanner's point spread comes on top.
_SOFT_MM = 1.0


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int, int], cells: tuple[int, int, int]
) -> Field:
    """Smooth noise of SD about 1: a coarse grid of normal numbers under cubic B-splines."""
    field = rng.standard_normal([c + 3 for c in cells]).astype(np.float32)
    for axis, (n, c) in enumerate(zip(shape, cells, strict=True)):
        position = np.linspace(0.0, c, n, endpoint=False)
        basis = np.zeros((n, c + 3), np.float32)
        left = position.astype(int)
        t = position - left
        weights = (
            (1 - t) ** 3 / 6,
            (3 * t**3 - 6 * t**2 + 4) / 6,
            (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6,
            t**3 / 6,
        )
        for k, weight in enumerate(weights):
            basis[np.arange(n), left + k] = weight
        field = np.moveaxis(np.tensordot(basis, field, axes=(1, axis)), 0, axis)
    # Three cubic B-spline axes leave about 0.3 of the spread of the grid values.
    out: Field = (field / np.float32(max(float(field.std()), 1e-6))).astype(np.float32)
    return out


class Scene:
    """HU and labels on a grid, with coordinates (x left, y back, z head) in mm from its middle."""

    def __init__(
        self, rng: np.random.Generator, shape: tuple[int, int, int], spacing: Spacing
    ) -> None:
        self.shape = shape
        self.spacing = spacing
        self.step = zyx(spacing)
        self.hu: Field = np.full(shape, AIR, np.float32)
        self.labels: NDArray[np.uint8] = np.zeros(shape, np.uint8)
        self.names: list[str] = []
        self.axes = [
            ((np.arange(n) - (n - 1) / 2.0) * s).astype(np.float32)
            for n, s in zip(shape, self.step, strict=True)
        ]
        cells = tuple(max(2, round(n * s / 45.0)) for n, s in zip(shape, self.step, strict=True))
        z, y, x = (
            axis.reshape([-1 if i == k else 1 for i in range(3)])
            for k, axis in enumerate(self.axes)
        )
        bend = [smooth_noise(rng, shape, (cells[0], cells[1], cells[2])) for _ in range(3)]
        self.z = z + 3.0 * bend[0]
        self.y = y + 4.0 * bend[1]
        self.x = x + 4.0 * bend[2]

    def cut(self, low: Sequence[float], high: Sequence[float], margin: float = 16.0) -> Cut:
        """Slices of the box ``low`` to ``high`` (x, y, z mm), with room for the deformation."""
        out = []
        for axis, a, b in zip(self.axes, low[::-1], high[::-1], strict=True):
            start = int(np.searchsorted(axis, a - margin))
            stop = int(np.searchsorted(axis, b + margin))
            out.append(slice(start, max(stop, start)))
        return (out[0], out[1], out[2])

    def around(self, center: Point, reach: float, margin: float = 16.0) -> Cut:
        low = [c - reach for c in center]
        high = [c + reach for c in center]
        return self.cut(low, high, margin)

    def coordinates(self, cut: Cut) -> tuple[Field, Field, Field]:
        """Bent coordinates (x, y, z) of the voxels of ``cut``."""
        return self.x[cut], self.y[cut], self.z[cut]

    def ellipsoid(self, center: Point, radii: Point, turn: float = 0.0) -> tuple[Cut, Field]:
        """Signed distance (mm) of an ellipsoid, turned by ``turn`` radians about z."""
        cut = self.around(center, max(radii))
        x, y, z = self.coordinates(cut)
        return cut, ellipsoid_distance(x, y, z, center, radii, turn)

    def paint(
        self,
        cut: Cut,
        distance: NDArray[np.floating],
        hu: float | NDArray[np.floating],
        name: str | None = None,
    ) -> None:
        """Lay ``hu`` over the canvas where ``distance`` is negative, and label it ``name``.

        Without a name the labels stay as they are (a vessel in the liver is still liver);
        the name ``""`` clears them.
        """
        weight = np.clip(0.5 - distance / _SOFT_MM, 0.0, 1.0)
        self.hu[cut] += weight * (hu - self.hu[cut])
        if name is not None:
            label = self._label(name) if name else 0
            self.labels[cut][weight > 0.5] = label

    def mask(self, name: str) -> MaskArray:
        out: MaskArray = self.labels == self._label(name)
        return out

    def _label(self, name: str) -> int:
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name) + 1


def ellipsoid_distance(
    x: Field, y: Field, z: Field, center: Point, radii: Point, turn: float = 0.0
) -> Field:
    """First-order signed distance (mm) to an ellipsoid."""
    dx, dy, dz = x - center[0], y - center[1], z - center[2]
    if turn:
        c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        dx, dy = c * dx + s * dy, c * dy - s * dx
    a = (dx / radii[0], dy / radii[1], dz / radii[2])
    k0 = np.sqrt(a[0] ** 2 + a[1] ** 2 + a[2] ** 2)
    k1 = np.sqrt(sum((v / r) ** 2 for v, r in zip(a, radii, strict=True)))
    out: Field = (k0 * (k0 - 1.0) / np.maximum(k1, 1e-6)).astype(np.float32)
    return out


def capsule_distance(
    x: Field, y: Field, z: Field, start: Point, end: Point, r0: float, r1: float
) -> Field:
    """Signed distance (mm) to a round cone from ``start`` (radius r0) to ``end`` (radius r1)."""
    ax, ay, az = (e - s for s, e in zip(start, end, strict=True))
    length2 = max(ax * ax + ay * ay + az * az, 1e-6)
    px, py, pz = x - start[0], y - start[1], z - start[2]
    t = np.clip((px * ax + py * ay + pz * az) / length2, 0.0, 1.0)
    gap = np.sqrt((px - t * ax) ** 2 + (py - t * ay) ** 2 + (pz - t * az) ** 2)
    out: Field = (gap - (r0 + t * (r1 - r0))).astype(np.float32)
    return out


def smooth_union(a: Field, b: Field, blend: float) -> Field:
    """Union of two signed distances with a fillet of ``blend`` mm."""
    h = np.clip(0.5 + 0.5 * (b - a) / blend, 0.0, 1.0)
    out: Field = (b + h * (a - b) - blend * h * (1.0 - h)).astype(np.float32)
    return out


Segment = tuple[Point, Point, float, float]


def grow_tree(
    rng: np.random.Generator,
    root: Point,
    heading: Point,
    radius: float,
    *,
    levels: int,
    length: float,
    spread: float = 0.55,
    shrink: float = 0.76,
) -> list[Segment]:
    """A random branching tree of segments that get thinner and shorter at each level."""
    segments: list[Segment] = []
    tips = [(np.asarray(root, float), np.asarray(heading, float), radius, length)]
    for _ in range(levels):
        grown = []
        for start, direction, r, reach in tips:
            children = 2 if rng.random() < 0.85 else 3
            for _ in range(children):
                turned = direction / np.linalg.norm(direction) + rng.normal(0.0, spread, 3)
                turned /= np.linalg.norm(turned)
                end = start + turned * reach * rng.uniform(0.7, 1.25)
                thin = r * shrink * rng.uniform(0.85, 1.1)
                segments.append((_point(start), _point(end), r, thin))
                grown.append((end, turned, thin, reach * 0.82))
        tips = grown
    return segments


def _point(values: NDArray[np.float64]) -> Point:
    return (float(values[0]), float(values[1]), float(values[2]))


def tree_distance(scene: Scene, cut: Cut, segments: Iterable[Segment]) -> Field:
    """Signed distance (mm) to a tree of segments within ``cut``; 5 mm where it is farther."""
    shape = tuple(s.stop - s.start for s in cut)
    out: Field = np.full(shape, 5.0, np.float32)
    for start, end, r0, r1 in segments:
        low = [min(a, b) - r0 - 3.0 for a, b in zip(start, end, strict=True)]
        high = [max(a, b) + r0 + 3.0 for a, b in zip(start, end, strict=True)]
        near = scene.cut(low, high, margin=12.0)
        inner = tuple(
            slice(max(n.start, c.start), min(n.stop, c.stop))
            for n, c in zip(near, cut, strict=True)
        )
        if any(s.stop <= s.start for s in inner):
            continue
        local = tuple(
            slice(s.start - c.start, s.stop - c.start) for s, c in zip(inner, cut, strict=True)
        )
        x, y, z = scene.coordinates((inner[0], inner[1], inner[2]))
        out[local] = np.minimum(out[local], capsule_distance(x, y, z, start, end, r0, r1))
    return out
