"""The files of one result: mask, probability, SEG, table, picture and record, all marked.

Every file says in its own way that a network made it: NIfTI in its description, the SEG in its
series, its segments and their algorithm, the picture in a line of text, the record in full.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import readerstudy
from readerstudy.library.imaging.writing.marking import Marking, uid_of
from readerstudy.library.imaging.writing.nifti import pack, write_nifti
from readerstudy.library.imaging.writing.seg import Algorithm, write_result_seg
from readerstudy.storage import atomic_write_bytes

from .finding import FORMAT
from .overlay import overlay_png

if TYPE_CHECKING:
    from readerstudy.cases.delivery.hosts import Host
    from recognition.engine.checkpoints import Loaded
    from recognition.engine.lesions import Lesion

    from .finding import Found, Settings

USE = "Research only: not a medical device, and not checked by a radiologist."
#: Probabilities are stored in steps of this: a byte a voxel.
_STEP = 1 / 250
_SHORT_SHA = 12


def write_files(
    folder: Path, name: str, host: Host, loaded: Loaded, settings: Settings, found: Found
) -> list[dict[str, Any]]:
    """Fill ``folder`` with ``NAME_mask.nii.gz`` and the others; returns the table's rows."""
    geometry = host.data.geometry
    mask = found.organ > 0
    words = f"AI result, {loaded.name[:30]} {loaded.sha256[:_SHORT_SHA]}"
    write_nifti(folder / f"{name}_mask.nii.gz", pack(mask.view(np.uint8)), geometry, words)
    _write_probability(folder / f"{name}_prob.nii.gz", found, host, words)
    write_result_seg(
        folder / f"{name}_seg.dcm",
        {f"{organ} tumor": found.organ == label for label, organ in loaded.config.tumors.items()},
        geometry,
        _marking(host, loaded, settings),
        _algorithm(loaded, settings),
    )
    rows = [_row(lesion, found, host, loaded) for lesion in found.lesions]
    atomic_write_bytes(folder / f"{name}_lesions.csv", _table(rows))
    organ = next(iter(loaded.config.tumors.values()))
    note = f"{words}. {USE}"
    picture = overlay_png(host.data.hu, mask, geometry, organ, found.lesions, note)
    atomic_write_bytes(folder / f"{name}_overlay.png", picture)
    document = {
        "format": FORMAT,
        "name": name,
        "software": _software(),
        "input_sha256": host.data.content_hash(),
        "input_synthetic": host.synthetic,
        "checkpoint": {"name": loaded.name, "sha256": loaded.sha256, **loaded.notes},
        "network": loaded.config.model_dump(mode="json"),
        "settings": asdict(settings),
        "lesions": rows,
        "use": USE,
    }
    text = json.dumps(document, indent=2) + "\n"
    atomic_write_bytes(folder / f"{name}.json", text.encode())
    return rows


def _software() -> str:
    return f"readerstudy {readerstudy.__version__}"


def _algorithm(loaded: Loaded, settings: Settings) -> Algorithm:
    config = loaded.config
    return Algorithm(
        name=f"{loaded.name} ({config.name}-{config.width})",
        sha256=loaded.sha256,
        settings={
            "checkpoint_sha256": loaded.sha256,
            **{key: str(getattr(settings, key)) for key in ("threshold", "smallest_mm", "overlap")},
        },
    )


def _marking(host: Host, loaded: Loaded, settings: Settings) -> Marking:
    from readerstudy.cases.delivery.files import BODY_PARTS

    digest = host.data.content_hash()
    organs = list(loaded.config.tumors.values())
    parts = {BODY_PARTS.get(organ, "") for organ in organs}
    native = host.native if settings.source_uids else None
    return Marking(
        subject=f"AI-{digest[:10].upper()}",
        key=str(uid_of("recognition", digest, loaded.sha256, json.dumps(asdict(settings)))),
        derivation=(
            f"Tumors ({', '.join(organs)}) found by the network {loaded.name}, weights sha256 "
            f"{loaded.sha256}, probability from {settings.threshold:g}, with {_software()}. {USE}"
        ),
        description=f"tumors, {loaded.name}",
        software=_software(),
        body_part=parts.pop() if len(parts) == 1 else "",
        technical=host.technical,
        slices=host.slices,
        result=True,
        synthetic=bool(host.synthetic),
        native=native,
    )


def _write_probability(path: Path, found: Found, host: Host, words: str) -> None:
    import nibabel as nib

    from readerstudy.library.imaging.nifti import RAS_TO_LPS

    affine = RAS_TO_LPS @ host.data.geometry.affine_lps()
    steps = np.rint(found.probability / _STEP).astype(np.uint8)
    image = nib.Nifti1Image(steps.transpose(2, 1, 0), affine)
    image.header["descrip"] = words.encode()[:79]
    image.header.set_slope_inter(_STEP, 0)  # with a slope set nibabel stores values as they are
    nib.save(image, path)


def _row(lesion: Lesion, found: Found, host: Host, loaded: Loaded) -> dict[str, Any]:
    z, y, x = lesion.centroid
    world = host.data.geometry.index_to_world((x, y, z))
    organ = loaded.config.tumors[int(found.organ[lesion.center])]
    return {
        "lesion": lesion.number,
        "organ": organ,
        "diameter_mm": round(lesion.diameter_mm, 2),
        "volume_ml": round(lesion.volume_ml, 4),
        "probability": round(lesion.probability, 4),
        **{f"index_{axis}": round(v, 1) for axis, v in zip("xyz", (x, y, z), strict=True)},
        **{f"lps_{axis}_mm": round(float(v), 2) for axis, v in zip("xyz", world, strict=True)},
    }


_COLUMNS = ["lesion", "organ", "diameter_mm", "volume_ml", "probability"]
_COLUMNS += [f"index_{axis}" for axis in "xyz"] + [f"lps_{axis}_mm" for axis in "xyz"]


def _table(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
