"""Array types and the few grid helpers every engine module needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Hu: TypeAlias = NDArray[np.int16]
Field: TypeAlias = NDArray[np.float32]
MaskArray: TypeAlias = NDArray[np.bool_]
Spacing: TypeAlias = tuple[float, float, float]

HU_MIN = -1024
HU_MAX = 3071

#: Scale from a median absolute deviation to the standard deviation of a Gaussian.
MAD_TO_SD = 1.4826
#: Values from which a median is known well enough.
_ENOUGH = 15_000


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


def sphere_ml(diameter_mm: float) -> float:
    """Volume in millilitres of a sphere of ``diameter_mm``."""
    return float(np.pi * diameter_mm**3 / 6000.0)


def robust_sd(values: NDArray[np.floating] | NDArray[np.integer]) -> float:
    """Standard deviation estimated from the median absolute deviation (0 for no values).

    Of very many values every n-th is read: the error stays below one per cent.
    """
    if values.size == 0:
        return 0.0
    values = _fewer(values)
    centered = np.abs(values - np.median(values))
    return float(np.median(centered) * MAD_TO_SD)


def typical(values: NDArray[np.floating] | NDArray[np.integer]) -> float:
    """Median, of every n-th value where there are very many."""
    return float(np.median(_fewer(values)))


def _fewer(
    values: NDArray[np.floating] | NDArray[np.integer],
) -> NDArray[np.floating] | NDArray[np.integer]:
    flat = values.ravel()
    return flat[:: max(1, flat.size // _ENOUGH)]


def smooth(field: Field, sigma_mm: float, spacing_zyx: Spacing, *, mode: str = "nearest") -> Field:
    """Gaussian smoothing with a width in mm; axes too coarse to feel it are left alone."""
    sigma = tuple(0.0 if sigma_mm / s < 0.2 else sigma_mm / s for s in spacing_zyx)
    out: Field = ndimage.gaussian_filter(
        np.asarray(field, np.float32), sigma, mode=mode, truncate=3.0, output=np.float32
    )
    return out


@dataclass(frozen=True)
class Box:
    """A half-open box of voxels: ``start`` and ``stop`` in ``(z, y, x)``."""

    start: tuple[int, int, int]
    stop: tuple[int, int, int]

    @property
    def shape(self) -> tuple[int, int, int]:
        z, y, x = (b - a for a, b in zip(self.start, self.stop, strict=True))
        return (z, y, x)

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        z, y, x = (slice(a, b) for a, b in zip(self.start, self.stop, strict=True))
        return (z, y, x)

    def clipped(self, shape: tuple[int, ...]) -> Box:
        """The part of the box that lies inside an array of ``shape``."""
        start = tuple(min(max(a, 0), n) for a, n in zip(self.start, shape, strict=True))
        stop = tuple(min(max(b, 0), n) for b, n in zip(self.stop, shape, strict=True))
        return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))

    def clipped_to(self, outer: Box) -> Box:
        """The part of the box that lies inside ``outer``."""
        start = tuple(max(a, o) for a, o in zip(self.start, outer.start, strict=True))
        stop = tuple(min(b, o) for b, o in zip(self.stop, outer.stop, strict=True))
        return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))

    def moved(self, by: tuple[int, int, int]) -> Box:
        """The box with ``by`` voxels added to both corners."""
        start = tuple(a + n for a, n in zip(self.start, by, strict=True))
        stop = tuple(b + n for b, n in zip(self.stop, by, strict=True))
        return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))

    def joined(self, other: Box) -> Box:
        """The smallest box that holds both."""
        start = tuple(min(a, b) for a, b in zip(self.start, other.start, strict=True))
        stop = tuple(max(a, b) for a, b in zip(self.stop, other.stop, strict=True))
        return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))

    def within(self, outer: Box) -> tuple[slice, slice, slice]:
        """Slices of this box inside an array that was cut out at ``outer``."""
        z, y, x = (
            slice(a - o, b - o) for a, b, o in zip(self.start, self.stop, outer.start, strict=True)
        )
        return (z, y, x)

    def grown(self, margin_mm: float, spacing_zyx: Spacing) -> Box:
        """The box with ``margin_mm`` more on every side (not clipped)."""
        pad = [int(np.ceil(margin_mm / s)) for s in spacing_zyx]
        start = tuple(a - p for a, p in zip(self.start, pad, strict=True))
        stop = tuple(b + p for b, p in zip(self.stop, pad, strict=True))
        return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def bounding_box(mask: MaskArray) -> Box | None:
    """Smallest box holding every true voxel of a 3-D mask, None for an empty mask."""
    in_plane: MaskArray = np.any(mask, axis=0)
    if not in_plane.any():
        return None
    rows = np.flatnonzero(in_plane.any(axis=1))
    columns = np.flatnonzero(in_plane.any(axis=0))
    y0, y1, x0, x1 = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    slices = np.flatnonzero(mask[:, y0:y1, x0:x1].any(axis=(1, 2)))
    return Box((int(slices[0]), int(y0), int(x0)), (int(slices[-1]) + 1, int(y1), int(x1)))
