"""Opening one DICOM file within bounds, and saying what is wrong with it."""

from __future__ import annotations

import logging
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.filebase import DicomBytesIO
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from readerstudy.library.imaging.errors import ImagingError
from readerstudy.library.imaging.limits import MAX_HEADER_BYTES, MAX_INFLATED_BYTES

PREAMBLE = 128
UNDEFINED_LENGTH = 0xFFFFFFFF
PIXEL_DATA = 0x7FE00010

# pydicom quotes odd values of a header in warnings and log lines; one can be a name of a patient.
# Values are judged field by field in headers.py instead.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)


def looks_like_dicom(head: bytes) -> bool:
    """From the first 132 bytes: a Part 10 file, or an older file that starts with group 0008."""
    return head[PREAMBLE : PREAMBLE + 4] == b"DICM" or (
        head[:2] == b"\x08\x00" and head[3:4] == b"\x00" and len(head) >= 16
    )


def open_dicom(path: Path, *, pixels: bool) -> FileDataset:
    """Read one file. Without ``pixels`` values above 64 KB stay on disk (their length is known).

    Raises:
        ImagingError: not DICOM, or the structure is broken or larger than the bounds.
    """
    try:
        with path.open("rb") as file:
            head = file.read(PREAMBLE + 16)
        part10 = head[PREAMBLE : PREAMBLE + 4] == b"DICM"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd values are judged by us, field by field
            if part10 and _is_deflated(path):
                return pydicom.dcmread(_inflated(path))
            if not looks_like_dicom(head):
                raise ImagingError("it is not a DICOM file")
            defer = None if pixels else "64 KB"
            dataset = pydicom.dcmread(path, force=not part10, defer_size=defer)
            _check_whole(dataset)
            return dataset if part10 else _with_meta(dataset)
    except ImagingError:
        raise
    except InvalidDicomError:
        raise ImagingError("it is not a DICOM file") from None
    except (MemoryError, RecursionError):
        raise ImagingError("its structure is broken: it asks for too much memory") from None
    except Exception:  # noqa: BLE001 - whatever a parser meets in a broken file
        raise ImagingError("its DICOM structure is broken or cut off") from None


def transfer_syntax(dataset: Dataset) -> UID:
    """The transfer syntax, implicit little endian for files from before Part 10."""
    meta = getattr(dataset, "file_meta", None) or {}
    return UID(str(meta.get("TransferSyntaxUID", ImplicitVRLittleEndian)))


def _check_whole(dataset: FileDataset) -> None:
    """pydicom takes a value that ends with the file for the whole value; even a UID."""
    for element in dataset.values():
        value, length = getattr(element, "value", None), getattr(element, "length", None)
        short = isinstance(value, bytes) and length is not None and len(value) < length
        if short and length != UNDEFINED_LENGTH and element.tag != PIXEL_DATA:
            raise ImagingError("it is cut off in its header; copy it again")


def _with_meta(dataset: FileDataset) -> FileDataset:
    """Give a file from before Part 10 the transfer syntax it was found to have."""
    implicit, little = dataset.original_encoding
    explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    return dataset


def _is_deflated(path: Path) -> bool:
    meta = pydicom.filereader.read_file_meta_info(path)
    return bool(meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian)


def _inflated(path: Path) -> DicomBytesIO:
    """The same file without deflation; pydicom itself would inflate without a bound."""
    meta = pydicom.filereader.read_file_meta_info(path)
    length = int(meta.FileMetaInformationGroupLength)
    with path.open("rb") as file:
        file.seek(PREAMBLE + 4 + 12 + length)
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        body = inflater.decompress(file.read(), MAX_INFLATED_BYTES)
    if inflater.unconsumed_tail:
        raise ImagingError(
            f"it inflates to more than {MAX_INFLATED_BYTES >> 20} MB, which no CT file needs"
        )
    if not inflater.eof:
        raise ImagingError("it is cut off: its deflated data has no end")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    out = DicomBytesIO()
    out.write(b"\0" * PREAMBLE + b"DICM")
    pydicom.filewriter.write_file_meta_info(out, meta)
    out.write(body)
    out.seek(0)
    return out


def check_stored(dataset: Dataset, path: Path, needed: int) -> None:
    """Pixel data is there and, when uncompressed, as long as the header says (``needed`` bytes).

    Raises:
        ImagingError: there is none, or the file ends too early.
    """
    if "PixelData" not in dataset:
        if path.stat().st_size > MAX_HEADER_BYTES:
            raise ImagingError("its pixel data is broken")
        raise ImagingError("it has no pixel data, or the file was cut off before it")
    element: Any = dataset.get_item("PixelData")
    if transfer_syntax(dataset).is_compressed:
        return
    if element.value is None:  # left on disk: its length is a claim of the header
        held = min(element.length, path.stat().st_size - element.value_tell)
    else:
        held = len(element.value)
    if held < needed:
        raise ImagingError(
            f"it is cut off: {held:,} of {needed:,} bytes of pixel data are there; copy it again"
        )


def codestream_size(frame: bytes) -> tuple[int, int] | None:
    """(rows, columns) a JPEG 2000 or JPEG-LS codestream claims for itself, else None.

    Decoders allocate by this, not by the DICOM header, so it is compared before decoding.
    """
    start = frame.find(b"\xff\x4f\xff\x51", 0, 4096)
    if start >= 0 and len(frame) >= start + 24:
        columns, rows, left, top = struct.unpack_from(">4I", frame, start + 8)
        return rows - top, columns - left
    if frame[:2] == b"\xff\xd8":
        marker = frame.find(b"\xff\xf7", 0, 4096)
        if marker >= 0 and len(frame) >= marker + 9:
            rows, columns = struct.unpack_from(">2H", frame, marker + 5)
            return rows, columns
    return None


def number(value: Any) -> float:
    """A DICOM value as a float.

    Raises:
        ValueError: it is no finite number.
    """
    result = float(value)
    if result != result or result in (float("inf"), float("-inf")):
        raise ValueError("not finite")
    return result
