"""RTSTRUCT: closed contours in slice planes, filled at voxel centers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from readerstudy.library.imaging.dicom.files import open_dicom
from readerstudy.library.imaging.dicom.headers import rtstruct_frame
from readerstudy.library.imaging.errors import GridMismatch, ImagingError
from readerstudy.library.imaging.geometry import FloatArray, Geometry
from readerstudy.library.imaging.masks.base import BoolArray, Segment
from readerstudy.library.imaging.synthetic import dicom_says_so

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
# How far (in slices) a contour may lie from the slice it was drawn on.
OFF_SLICE = 0.25


class RtStructMask:
    """A structure set; segments are its regions of interest that have closed contours.

    Raises:
        ImagingError: the file is broken.
    """

    format = "rtstruct"

    def __init__(self, path: Path) -> None:
        dataset = open_dicom(path, pixels=True)
        try:
            self.frame_uid = rtstruct_frame(dataset)
            self.synthetic = dicom_says_so(dataset)
            names = {
                int(item.ROINumber): str(item.get("ROIName", ""))
                for item in dataset.get("StructureSetROISequence") or []
            }
            self._contours: dict[int, list[FloatArray]] = defaultdict(list)
            for item in dataset.get("ROIContourSequence") or []:
                for contour in item.get("ContourSequence") or []:
                    if str(contour.get("ContourGeometricType", "")) in CLOSED:
                        points = np.array(contour.ContourData, dtype=np.float64).reshape(-1, 3)
                        self._contours[int(item.ReferencedROINumber)].append(points)
        except ImagingError:
            raise
        except Exception:  # noqa: BLE001 - pydicom parses values late
            raise ImagingError("its contours are broken or cut off") from None
        self.segments = [Segment(key, names.get(key, "")) for key in sorted(self._contours)]

    def fits(self, target: Geometry) -> bool:
        try:
            for contours in self._contours.values():
                for points in contours:
                    _plane(target, points)
        except ImagingError:
            return False
        return bool(self._contours)

    def read(self, keys: Sequence[int], target: Geometry) -> BoolArray:
        mask = np.zeros(target.shape, dtype=np.bool_)
        for key in keys:
            mask |= fill_contours(self._contours[key], target)
        return mask


def fill_contours(contours: Sequence[FloatArray], target: Geometry) -> BoolArray:
    """Voxels whose center lies inside an odd number of contours of their slice.

    Args:
        contours: closed polygons in LPS mm, each ``(n, 3)`` and flat in one slice.
        target: the grid, shape (z, y, x).

    Even-odd over all contours of a slice makes an inner contour a hole, and a "keyhole" path that
    enters and leaves by the same line a ring, as the standard means both. A contour given twice
    counts once.

    Raises:
        GridMismatch: a contour lies outside, between or across the slices.
    """
    mask = np.zeros(target.shape, dtype=np.bool_)
    seen: set[bytes] = set()
    for points in contours:
        if len(points) < 3 or (identity := np.round(points, 3).tobytes()) in seen:
            continue
        seen.add(identity)
        axis, index, flat = _plane(target, points)
        plane = np.moveaxis(mask, 2 - axis, 0)[index]
        plane ^= fill_polygon(flat, (plane.shape[0], plane.shape[1]))
    return mask


def fill_polygon(points: FloatArray, shape: tuple[int, int]) -> BoolArray:
    """Even-odd fill at integer coordinates: ``points`` (n, 2) as (x, y), ``shape`` (rows, columns).

    A center on a left or top edge is inside, on a right or bottom edge outside, so that two
    polygons that share an edge never share a voxel.
    """
    rows, columns = shape
    starts, ends = points, np.roll(points, -1, axis=0)
    toggles = np.zeros((rows, columns + 1), dtype=np.int32)
    for (x0, y0), (x1, y1) in zip(starts, ends, strict=True):
        if y0 == y1:
            continue
        if y0 > y1:  # one direction, so that an edge two polygons share rounds to the same voxels
            x0, y0, x1, y1 = x1, y1, x0, y0
        first, last = max(0, int(np.ceil(y0))), min(rows, int(np.ceil(y1)))
        if first >= last:
            continue
        y = np.arange(first, last)
        crossing = np.ceil(x0 + (y - y0) * (x1 - x0) / (y1 - y0)).astype(np.int64)
        np.add.at(toggles, (y, np.clip(crossing, 0, columns)), 1)
    return np.asarray(np.cumsum(toggles, axis=1)[:, :columns] % 2 == 1)


def _plane(target: Geometry, points: FloatArray) -> tuple[int, int, npt.NDArray[Any]]:
    """(flat index axis, slice number, points (n, 2) in the two other axes, lower axis first)."""
    index = target.world_to_index(points)
    axis = int(np.argmin(np.ptp(index, axis=0)))
    depth = index[:, axis]
    number = round(float(np.median(depth)))
    size = target.shape[2 - axis]
    if np.abs(depth - number).max() > OFF_SLICE:
        raise GridMismatch(
            f"a contour at {_at(points)} lies between or across the slices of the volume "
            f"({target.describe()})"
        )
    others = [other for other in range(3) if other != axis]
    flat = index[:, others]
    limits = np.array([target.shape[2 - other] for other in others])
    outside = (flat < -1.0).any() or (flat > limits).any()
    if not 0 <= number < size or outside:
        raise GridMismatch(
            f"a contour at {_at(points)} lies outside the volume ({target.describe()})"
        )
    return axis, number, flat


def _at(points: FloatArray) -> str:
    return "(" + ", ".join(f"{value:.1f}" for value in points.mean(axis=0)) + ") mm"
