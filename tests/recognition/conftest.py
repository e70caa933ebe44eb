"""Tiny labelled volumes on disk, in the layout of the Medical Decathlon."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.recognition.masks import ball

SHAPE = (20, 32, 32)
MM = (4.0, 4.0, 4.0)


def write_volume(folder: Path, name: str, seed: int, *, tumor: bool = True) -> dict[str, str]:
    """A liver of 60 HU in fat, with a darker ball in it; orientation LPS."""
    rng = np.random.default_rng(seed)
    liver = ball(SHAPE, (10, 16, 16), 36, MM)
    center = (10, 16 + rng.integers(-3, 4), 16 + rng.integers(-3, 4))
    lesion = ball(SHAPE, center, 11, MM) & tumor
    hu = np.where(liver, 60, -100) + rng.normal(0, 8, SHAPE)
    hu[lesion] -= 70
    label = liver.astype(np.uint8)
    label[lesion] = 2
    affine = np.diag([-MM[0], -MM[1], MM[2], 1.0])
    for part, values, kind in (("ct", hu, np.int16), ("label", label, np.uint8)):
        image = nib.Nifti1Image(values.transpose(2, 1, 0).astype(kind), affine)
        nib.save(image, folder / f"{name}_{part}.nii.gz")
    return {"image": f"{name}_ct.nii.gz", "label": f"{name}_label.nii.gz"}


@pytest.fixture(scope="module")
def lists(tmp_path_factory) -> Path:
    """labelled.json: five volumes with tumors; unlabelled.json: two that only show the liver."""
    folder = tmp_path_factory.mktemp("decathlon")
    labelled = [write_volume(folder, f"a{k}", k) for k in range(5)]
    free = [write_volume(folder, f"b{k}", 10 + k, tumor=False) for k in range(2)]
    both = {"0": "background", "1": "liver", "2": "liver_tumour"}
    for name, labels, items in (
        ("labelled", both, labelled),
        ("unlabelled", {"0": "background", "1": "Liver"}, free),
    ):
        document = {"labels": labels, "training": items}
        (folder / f"{name}.json").write_text(json.dumps(document))
    return folder


@pytest.fixture
def settings_of(lists, tmp_path):
    """The document of a tiny run."""

    def make(**changes):
        document = {
            "out": str(tmp_path / "run"),
            "device": "cpu",
            "data": {
                "labelled": str(lists / "labelled.json"),
                "spacing_mm": [4, 4, 4],
                "crop": [16, 16, 16],
                "cache": str(lists / "cache"),
            },
            "network": {"name": "segresnet", "width": 4},
            "optimizer": {"steps": 6, "batch": 2, "lr": 0.003, "warmup": 1},
            "logging": {"checkpoint_every": 2, "log_every": 2, "tensorboard": False},
        }
        for key, value in changes.items():
            section, _, name = key.partition("__")
            if name:
                document.setdefault(section, {})[name] = value
            else:
                document[section] = value
        return document

    return make
