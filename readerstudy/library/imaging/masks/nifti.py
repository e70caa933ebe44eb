"""NIfTI label maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from readerstudy.library.imaging.errors import GridMismatch, ImagingError
from readerstudy.library.imaging.geometry import Geometry, conform
from readerstudy.library.imaging.masks.base import BoolArray, Segment
from readerstudy.library.imaging.nifti import NiftiFile


class NiftiMask:
    """Each positive whole number is a segment.

    Raises:
        ImagingError: the file is broken or holds anything but few whole numbers from 0.
    """

    format = "nifti"
    frame_uid = ""

    def __init__(self, path: Path) -> None:
        self._file = NiftiFile(path)
        self.synthetic = self._file.says_synthetic()
        labels = self._file.labels()
        if labels is None:
            stored = self._file.stored()
            if stored.dtype.kind == "f" and not np.isfinite(stored).all():
                raise ImagingError(
                    "it holds values that are not a number (NaN), so it is no mask; "
                    "save it with 0 there"
                )
            if not stored.any():
                raise ImagingError(
                    "it marks nothing: all its voxels are 0; give another one or none"
                )
            raise ImagingError("it is no mask: a mask holds 0 and a few whole numbers above 0")
        self.segments = [Segment(label, f"label {label}") for label in labels]

    @property
    def geometry(self) -> Geometry:
        return self._file.geometry

    def fits(self, target: Geometry) -> bool:
        try:
            # a broadcast scalar: the geometry is compared, no voxel is touched
            conform(np.broadcast_to(np.uint8(0), self.geometry.shape), self.geometry, target)
        except GridMismatch:
            return False
        return True

    def read(self, keys: Sequence[int], target: Geometry) -> BoolArray:
        slope, intercept = self._file.scaling()
        values = [(key - intercept) / slope for key in keys]
        stored = conform(self._file.stored(), self.geometry, target)
        return np.ascontiguousarray(np.isin(stored, values))
