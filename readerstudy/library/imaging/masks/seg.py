"""DICOM Segmentation: binary, fractional and label map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pixel_array

from readerstudy.library.imaging.dicom.files import open_dicom
from readerstudy.library.imaging.errors import GridMismatch, ImagingError
from readerstudy.library.imaging.geometry import Geometry
from readerstudy.library.imaging.limits import MAX_SIDE, MAX_VOXELS
from readerstudy.library.imaging.masks.base import BoolArray, Segment
from readerstudy.library.imaging.synthetic import dicom_says_so

# Share of a voxel a pixel center may lie off a voxel center.
TOLERANCE = 0.1


class SegMask:
    """A Segmentation file. Frames are placed one by one, since empty ones are often left out.

    Raises:
        ImagingError: the file is broken or of a kind that has no place in a volume.
    """

    format = "seg"

    def __init__(self, path: Path) -> None:
        self._dataset = open_dicom(path, pixels=True)
        try:
            self._read_header()
        except ImagingError:
            raise
        except Exception:  # noqa: BLE001 - pydicom parses values late
            raise ImagingError("its segmentation header is broken or cut off") from None

    def _read_header(self) -> None:
        dataset = self._dataset
        self.frame_uid = str(dataset.get("FrameOfReferenceUID", ""))
        self.synthetic = dicom_says_so(dataset)
        self._kind = str(dataset.get("SegmentationType", ""))
        if self._kind not in ("BINARY", "FRACTIONAL", "LABELMAP"):
            raise ImagingError(f"its segmentation type {self._kind[:16]!r} cannot be read")
        self.segments = [
            Segment(int(item.SegmentNumber), str(item.get("SegmentLabel", "")))
            for item in dataset.SegmentSequence
            if int(item.SegmentNumber) > 0
        ]
        self._rows, self._columns = int(dataset.Rows), int(dataset.Columns)
        self._frames = [_Frame(dataset, index) for index in range(int(dataset.NumberOfFrames))]
        voxels = self._rows * self._columns * len(self._frames)
        if max(self._rows, self._columns) > MAX_SIDE or voxels > 4 * MAX_VOXELS:
            raise ImagingError("its header claims more pixels than can be read")

    def fits(self, target: Geometry) -> bool:
        try:
            for frame in self._frames:
                self._placement(frame, target)
        except GridMismatch:
            return False
        return True

    def read(self, keys: Sequence[int], target: Geometry) -> BoolArray:
        mask = np.zeros(target.shape, dtype=np.bool_)
        places = [self._placement(frame, target) for frame in self._frames]
        for frame, place, plane in zip(self._frames, places, self._pixels(), strict=True):
            marked = self._marked(plane, frame, keys)
            if marked is None:
                continue
            rows, columns = np.nonzero(marked)
            x, y, z = np.rint(
                place[0][:, None] + place[1][:, None] * columns + place[2][:, None] * rows
            ).astype(np.intp)
            mask[z, y, x] = True
        return mask

    def _marked(self, plane: npt.NDArray[Any], frame: _Frame, keys: Sequence[int]) -> Any:
        if self._kind == "LABELMAP":
            return np.isin(plane, list(keys))
        if frame.segment not in keys:
            return None
        if self._kind == "FRACTIONAL":
            return plane >= 0.5 * int(self._dataset.get("MaximumFractionalValue", 255))
        return plane != 0

    def _pixels(self) -> npt.NDArray[Any]:
        try:
            values = np.asarray(pixel_array(self._dataset, raw=True))
            return values.reshape(len(self._frames), self._rows, self._columns)
        except Exception:  # noqa: BLE001 - each codec fails in its own way
            raise ImagingError("its pixel data is broken or cut off") from None

    def _placement(
        self, frame: _Frame, target: Geometry
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
        """Index coordinates of pixel (0, 0) and steps per column and per row."""
        start = target.world_to_index(frame.position)
        column = target.world_to_index(frame.position + frame.column_step) - start
        row = target.world_to_index(frame.position + frame.row_step) - start
        ends = np.array(
            [
                start + column * c + row * r
                for c in (0, self._columns - 1)
                for r in (0, self._rows - 1)
            ]
        )
        limit = np.array(target.shape[::-1]) - 1
        aligned = np.abs(ends - np.rint(ends)).max() <= TOLERANCE
        unit = all(abs(np.abs(np.rint(step)).sum() - 1) < 1e-9 for step in (column, row))
        inside = (np.rint(ends) >= 0).all() and (np.rint(ends) <= limit).all()
        if not (aligned and unit and inside):
            raise GridMismatch(
                f"its frames are {frame.describe(self._rows, self._columns)}, "
                f"the volume's grid {target.describe()}"
            )
        return start, column, row


class _Frame:
    """Place and segment of one frame."""

    def __init__(self, dataset: Dataset, index: int) -> None:
        own = dataset.PerFrameFunctionalGroupsSequence[index]
        shared = dataset.get("SharedFunctionalGroupsSequence")
        groups = [own, *(shared or [])[:1]]

        def look(sequence: str, keyword: str) -> Any:
            for group in groups:
                if group.get(sequence):
                    return group[sequence].value[0].get(keyword)
            return None

        position = look("PlanePositionSequence", "ImagePositionPatient")
        axes = look("PlaneOrientationSequence", "ImageOrientationPatient")
        spacing = look("PixelMeasuresSequence", "PixelSpacing")
        if position is None or axes is None or spacing is None:
            raise ImagingError("its frames do not say where they lie in the patient")
        self.position = np.array([float(value) for value in position])
        directions = np.array([float(value) for value in axes])
        self.spacing = [float(value) for value in spacing]
        self.column_step = directions[:3] * self.spacing[1]
        self.row_step = directions[3:] * self.spacing[0]
        self.segment = int(look("SegmentIdentificationSequence", "ReferencedSegmentNumber") or 0)

    def describe(self, rows: int, columns: int) -> str:
        at = ", ".join(f"{value:.1f}" for value in self.position)
        size = f"{self.spacing[1]:.4g} x {self.spacing[0]:.4g}"
        return f"{columns} x {rows} pixels of {size} mm, one at ({at}) mm"
