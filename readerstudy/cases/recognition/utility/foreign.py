"""Volumes made elsewhere, such as a diffusion model's: a list, or a folder in a known layout."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from readerstudy.cases.errors import CasesError
from readerstudy.storage import atomic_write_bytes

_NIFTI = re.compile(r"\.nii(\.gz)?$")
#: Names of a CT and of its mask, which may carry these endings.
_IMAGE, _LABEL = ("_ct", "_image", "_0000", ""), ("_label", "_mask", "_seg", "")


def as_list(given: str, organ: str, lists: Path) -> str:
    """A list of the volumes at ``given``: itself, one in the folder, or one written for it.

    A folder holds ``dataset.json``, or ``imagesTr`` and ``labelsTr``, or CT and masks side by side
    (``A_ct.nii.gz`` and ``A_label.nii.gz`` or ``A_mask.nii.gz``). Without a ``dataset.json`` 1
    means the organ and 2 its tumor.

    Args:
        given: a list (JSON) or a folder.
        organ: whose tumors the masks show.
        lists: where a list that had to be written goes.

    Raises:
        CasesError: there is nothing there, or a CT without a mask.
    """
    path = Path(given)
    if not path.is_dir():
        return given
    for name in ("dataset.json", "list.json"):
        if (path / name).is_file():
            return str(path / name)
    images = path / "imagesTr" if (path / "imagesTr").is_dir() else path
    labels = path / "labelsTr" if images != path else path
    items = _pairs(images, labels)
    if not items:
        raise CasesError(
            f"{path} holds no CT with a mask; give a list, or a folder with dataset.json, with "
            "imagesTr and labelsTr, or with NAME_ct.nii.gz and NAME_label.nii.gz."
        )
    document = {
        "labels": {"0": "background", "1": organ, "2": f"{organ} tumor"},
        "training": [{"image": str(i), "label": str(m), "patient": n} for n, i, m in items],
    }
    name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    target = lists / f"{path.resolve().name}-{name}.json"
    atomic_write_bytes(target, (json.dumps(document, indent=1) + "\n").encode())
    return str(target)


def _pairs(images: Path, labels: Path) -> list[tuple[str, Path, Path]]:
    files = {p for folder in (images, labels) for p in folder.iterdir() if _NIFTI.search(p.name)}
    stems = {_NIFTI.sub("", p.name): p for p in files if p.parent == labels}
    out = []
    for path in sorted(p for p in files if p.parent == images):
        stem = _NIFTI.sub("", path.name)
        if images == labels and stem.endswith(_LABEL[:-1]):
            continue
        ending = next(e for e in _IMAGE if stem.endswith(e))
        name = stem.removesuffix(ending)
        mask = next((stems[name + e] for e in _LABEL if name + e in stems), None)
        if mask is None or mask == path:
            raise CasesError(
                f"{path} has no mask; put {name}_label.nii.gz beside it, or take it out."
            )
        out.append((name, path.resolve(), mask.resolve()))
    return out
