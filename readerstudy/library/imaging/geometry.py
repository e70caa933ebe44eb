"""Voxel grids in patient space (LPS, mm) and lossless changes of axis order.

One convention everywhere: arrays are indexed ``(z, y, x)`` = (slice, row, column); index
*coordinates* are written ``(x, y, z)`` = (column, row, slice). Columns of ``direction`` are the
unit vectors, in LPS, along which x, y and z grow. Nothing here resamples.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import permutations, product
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from readerstudy.library.imaging.errors import GeometryError, GridMismatch

Scalar = TypeVar("Scalar", bound=np.generic)
FloatArray = npt.NDArray[np.float64]
Direction = tuple[
    tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]
]

IDENTITY: Direction = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))

# Unit vectors read from text (DICOM "DS") or float32 (NIfTI) are orthogonal to about 1e-6; a
# product above this is a real shear, not rounding (0.001 is a tilt of 0.06 degrees).
ORTHOGONALITY_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Geometry:
    """A regular grid.

    Attributes:
        shape: number of voxels ``(z, y, x)``.
        spacing: mm between voxel centers along ``(x, y, z)``.
        origin: LPS position (mm) of the center of voxel (0, 0, 0).
        direction: 3x3, row-major; columns are unit vectors of index axes x, y, z.

    Raises:
        GeometryError: a size, spacing or direction that describes no regular grid.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: Direction = IDENTITY

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise GeometryError(f"A volume needs three sizes of at least 1, not {self.shape}.")
        numbers = np.array([*self.spacing, *self.origin, *np.ravel(self.direction)])
        if numbers.size != 15 or not np.isfinite(numbers).all():
            raise GeometryError("Spacing, origin or direction holds a value that is not a number.")
        if min(self.spacing) <= 0:
            sizes = " x ".join(f"{value:g}" for value in self.spacing)
            raise GeometryError(f"The voxel spacing {sizes} mm is not positive.")
        axes = np.asarray(self.direction)
        if np.abs(axes.T @ axes - np.eye(3)).max() > ORTHOGONALITY_TOLERANCE:
            raise GeometryError("The three axes of the grid are not at right angles.")

    @classmethod
    def from_affine(cls, affine: npt.ArrayLike, shape: tuple[int, int, int]) -> Geometry:
        """Build from a 4x4 LPS affine on index coordinates ``(x, y, z)`` and a (z, y, x) shape.

        Raises:
            GeometryError: the affine is singular, sheared or not finite.
        """
        matrix = np.asarray(affine, dtype=np.float64)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
            raise GeometryError("The orientation matrix holds a value that is not a number.")
        columns = matrix[:3, :3]
        spacing = np.linalg.norm(columns, axis=0)
        if spacing.min() <= 1e-6:
            raise GeometryError("The orientation matrix is degenerate: an axis has length zero.")
        return cls(
            shape=shape,
            spacing=_triple(spacing),
            origin=_triple(matrix[:3, 3]),
            direction=_nested(columns / spacing),
        )

    def affine_lps(self) -> FloatArray:
        """4x4 matrix from index coordinates (x, y, z) to LPS mm."""
        affine = np.eye(4)
        affine[:3, :3] = np.asarray(self.direction) * np.asarray(self.spacing)
        affine[:3, 3] = self.origin
        return affine

    def index_to_world(self, ijk_xyz: npt.ArrayLike) -> FloatArray:
        """LPS mm of index coordinates ``(..., 3)`` in (x, y, z) order."""
        affine = self.affine_lps()
        points = np.asarray(ijk_xyz, dtype=np.float64)
        return np.asarray(points @ affine[:3, :3].T + affine[:3, 3], dtype=np.float64)

    def world_to_index(self, points: npt.ArrayLike) -> FloatArray:
        """Continuous index coordinates (x, y, z) of LPS mm points ``(..., 3)``."""
        affine = self.affine_lps()
        offset = np.asarray(points, dtype=np.float64) - affine[:3, 3]
        return np.asarray(np.linalg.solve(affine[:3, :3], offset[..., None])[..., 0])

    def corners(self) -> FloatArray:
        """LPS mm of the eight corner voxel centers, shape (8, 3)."""
        limits = [(0, size - 1) for size in self.shape[::-1]]
        return self.index_to_world(list(product(*limits)))

    def same_grid(self, other: Geometry, tol: float | None = None) -> bool:
        """Whether each voxel center lies within ``tol`` mm of the other's (default: 5 % of the
        smallest spacing, far above float32 rounding and far below half a voxel)."""
        if self.shape != other.shape:
            return False
        limit = 0.05 * min(self.spacing) if tol is None else tol
        return bool(np.abs(self.corners() - other.corners()).max() <= limit)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in milliliters."""
        return float(np.prod(self.spacing)) / 1000.0

    def describe(self) -> str:
        """Words for messages: ``512 x 512 x 53 voxels of 0.98 x 0.98 x 3 mm from (-250, ...)``."""
        z, y, x = self.shape
        spacing = " x ".join(f"{value:.4g}" for value in self.spacing)
        origin = ", ".join(f"{value:.1f}" for value in self.origin)
        return f"{x} x {y} x {z} voxels of {spacing} mm, first voxel at ({origin}) mm"


@dataclass(frozen=True)
class VolumeData:
    """A CT volume: int16 HU ``(z, y, x)`` on its native grid.

    Raises:
        GeometryError: type or shape of the array does not fit.
    """

    hu: npt.NDArray[np.int16]
    geometry: Geometry

    def __post_init__(self) -> None:
        if self.hu.dtype != np.int16 or self.hu.shape != self.geometry.shape:
            raise GeometryError(
                f"An array of {self.hu.dtype} {self.hu.shape} is not an int16 volume of shape "
                f"{self.geometry.shape}."
            )

    def content_hash(self) -> str:
        """SHA-256 of HU and geometry, independent of the order in which axes were stored.

        The array is read in LPS axis order, so that a DICOM series and a NIfTI file made from it
        are recognized as the same volume. Geometry is rounded (spacing 1e-3 mm, origin 1e-1 mm,
        direction 1e-3) because text and float32 headers differ in the last digits.
        """
        array, geometry = to_lps_axes(self.hu, self.geometry)
        digest = hashlib.sha256(_rounded(geometry).encode("ascii"))
        for plane in array:
            digest.update(np.ascontiguousarray(plane, dtype="<i2").data)
        return digest.hexdigest()


def to_lps_axes(
    array: npt.NDArray[Scalar], geometry: Geometry
) -> tuple[npt.NDArray[Scalar], Geometry]:
    """Permute and flip axes so that x grows to the Left, y to Posterior, z to Superior.

    Lossless: a view of the same voxels, each at the same position in the patient. An oblique grid
    stays oblique; the nearest axes are taken.
    """
    return _reordered(array, geometry, *_nearest_axes(np.asarray(geometry.direction)))


def native_axis(geometry: Geometry, lps_axis: int) -> tuple[int, bool]:
    """Array axis of the native grid that becomes ``lps_axis`` (0 = z), and whether it is reversed.

    For reading one slice of `to_lps_axes` without touching the others.
    """
    order, flips = _nearest_axes(np.asarray(geometry.direction))
    return 2 - order[2 - lps_axis], flips[2 - lps_axis]


def conform(array: npt.NDArray[Scalar], source: Geometry, target: Geometry) -> npt.NDArray[Scalar]:
    """View of ``array`` in the axis order of ``target`` when both describe the same voxels.

    Raises:
        GridMismatch: the voxels are not the same; the sentence gives both grids.
    """
    relative = np.asarray(target.direction).T @ np.asarray(source.direction)
    moved, geometry = _reordered(array, source, *_nearest_axes(relative))
    if not geometry.same_grid(target):
        raise GridMismatch(f"its grid is {source.describe()}, the volume's {target.describe()}")
    return moved


def _nearest_axes(matrix: FloatArray) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """For each target axis (row): the source axis (column) nearest to it, and whether to flip."""
    best = max(
        permutations(range(3)),
        key=lambda order: sum(abs(float(matrix[row, order[row]])) for row in range(3)),
    )
    return best, tuple(bool(matrix[row, best[row]] < 0) for row in range(3))


def _reordered(
    array: npt.NDArray[Scalar],
    geometry: Geometry,
    order: tuple[int, ...],
    flips: tuple[bool, ...],
) -> tuple[npt.NDArray[Scalar], Geometry]:
    """New index axis ``a`` (0 = x) is old axis ``order[a]``, reversed where ``flips[a]``."""
    sizes = geometry.shape[::-1]
    start = [sizes[old] - 1 if flip else 0 for old, flip in zip(order, flips, strict=True)]
    first = [0, 0, 0]
    for old, index in zip(order, start, strict=True):
        first[old] = index
    signs = np.where(flips, -1.0, 1.0)
    moved = Geometry(
        shape=(sizes[order[2]], sizes[order[1]], sizes[order[0]]),
        spacing=_triple([geometry.spacing[old] for old in order]),
        origin=_triple(geometry.index_to_world(first)),
        direction=_nested(np.asarray(geometry.direction)[:, list(order)] * signs),
    )
    view = array.transpose([2 - order[axis] for axis in (2, 1, 0)])
    steps = tuple(slice(None, None, -1 if flips[axis] else 1) for axis in (2, 1, 0))
    return view[steps], moved


def _rounded(geometry: Geometry) -> str:
    def text(values: npt.ArrayLike, digits: int) -> str:
        # "+ 0.0" turns -0.0 into 0.0, which would otherwise be another text
        return ",".join(f"{value + 0.0:.{digits}f}" for value in np.round(np.ravel(values), digits))

    return "|".join(
        [
            "x".join(str(size) for size in geometry.shape),
            text(geometry.spacing, 3),
            text(geometry.origin, 1),
            text(geometry.direction, 3),
        ]
    )


def _triple(values: npt.ArrayLike) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in np.asarray(values, dtype=np.float64))
    return x, y, z


def _nested(matrix: npt.ArrayLike) -> Direction:
    rows = np.asarray(matrix, dtype=np.float64) + 0.0
    return _triple(rows[0]), _triple(rows[1]), _triple(rows[2])
