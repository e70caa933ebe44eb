"""NIfTI files of exact integers, compressed block by block and always to the same bytes.

A volume is deflated in blocks of whole planes (as ``pigz`` does: one gzip member, no time stamp).
The blocks go to all cores, and a variant that differs in few planes costs only those.
"""

from __future__ import annotations

import os
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt

from readerstudy.library.imaging.geometry import Geometry
from readerstudy.library.imaging.nifti import RAS_TO_LPS

#: Uncompressed bytes of one block, about; large enough that cutting costs nothing in size.
BLOCK_BYTES = 4 << 20
#: Fast: CT noise does not pack much better at any level.
LEVEL = 1
#: gzip header: deflate, no name, time 0, system unknown.
_GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"
#: An empty final block ends the deflate stream, whatever blocks came before it.
_DEFLATE_END = b"\x03\x00"

IntArray = npt.NDArray[np.int16] | npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Packed:
    """A volume and its deflated blocks, to be used again for volumes that differ little."""

    array: IntArray
    blocks: tuple[bytes, ...]


def pack(array: IntArray, like: Packed | None = None) -> Packed:
    """Deflate ``array`` (z, y, x); blocks equal to those of ``like`` are taken from it."""
    step = _planes(array)
    starts = range(0, len(array), step)
    same = like if like is not None and like.array.shape == array.shape else None

    def block(index: int) -> bytes:
        part = array[starts[index] : starts[index] + step]
        if same is not None:
            theirs = same.array[starts[index] : starts[index] + step]
            if part.dtype == theirs.dtype and np.array_equal(part, theirs):
                return same.blocks[index]
        return _deflate(_bytes(part))

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        return Packed(array, tuple(pool.map(block, range(len(starts)))))


def write_nifti(path: Path, packed: Packed, geometry: Geometry, description: str) -> None:
    """Write ``.nii.gz``: stored integers are the values, slope 1 and intercept 0.

    Args:
        packed: int16 HU or uint8 mask, (z, y, x).
        geometry: its grid; axis order and orientation are written as they are.
        description: ASCII, at most 79 characters; the header field ``descrip``.
    """
    head = header_bytes(packed.array, geometry, description)
    step = _planes(packed.array)
    checksum = zlib.crc32(head)
    for start in range(0, len(packed.array), step):
        checksum = zlib.crc32(_bytes(packed.array[start : start + step]), checksum)
    size = len(head) + packed.array.nbytes
    with path.open("wb") as file:
        file.write(_GZIP_HEAD)
        file.write(_deflate(head))
        file.writelines(packed.blocks)
        file.write(_DEFLATE_END)
        file.write(struct.pack("<II", checksum, size & 0xFFFFFFFF))


def header_bytes(array: IntArray, geometry: Geometry, description: str) -> bytes:
    """The 352 bytes before the voxels of a little-endian NIfTI-1 file."""
    affine = RAS_TO_LPS @ geometry.affine_lps()
    header = nib.Nifti1Header(endianness="<")
    header.set_data_dtype(array.dtype)
    header.set_data_shape(array.shape[::-1])
    header.set_sform(affine, code=1)
    header.set_qform(affine, code=1)
    header.set_xyzt_units("mm")
    header.set_slope_inter(1.0, 0.0)
    header["descrip"] = description.encode("ascii", "replace")[:79]
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    return bytes(header.binaryblock) + b"\0\0\0\0"


def _planes(array: IntArray) -> int:
    return max(1, BLOCK_BYTES // max(1, int(array[0].nbytes)))


def _bytes(part: IntArray) -> memoryview:
    ordered = np.ascontiguousarray(part, dtype=part.dtype.newbyteorder("<"))
    return ordered.reshape(-1).view(np.uint8).data


def _deflate(data: bytes | memoryview) -> bytes:
    """Raw deflate that ends on a byte without ending the stream."""
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush(zlib.Z_FULL_FLUSH)
