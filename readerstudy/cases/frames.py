"""Reading the frames of a rendition: plain file reads, no database, nothing that knows an arm."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from uuid import UUID

from .paths import rendition_folder

FRAMES, INDEX = "frames.bin", "index.json"


@lru_cache(maxsize=2048)
def _layout(folder: str) -> tuple[int, int]:
    """Bytes of one frame and number of frames; renditions never change once written."""
    with open(os.path.join(folder, INDEX), encoding="utf-8") as file:
        index = json.load(file)
    return int(index["bucket_bytes"]), int(index["frames"])


def read_frame(rendition_id: UUID, index: int) -> bytes:
    """One encoded frame with its padding.

    Raises:
        IndexError: the rendition has no such frame.
        FileNotFoundError: the rendition is not in the data directory.
    """
    folder = str(rendition_folder(rendition_id))
    size, count = _layout(folder)
    if not 0 <= index < count:
        raise IndexError(f"rendition {rendition_id} has no frame {index}")
    descriptor = os.open(os.path.join(folder, FRAMES), os.O_RDONLY)
    try:
        return os.pread(descriptor, size, index * size)
    finally:
        os.close(descriptor)
