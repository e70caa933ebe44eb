"""One CT in, its tumors out as files: mask, probability, table, picture and record."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import readerstudy
from readerstudy.cases.errors import CasesError
from readerstudy.storage import atomic_dir, atomic_write_bytes

if TYPE_CHECKING:
    from readerstudy.cases.delivery.hosts import Host
    from recognition.engine.checkpoints import Loaded
    from recognition.engine.inference import Recognized
    from recognition.engine.lesions import Lesion

#: Probabilities are stored in steps of this: a byte a voxel.
_STEP = 1 / 250
_NIFTI = re.compile(r"\.nii(\.gz)?$")


@dataclass(frozen=True)
class Settings:
    """What a result depends on besides the CT and the weights."""

    threshold: float = 0.5
    smallest_mm: float = 3.0
    overlap: float = 0.25
    window: int = 96
    precision: str = "auto"


@dataclass(frozen=True)
class Wanted:
    """One CT to look at, and the folder of its result."""

    name: str
    ct: Path
    out: Path


def find_scans(ct: Path, out: Path) -> list[Wanted]:
    """The CT at ``ct``, or every one in a folder: NIfTI files, zips, or one folder per series.

    Raises:
        CasesError: there is nothing there.
    """
    if not ct.exists():
        raise CasesError(f"{ct} does not exist; give a NIfTI file, a DICOM folder or a zip.")
    if ct.is_file():
        return [_wanted(ct, out)]
    inside = sorted(path for path in ct.iterdir() if not path.name.startswith("."))
    files = [p for p in inside if p.is_file() and (_NIFTI.search(p.name) or p.suffix == ".zip")]
    if files:
        return [_wanted(path, out) for path in files]
    folders = [path for path in inside if path.is_dir()]
    if folders and not any(path.is_file() for path in inside):
        return [_wanted(path, out) for path in folders]
    if not inside:
        raise CasesError(f"The folder {ct} is empty; give one that holds a CT.")
    return [_wanted(ct.resolve(), out)]


def _wanted(path: Path, out: Path) -> Wanted:
    name = _NIFTI.sub("", path.name).removesuffix(".zip") if path.is_file() else path.name
    return Wanted(name, path, out / name)


def is_done(wanted: Wanted, settings: Settings, sha256: str) -> bool:
    """Whether this CT was looked at with these weights and settings."""
    try:
        stored = json.loads((wanted.out / f"{wanted.name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    same = stored.get("settings") == asdict(settings)
    return bool(same and stored.get("checkpoint", {}).get("sha256") == sha256)


def look(
    wanted: Wanted,
    checkpoint: Path,
    settings: Settings,
    tell: Callable[[int, int], None] | None = None,
) -> None:
    """Find tumors in one CT and write its folder, whole or not at all.

    Raises:
        CasesError: the CT or the weights cannot be used, or the folder holds something else.
    """
    import shutil

    from readerstudy.cases.delivery.hosts import read_host
    from recognition.engine.inference import recognize
    from recognition.engine.lesions import find_lesions

    loaded = load(checkpoint)
    host = read_host(wanted.ct)
    spacing = host.data.geometry.spacing
    precision: Any = settings.precision
    found = recognize(
        loaded,
        host.data.hu,
        spacing,
        roi=(settings.window,) * 3,
        overlap=settings.overlap,
        threshold=settings.threshold,
        precision=precision,
        tell=tell,
    )
    labels, lesions = find_lesions(
        found.mask, spacing, probability=found.probability, smallest_mm=settings.smallest_mm
    )
    found.organ[labels == 0] = 0
    if (wanted.out / f"{wanted.name}.json").is_file():
        shutil.rmtree(wanted.out)  # an older result of ours
    try:
        with atomic_dir(wanted.out) as folder:
            _write(folder, wanted, host, loaded, settings, found, lesions)
    except FileExistsError:
        raise CasesError(
            f"The folder {wanted.out} holds something else; give another one with --out."
        ) from None


@lru_cache(maxsize=2)
def load(checkpoint: Path) -> Loaded:
    """The network, once per process. Raises CasesError when it cannot be used."""
    from recognition.engine.checkpoints import load_checkpoint
    from recognition.engine.errors import RecognitionError

    try:
        loaded = load_checkpoint(checkpoint)
    except RecognitionError as error:
        raise CasesError(str(error)) from None
    if not loaded.config.tumors:
        raise CasesError(f"The network in {checkpoint} knows no tumor; choose another one.")
    return loaded


def _write(
    folder: Path,
    wanted: Wanted,
    host: Host,
    loaded: Loaded,
    settings: Settings,
    found: Recognized,
    lesions: tuple[Lesion, ...],
) -> None:
    import numpy as np

    from readerstudy.library.imaging.writing.nifti import pack, write_nifti

    from .overlay import overlay_png

    geometry, name = host.data.geometry, wanted.name
    mask = (found.organ > 0).astype(np.uint8)
    write_nifti(folder / f"{name}_mask.nii.gz", pack(mask), geometry, "recognized tumor")
    _write_probability(folder / f"{name}_prob.nii.gz", found, host)
    rows = [_row(lesion, found, host, loaded) for lesion in lesions]
    atomic_write_bytes(folder / f"{name}_lesions.csv", _table(rows))
    organ = next(iter(loaded.config.tumors.values()))
    picture = overlay_png(host.data.hu, mask > 0, geometry, organ, lesions)
    atomic_write_bytes(folder / f"{name}_overlay.png", picture)
    document = {
        "name": name,
        "software": f"readerstudy {readerstudy.__version__}",
        "input_sha256": host.data.content_hash(),
        "checkpoint": {"name": loaded.name, "sha256": loaded.sha256, **loaded.notes},
        "network": loaded.config.model_dump(mode="json"),
        "settings": asdict(settings),
        "lesions": rows,
        "use": "Research only: not a medical device, and not checked by a radiologist.",
    }
    text = json.dumps(document, indent=2) + "\n"
    atomic_write_bytes(folder / f"{name}.json", text.encode())


def _write_probability(path: Path, found: Recognized, host: Host) -> None:
    import nibabel as nib
    import numpy as np

    from readerstudy.library.imaging.nifti import RAS_TO_LPS

    affine = RAS_TO_LPS @ host.data.geometry.affine_lps()
    steps = np.rint(found.probability / _STEP).astype(np.uint8)
    image = nib.Nifti1Image(steps.transpose(2, 1, 0), affine)
    image.header.set_slope_inter(_STEP, 0)  # with a slope set nibabel stores values as they are
    nib.save(image, path)


def _row(lesion: Lesion, found: Recognized, host: Host, loaded: Loaded) -> dict[str, Any]:
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
