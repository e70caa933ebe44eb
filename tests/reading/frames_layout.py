"""Writes frames as the cases room lays them out on disk."""

from __future__ import annotations

import io
import json

import numpy as np

from readerstudy.cases.models import Rendition
from readerstudy.storage import data_path


def encode(plane: np.ndarray, bucket: int) -> bytes:
    """One slice as JPEG-LS, padded with zeros to the bucket."""
    from jpeg_ls import encode_buffer

    rows, columns = plane.shape
    # Signed HU travel as their two's complement, the way DICOM keeps them.
    coded = bytes(encode_buffer(plane.astype("<i2").tobytes(), rows, columns, 1, 16))
    assert len(coded) <= bucket
    return coded.ljust(bucket, b"\0")


def write(rendition: Rendition, hu: np.ndarray, bucket: int) -> None:
    folder = data_path("renditions", str(rendition.pk))
    folder.mkdir()
    (folder / "frames.bin").write_bytes(b"".join(encode(plane, bucket) for plane in hu))
    (folder / "index.json").write_text(json.dumps({"bucket_bytes": bucket, "frames": len(hu)}))
