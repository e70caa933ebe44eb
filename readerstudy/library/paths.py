"""Where the library keeps its files. Names come from ids, never from people."""

from __future__ import annotations

import uuid
from pathlib import Path

from readerstudy.storage import data_path


def volume_folder(volume_id: uuid.UUID) -> Path:
    return data_path("volumes", str(volume_id))


def ct_file(volume_id: uuid.UUID) -> Path:
    return volume_folder(volume_id) / "ct.npy"


def mask_file(volume_id: uuid.UUID, mask_id: uuid.UUID) -> Path:
    return volume_folder(volume_id) / f"mask-{mask_id}.npz"


def preview_file(volume_id: uuid.UUID) -> Path:
    return volume_folder(volume_id) / "preview.png"


def upload_folder(upload_id: uuid.UUID) -> Path:
    return data_path("uploads", str(upload_id))


def upload_file(upload_id: uuid.UUID, file_id: int) -> Path:
    return upload_folder(upload_id) / f"file-{file_id}"


def unpack_folder(upload_id: uuid.UUID) -> Path:
    return upload_folder(upload_id) / "unpacked"
