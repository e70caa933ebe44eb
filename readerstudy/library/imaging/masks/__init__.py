"""Masks as NIfTI label maps, DICOM SEG and RTSTRUCT, read onto the voxel grid of a volume."""

from __future__ import annotations

from readerstudy.library.imaging.masks.base import MaskReader, Segment, choose
from readerstudy.library.imaging.masks.reading import open_mask

__all__ = ["MaskReader", "Segment", "choose", "open_mask"]
