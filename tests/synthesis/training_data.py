"""Tiny volumes on disk for the tests of training: two organs, real tumors, partial labels."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np

SIDE = 32
SPACING = 2.0


def tiny_volume(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """HU and labels (0, liver 1, its tumor 2, kidney 3, its tumor 4), indexed (x, y, z)."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(SIDE)] * 3, indexing="ij"))
    label = np.zeros((SIDE,) * 3, np.uint8)
    label[2:19, 2:30, 2:30] = 1
    label[20:30, 4:28, 4:28] = 3
    for value, center in ((2, (9, 9, 20)), (4, (25, 20, 12))):
        distance = np.sqrt(((grid - np.reshape(center, (3, 1, 1, 1))) ** 2).sum(axis=0))
        label[distance < 3.2] = value
    hu = np.choose(label, [-90, 110, 70, 160, 95]) + rng.normal(0, 8, label.shape)
    return np.rint(hu).astype(np.int16), label


def write_nifti(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # The first two axes point to the right and to the front, as in most NIfTI files.
    nibabel.save(nibabel.Nifti1Image(array, np.diag([SPACING, SPACING, SPACING, 1.0])), path)


def write_lists(folder: Path) -> dict[str, list[str]]:
    """Two labelled lists that name one organ each, and an unlabelled one; keys of `data`."""
    names = {
        "liver": {"0": "background", "1": "liver", "2": "cancer of the liver"},
        "kidney": {"0": "background", "3": "kidney", "4": "kidney_tumour"},
        "organs": {"0": "background", "1": "liver", "2": "liver", "3": "kidney", "4": "kidney"},
    }
    names["liver"]["2"] = "liver cancer"
    seed = 0
    for name, labels in names.items():
        kept = [int(value) for value in labels]
        parts: dict[str, list[dict[str, str]]] = {}
        for part, count in (("training", 2), ("validation", 1)):
            for _ in range(count):
                seed += 1
                hu, label = tiny_volume(seed)
                shown = np.where(np.isin(label, kept), label, 0).astype(np.uint8)
                write_nifti(folder / f"ct{seed}.nii.gz", hu)
                write_nifti(folder / f"label{seed}.nii.gz", shown)
                item = {"image": f"ct{seed}.nii.gz", "label": f"./label{seed}.nii.gz"}
                parts.setdefault(part, []).append(item)
        (folder / f"{name}.json").write_text(json.dumps({"labels": labels, **parts}))
    return {
        "labelled": [str(folder / "liver.json"), str(folder / "kidney.json")],
        "unlabelled": [str(folder / "organs.json")],
    }


def tiny_document(folder: Path, out: Path) -> dict:
    """A configuration that trains both stages in seconds; `folder` holds `write_lists`."""
    lists = {
        "labelled": [str(folder / "liver.json"), str(folder / "kidney.json")],
        "unlabelled": [str(folder / "organs.json")],
    }
    every = {"checkpoint_every": 2, "log_every": 1, "samples_every": 0, "validate_every": 0}
    return {
        "out": str(out),
        "tensorboard": False,
        "device": "cpu",
        "data": {
            **lists,
            "cache": str(folder / "cache"),
            "organs": [
                {"name": "liver", "diameter_mm": [6, 12]},
                {"name": "kidney", "diameter_mm": [6, 10]},
            ],
            "spacing_mm": [SPACING] * 3,
            "crop": [24, 24, 24],
        },
        "segmentor": {
            **every,
            "channels": [4, 8],
            "res_units": 0,
            "steps": 4,
            "warmup": 1,
            "lr": 0.01,
            "validation_crops": 2,
        },
        "generator": {
            **every,
            "segmentor_first": True,
            "channels": [4, 8],
            "discriminator_channels": [4, 8],
            "steps": 6,
            "lr": 0.002,
            "validation_crops": 2,
            "loss": {"procedural_steps": 4},
        },
    }
