"""Pixels of a stack as exact int16 HU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby

import numpy as np
import numpy.typing as npt
from pydicom.dataset import FileDataset
from pydicom.encaps import get_frame
from pydicom.pixels.utils import pixel_array

from readerstudy.library.imaging.deidentify import HeaderTally
from readerstudy.library.imaging.dicom.files import (
    check_stored,
    codestream_size,
    open_dicom,
    transfer_syntax,
)
from readerstudy.library.imaging.dicom.headers import CtSlice
from readerstudy.library.imaging.dicom.stacks import Stack
from readerstudy.library.imaging.errors import ImagingError
from readerstudy.library.imaging.geometry import VolumeData
from readerstudy.library.imaging.hounsfield import to_hu

Progress = Callable[[int, int], None]


def read_stack(stack: Stack, tally: HeaderTally, progress: Progress | None = None) -> VolumeData:
    """Decode each slice, apply its own rescale exactly, and tell ``tally`` about each header.

    Raises:
        ImagingError: a file is cut off, does not decode, or holds HU that are no int16.
    """
    hu = np.empty(stack.geometry.shape, dtype=np.int16)
    total = len(stack.slices)
    for index, (item, stored) in enumerate(_planes(stack.slices, tally)):
        try:
            hu[index] = to_hu(stored, item.slope, item.intercept)
        except ImagingError as error:
            raise ImagingError(f"{item.name}: {error}") from None
        if progress:
            progress(index + 1, total)
    return VolumeData(hu, stack.geometry)


def _planes(
    slices: list[CtSlice], tally: HeaderTally
) -> Iterator[tuple[CtSlice, npt.NDArray[np.integer]]]:
    for path, members in groupby(slices, key=lambda item: item.path):
        items = list(members)
        try:
            dataset = open_dicom(path, pixels=True)
            frames = _decode(dataset, items[0])
        except ImagingError as error:
            raise ImagingError(f"{items[0].name}: {error}") from None
        tally.add(dataset)
        for item in items:
            yield item, frames[item.frame]


def _decode(dataset: FileDataset, item: CtSlice) -> npt.NDArray[np.integer]:
    """All frames of one file, ``(frames, rows, columns)``, as stored values."""
    expected = (item.frames, item.rows, item.columns)
    count = item.frames * item.rows * item.columns
    check_stored(dataset, item.path, count * int(dataset.BitsAllocated) // 8)
    _check_codestreams(dataset, item)
    try:
        frames = np.asarray(pixel_array(dataset, raw=True))
    except Exception:  # noqa: BLE001 - each codec fails in its own way on broken data
        raise ImagingError("its pixel data is broken or cut off; copy it again") from None
    if frames.size != count or frames.dtype.kind not in "iu":
        raise ImagingError("its pixel data does not have the size its header says")
    return frames.reshape(expected)


def _check_codestreams(dataset: FileDataset, item: CtSlice) -> None:
    if not transfer_syntax(dataset).is_encapsulated:
        return
    for index in range(item.frames):
        try:
            frame = get_frame(dataset.PixelData, index, number_of_frames=item.frames)
        except Exception:  # noqa: BLE001 - broken fragments raise whatever the parser meets
            raise ImagingError("its pixel data is broken or cut off; copy it again") from None
        claimed = codestream_size(frame)
        if claimed and claimed != (item.rows, item.columns):
            raise ImagingError(
                f"its compressed image is {claimed[1]:,} x {claimed[0]:,} pixels, its header says "
                f"{item.columns:,} x {item.rows:,}"
            )
