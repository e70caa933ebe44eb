"""One CT in, its tumors out: as arrays, and as a folder of files."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from readerstudy.batch import REQUEST, stamp
from readerstudy.cases.errors import CasesError
from readerstudy.storage import atomic_dir

from .weights import Weights, load

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from recognition.engine.checkpoints import Loaded
    from recognition.engine.lesions import Lesion

#: The layout of a result's folder; one of an older layout is made anew.
FORMAT = 2
_NIFTI = re.compile(r"\.nii(\.gz)?$")


@dataclass(frozen=True)
class Settings:
    """What a result depends on besides the CT and the weights.

    ``source_uids``: the SEG of a DICOM series names that series and its images by their UIDs.
    """

    threshold: float = 0.5
    smallest_mm: float = 3.0
    overlap: float = 0.25
    window: int = 96
    precision: str = "auto"
    source_uids: bool = True


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
    """Whether this CT, unchanged, was looked at with these weights and settings."""
    try:
        stored = json.loads((wanted.out / f"{wanted.name}.json").read_text(encoding="utf-8"))
        request = json.loads((wanted.out / REQUEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if request.get("ct") != stamp(wanted.ct):
        return False
    same = stored.get("settings") == asdict(settings) and stored.get("format") == FORMAT
    return bool(same and stored.get("checkpoint", {}).get("sha256") == sha256)


@dataclass(frozen=True)
class Found:
    """What was found in one CT, on its grid (z, y, x).

    ``organ`` holds the class of the tumor in the voxels of the lesions and 0 elsewhere;
    ``labels`` the number of the lesion; ``probability`` that of any tumor, everywhere.
    """

    organ: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int32]
    probability: npt.NDArray[np.float32]
    lesions: tuple[Lesion, ...]


def find(
    loaded: Loaded,
    hu: npt.NDArray[np.int16],
    spacing: tuple[float, float, float],
    settings: Settings,
    tell: Callable[[int, int], None] | None = None,
) -> Found:
    """Find tumors in one CT; ``tell`` gets the windows done and in all, and may raise to stop."""
    from recognition.engine.inference import recognize
    from recognition.engine.lesions import find_lesions

    precision: Any = settings.precision
    seen = recognize(
        loaded,
        hu,
        spacing,
        roi=(settings.window,) * 3,
        overlap=settings.overlap,
        threshold=settings.threshold,
        precision=precision,
        tell=tell,
    )
    labels, lesions = find_lesions(
        seen.mask, spacing, probability=seen.probability, smallest_mm=settings.smallest_mm
    )
    seen.organ[labels == 0] = 0
    return Found(seen.organ, labels, seen.probability, lesions)


def look(
    wanted: Wanted,
    weights: Weights,
    settings: Settings,
    tell: Callable[[int, int], None] | None = None,
) -> None:
    """Find tumors in one CT and write its folder, whole or not at all.

    Raises:
        CasesError: the CT or the weights cannot be used, or the folder holds something else.
    """
    from readerstudy.cases.delivery.hosts import read_host

    from .files import write_files

    loaded, request = load(weights), {"ct": stamp(wanted.ct)}
    host = read_host(wanted.ct)
    found = find(loaded, host.data.hu, host.data.geometry.spacing, settings, tell)
    if (wanted.out / f"{wanted.name}.json").is_file():
        shutil.rmtree(wanted.out)  # an older result of ours
    try:
        with atomic_dir(wanted.out) as folder:
            write_files(folder, wanted.name, host, loaded, settings, found)
            (folder / REQUEST).write_text(json.dumps(request) + "\n", encoding="utf-8")
    except FileExistsError:
        raise CasesError(
            f"The folder {wanted.out} holds something else; give another one with --out."
        ) from None
