"""Data lists from masks in files of their own, as segmentation tools and TCIA leave them.

A description (YAML) says which mask files of which scan make up which classes; what comes out is
a label file for each scan and one Medical Decathlon list for each set of classes. The scans
themselves stay where they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthesis.engine.errors import SynthesisError
from synthesis.engine.training.monitor import write_beside
from synthesis.engine.training.reading import read_yaml

PARTS = ("training", "validation", "unlabelled")
_SCAN_KEYS = ("image", "part", "masks")
_MASK_KEYS = ("file", "values")


def write_lists(description: Path, root: Path, out: Path) -> list[Path]:
    """Write label files and lists for the ``scans`` of a description.

    Each scan has ``image`` (NIfTI, below ``root``), ``part`` (training, validation or
    unlabelled) and ``masks``: class name to a mask file, or to ``{file, values}`` where the file
    holds several labels. Later classes overwrite earlier ones, so tumors come last.

    Returns:
        The lists written: ``labelled-N.json`` for training and validation, ``unlabelled-N.json``.

    Raises:
        SynthesisError: the description makes no sense, or a file is missing or on another grid.
    """
    scans = _scans(description)
    lists: dict[tuple[bool, tuple[str, ...]], dict[str, Any]] = {}
    for number, scan in enumerate(scans, 1):
        where = f"{description}: scan {number}"
        part, classes = scan["part"], tuple(scan["masks"])
        image = root / scan["image"]
        if not image.is_file():
            raise SynthesisError(f"{where}: there is no file {image}; check the root folder.")
        # Lists lie beside each other in one folder: their names keep the labels apart.
        label = f"labels/{number:03d}.nii.gz"
        _write_label(
            image, [_mask(root, where, value) for value in scan["masks"].values()], out, label
        )
        document = lists.setdefault(
            (part == "unlabelled", classes),
            {"labels": {"0": "background", **{str(k): c for k, c in enumerate(classes, 1)}}},
        )
        document.setdefault(part, []).append({"image": str(image.resolve()), "label": label})
    written = []
    counts = {True: 0, False: 0}
    for (free, _), document in lists.items():
        counts[free] += 1
        path = out / f"{'unlabelled' if free else 'labelled'}-{counts[free]}.json"
        write_beside(path, (json.dumps(document, indent=2) + "\n").encode())
        written.append(path)
    return written


def _scans(description: Path) -> list[dict[str, Any]]:
    document = read_yaml(description)
    scans = document.get("scans")
    if not isinstance(scans, list) or not scans:
        raise SynthesisError(f"{description} names no scans; write them below `scans:`.")
    for number, scan in enumerate(scans, 1):
        where = f"{description}: scan {number}"
        if not isinstance(scan, dict) or set(scan) != set(_SCAN_KEYS):
            raise SynthesisError(f"{where} needs the keys {', '.join(_SCAN_KEYS)}, and no others.")
        if scan["part"] not in PARTS:
            raise SynthesisError(
                f"{where}: part is {scan['part']!r}; choose one of: {', '.join(PARTS)}."
            )
        if not isinstance(scan["masks"], dict) or not scan["masks"]:
            raise SynthesisError(f"{where} has no masks; at least one class is needed.")
        if not isinstance(scan["image"], str):
            raise SynthesisError(f"{where}: image must be the path of a NIfTI file.")
    return scans


def _mask(root: Path, where: str, value: Any) -> tuple[Path, tuple[int, ...] | None]:
    """The file of a class, and its values there (None: everything above 0)."""
    values: tuple[int, ...] | None = None
    if isinstance(value, Mapping):
        wanted = value.get("values")
        if set(value) != set(_MASK_KEYS) or not isinstance(wanted, Sequence):
            raise SynthesisError(f"{where}: a mask is a file name or {{file: ..., values: [...]}}.")
        value, values = value["file"], tuple(int(v) for v in wanted)
    file = root / str(value)
    if not file.is_file():
        raise SynthesisError(f"{where}: there is no file {file}; check the root folder.")
    return file, values


def _write_label(
    image: Path, masks: Sequence[tuple[Path, tuple[int, ...] | None]], out: Path, name: str
) -> None:
    import nibabel

    grid: Any = nibabel.load(image)
    label = np.zeros(grid.shape, np.uint8)
    for value, (file, chosen) in enumerate(masks, 1):
        found: Any = nibabel.load(file)
        if found.shape != grid.shape or not np.allclose(found.affine, grid.affine, atol=1e-2):
            raise SynthesisError(f"{file} is not on the grid of {image}; resample it to that grid.")
        array: NDArray[np.float64] = np.asanyarray(found.dataobj)
        label[np.isin(array, chosen) if chosen is not None else array > 0] = value
    made = nibabel.Nifti1Image(label, grid.affine)
    write_beside(out / name, _packed(made))


def _packed(image: Any) -> bytes:
    """A NIfTI image as the bytes of a ``.nii.gz`` file, the same for the same image."""
    import gzip

    return gzip.compress(image.to_bytes(), mtime=0)
