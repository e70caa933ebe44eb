"""Whether files say of themselves that a generator made them.

Made images come back: a delivery of ours, or one of another laboratory, is imported as if it were
a scan, and from then on nothing in the voxels tells. So what the files say is remembered.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from pydicom.dataset import Dataset

#: What is remembered with a volume: where it was said.
BY_DICOM = "Synthetic Data (0008,001C) is YES in its DICOM files"
BY_NIFTI = "the description in its NIfTI header begins with SYNTHETIC"
BY_NOTE = "the manifest or sidecar beside it says so"
WARNING = "The files say that their data is synthetic: never take it for a real case."

MANIFEST = "manifest.json"
_WORD = b"SYNTHETIC"
_LARGEST_NOTE = 16_000_000


def dicom_says_so(dataset: Dataset) -> bool:
    """Synthetic Data (0008,001C) is YES."""
    return str(dataset.get("SyntheticData", "")).strip().upper() == "YES"


def description_says_so(description: bytes) -> bool:
    """The field ``descrip`` of a NIfTI header as our own files fill it."""
    return description.strip(b"\0 ").upper().startswith(_WORD)


def notes_say_so(name: str, path: Path, notes: Mapping[str, Path]) -> bool:
    """Whether a JSON file beside an image says that it was made.

    Args:
        name: what the person calls the image, such as ``made/01_ct.nii.gz``.
        path: where it lies.
        notes: JSON files that came along, by name; the image's own folder is looked at as well.
    """
    image = PurePosixPath(name)
    for note in _beside(image, path, notes):
        said = _read(note)
        if str(said.get("SyntheticData", "")).upper() == "YES":
            return True
        if said.get("synthetic") is True and image.name in _listed(said):
            return True
    return False


def _beside(image: PurePosixPath, path: Path, notes: Mapping[str, Path]) -> Iterator[Path]:
    stem = image.name.removesuffix(".gz").removesuffix(".nii")
    for wanted in (f"{stem}.json", MANIFEST):
        known = notes.get(str(image.with_name(wanted)))
        yield known if known is not None else path.with_name(wanted)


def _listed(manifest: dict[str, Any]) -> set[str]:
    variants = manifest.get("variants")
    entries = variants if isinstance(variants, list) else []
    files = [e.get("files") for e in entries if isinstance(e, dict)]
    return {str(name) for names in files if isinstance(names, list) for name in names}


def _read(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty when there is none that can be read."""
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST_NOTE:
            return {}
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
