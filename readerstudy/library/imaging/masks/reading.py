"""Which reader a mask file needs, by its content."""

from __future__ import annotations

from pathlib import Path

from readerstudy.library.imaging.dicom.files import looks_like_dicom
from readerstudy.library.imaging.dicom.headers import LeftAside, MaskFile, read_header
from readerstudy.library.imaging.errors import ImagingError
from readerstudy.library.imaging.masks.base import MaskReader
from readerstudy.library.imaging.masks.nifti import NiftiMask
from readerstudy.library.imaging.masks.rtstruct import RtStructMask
from readerstudy.library.imaging.masks.seg import SegMask
from readerstudy.library.imaging.nifti import looks_like_nifti


def open_mask(path: Path) -> MaskReader:
    """Open a mask of any known format.

    Raises:
        ImagingError: it is no mask, or it is broken.
    """
    with path.open("rb") as file:
        head = file.read(256)
    if looks_like_dicom(head):
        try:
            found = read_header(path, path.name)
        except LeftAside as reason:
            raise ImagingError(f"it is no mask but {reason}") from None
        if not isinstance(found, MaskFile):
            raise ImagingError("it is a CT slice, not a mask (SEG or RTSTRUCT)")
        return SegMask(path) if found.format == "seg" else RtStructMask(path)
    if looks_like_nifti(path):
        return NiftiMask(path)
    raise ImagingError("it is no mask: NIfTI, DICOM SEG or RTSTRUCT is needed")
