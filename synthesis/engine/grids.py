"""Between the scanner's grid and a network's: only the region around a lesion ever goes across.

Both grids have the same axes; they share one point, and voxel ``i`` of one lies at
``(i - shared) * spacing`` millimetres from it. Beyond the region the nearest voxel continues.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from synthesis.engine.arrays import Box, Field, MaskArray, Spacing


@dataclass(frozen=True)
class NetworkGrid:
    """A crop on the scanner's grid beside a block on a network's.

    ``native_point`` and ``network_point`` are the index (z, y, x) of the shared point in each.
    """

    native_shape: tuple[int, int, int]
    native_mm: Spacing
    native_point: tuple[float, float, float]
    shape: tuple[int, int, int]
    mm: Spacing
    network_point: tuple[float, float, float]

    @property
    def same(self) -> bool:
        """Whether both grids are one: nothing has to be interpolated then."""
        return (
            self.native_shape == self.shape
            and self.native_mm == self.mm
            and self.native_point == self.network_point
        )

    def to_network(self, array: NDArray[np.generic], *, order: int = 1) -> Field:
        """``array`` on the network's grid, as float32."""
        if self.same:
            return np.array(array, np.float32)
        scale = [b / a for a, b in zip(self.native_mm, self.mm, strict=True)]
        offset = [
            p - q * k for p, q, k in zip(self.native_point, self.network_point, scale, strict=True)
        ]
        out: Field = ndimage.affine_transform(
            np.asarray(array, np.float32),
            np.asarray(scale),
            offset=offset,
            output_shape=self.shape,
            order=order,
            mode="nearest",
            output=np.float32,
        )
        return out

    def to_native(self, array: NDArray[np.generic], region: Box, *, order: int = 1) -> Field:
        """``array`` on the voxels ``region`` of the native crop, as float32."""
        scale = [a / b for a, b in zip(self.native_mm, self.mm, strict=True)]
        offset = [
            q + (start - p) * k
            for p, q, k, start in zip(
                self.native_point, self.network_point, scale, region.start, strict=True
            )
        ]
        out: Field = ndimage.affine_transform(
            np.asarray(array, np.float32),
            np.asarray(scale),
            offset=offset,
            output_shape=region.shape,
            order=order,
            mode="nearest",
            output=np.float32,
        )
        return out

    def mask_to_network(self, mask: MaskArray) -> MaskArray:
        """A hard mask on the network's grid; never empty unless ``mask`` is."""
        out: MaskArray = self.to_network(mask) >= 0.5
        if not out.any() and mask.any():
            # Smaller than one voxel of the network: the voxel nearest to its middle.
            middle = np.argwhere(mask).mean(axis=0)
            nearest = [
                int(np.clip(round((m - p) * a / b + q), 0, n - 1))
                for m, p, a, b, q, n in zip(
                    middle,
                    self.native_point,
                    self.native_mm,
                    self.mm,
                    self.network_point,
                    self.shape,
                    strict=True,
                )
            ]
            out[tuple(nearest)] = True
        return out


def grid_around(
    native_shape: tuple[int, ...],
    native_mm: Spacing,
    network_mm: Spacing,
    *,
    center: tuple[float, float, float] | None = None,
    extent_mm: Spacing | None = None,
    least: tuple[int, int, int] = (32, 32, 32),
    multiple: int = 16,
) -> NetworkGrid:
    """The network's block around ``center`` of a native crop.

    Args:
        native_shape: shape (z, y, x) of the crop.
        native_mm: its spacing (z, y, x) in mm.
        network_mm: the network's spacing (z, y, x) in mm.
        center: index in the crop that falls on the block's middle; the crop's middle by default.
        extent_mm: what the block must cover (z, y, x); the whole crop by default.
        least: smallest block.
        multiple: its sides are multiples of this.
    """
    z, y, x = native_shape
    middle = ((z - 1) / 2.0, (y - 1) / 2.0, (x - 1) / 2.0)
    wanted = extent_mm or (z * native_mm[0], y * native_mm[1], x * native_mm[2])
    sides = [
        int(np.ceil(max(np.ceil(mm / step), low) / multiple) * multiple)
        for mm, step, low in zip(wanted, network_mm, least, strict=True)
    ]
    return NetworkGrid(
        native_shape=(z, y, x),
        native_mm=native_mm,
        native_point=center or middle,
        shape=(sides[0], sides[1], sides[2]),
        mm=network_mm,
        network_point=((sides[0] - 1) / 2.0, (sides[1] - 1) / 2.0, (sides[2] - 1) / 2.0),
    )
