"""Where this room keeps its files. Names come from ids."""

from __future__ import annotations

import uuid
from pathlib import Path

from readerstudy.storage import data_path


def patch_file(candidate_id: uuid.UUID) -> Path:
    return data_path("candidates", f"{candidate_id}.npz")


def foreign_folder(ticket: uuid.UUID) -> Path:
    """Files sent to be imported as a synthetic volume, until the job has read them."""
    return data_path("foreign", str(ticket))


def recognition_folder(result_id: uuid.UUID) -> Path:
    """The files of one volume that a recognition run looked at."""
    return data_path("recognitions", str(result_id))


def rendition_folder(rendition_id: uuid.UUID) -> Path:
    return data_path("renditions", str(rendition_id))
