"""Phantoms of a utility study: few labelled ones, tumor-free hosts, and held-out ones."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from readerstudy.storage import atomic_write_bytes

if TYPE_CHECKING:
    import numpy as np

    from recognition.engine.utility.config import Phantoms

#: Field of view of a phantom, and what is kept around its liver (mm).
_FIELD_MM = (240.0, 300.0, 384.0)
_MARGIN_MM = 16.0
_FILES = (("image", "ct"), ("label", "label"))
_LABELS = {"0": "background", "1": "liver", "2": "liver_tumour"}


def make_phantoms(folder: Path, how: Phantoms, tell: Callable[[int, int], None]) -> dict[str, str]:
    """Lists of the phantoms, ``labelled``, ``hosts`` and ``test``; made where they are missing.

    Each phantom draws from its own stream, so that more of one kind change none of the others.
    """
    import numpy as np

    parts = (
        ("labelled", how.labelled, how.labelled_lesions),
        ("hosts", how.hosts, 0),
        ("test", how.test, how.test_lesions),
    )
    stamp = how.model_dump_json()
    lists = {part: str(folder / f"{part}.json") for part, _, _ in parts}
    made_of = folder / "made_of.json"
    if made_of.is_file() and made_of.read_text(encoding="utf-8") == stamp:
        return lists
    total, done = sum(count for _, count, _ in parts), 0
    for kind, (part, count, lesions) in enumerate(parts):
        items = []
        for number in range(count):
            rng = np.random.default_rng([how.seed, kind, number])
            name = f"{part}-{number + 1:02d}"
            diameter = how.labelled_diameter_mm if part == "labelled" else None
            items.append(_make(folder, name, rng, how, lesions, diameter or how.diameter_mm))
            done += 1
            tell(done, total)
        labels = {k: v for k, v in _LABELS.items() if lesions or k != "2"}
        document = {"labels": labels, "training": items}
        atomic_write_bytes(Path(lists[part]), (json.dumps(document, indent=1) + "\n").encode())
    atomic_write_bytes(made_of, stamp.encode())
    return lists


def _make(
    folder: Path,
    name: str,
    rng: np.random.Generator,
    how: Phantoms,
    lesions: int,
    diameter_mm: tuple[float, float],
) -> dict[str, Any]:
    import nibabel as nib
    import numpy as np

    from synthesis.engine.phantoms import make_phantom

    mm = how.spacing_mm
    z, y, x = (round(side / mm) for side in _FIELD_MM)
    phantom = make_phantom(
        rng,
        "abdomen",
        shape=(z, y, x),
        spacing=(mm, mm, mm),
        lesions=lesions,
        lesion_organs=("liver",),
        diameter_mm=diameter_mm,
        noise_hu=how.noise_hu,
    )
    liver = phantom.organs["liver"] | phantom.tumors
    where, margin = np.argwhere(liver), round(_MARGIN_MM / mm)
    cut = tuple(
        slice(max(int(a) - margin, 0), int(b) + 1 + margin)
        for a, b in zip(where.min(axis=0), where.max(axis=0), strict=True)
    )
    label = liver.astype(np.uint8)
    label[phantom.tumors] = 2
    # each file replaces an older one at once: several machines may start a study together
    for part, values in (("ct", phantom.hu[cut]), ("label", label[cut])):
        image = nib.Nifti1Image(values.transpose(2, 1, 0), np.diag([-mm, -mm, mm, 1.0]))
        data = gzip.compress(image.to_bytes(), compresslevel=4, mtime=0)
        atomic_write_bytes(folder / name / f"{name}_{part}.nii.gz", data)
    files = {key: f"{name}/{name}_{part}.nii.gz" for key, part in _FILES}
    return {**files, "patient": name}
