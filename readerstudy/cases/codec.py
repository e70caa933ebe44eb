"""Encoding of frames: JPEG-LS lossless, signed 16 bit, padded to one size.

The padding is zero bytes after the end-of-image marker. Decoders stop at that marker (checked
with CharLS through pyjpegls and pydicom here, and with the viewer's WebAssembly build), and the
size on the wire no longer depends on how well a frame compresses.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

TRANSFER_SYNTAX = "1.2.840.10008.1.2.4.80"
_SMALLEST_BUCKET = 4096
_STEP = 1.25


def encode_frame(frame: npt.NDArray[np.int16]) -> bytes:
    """One frame (rows, columns) of int16 HU, losslessly."""
    import jpeg_ls

    rows, columns = frame.shape
    # JPEG-LS knows no sign: the bit pattern travels as it is, and the viewer is told it is signed.
    data = np.ascontiguousarray(frame, dtype="<i2").tobytes()
    encoded = jpeg_ls.encode_pixel_data(
        data, rows=rows, columns=columns, samples_per_pixel=1, bits_stored=16
    )
    return bytes(encoded)


def decode_frame(data: bytes) -> npt.NDArray[np.int16]:
    """The frame in `data`, padded or not."""
    import jpeg_ls

    pixels, info = jpeg_ls.decode_pixel_data(data)
    return np.frombuffer(pixels, "<i2").reshape(info["height"], info["width"])


def bucket_for(largest: int) -> int:
    """The smallest size of a ladder (4 KiB, times 1.25 each) that holds `largest` bytes."""
    size = _SMALLEST_BUCKET
    while size < largest:
        size = int(-(-size * _STEP // 1024)) * 1024
    return size


def pad(data: bytes, bucket: int) -> bytes:
    """Raises ValueError when the frame is larger than the bucket."""
    if len(data) > bucket:
        raise ValueError(f"a frame of {len(data)} bytes does not fit into {bucket}")
    return data + bytes(bucket - len(data))
