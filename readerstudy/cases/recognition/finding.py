"""One CT in, its tumors out: as arrays, and as a folder of files."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from readerstudy.batch import REQUEST, stamp
from readerstudy.cases.errors import CasesError
from readerstudy.storage import atomic_dir

from .weights import Weights, load

if TYPE_CHECKING:
    from readerstudy.cases.delivery.hosts import Host
    from readerstudy.library.imaging.geometry import VolumeData
    from recognition.engine.checkpoints import Loaded
    from recognition.engine.lesions import Lesion

#: The layout of a result's folder; one of an older layout is made anew.
FORMAT = 3
#: A tumor may bulge out of the mask of its organ by this much.
NEAR_MM = 5.0
_NIFTI = re.compile(r"\.nii(\.gz)?$")


@dataclass(frozen=True)
class Settings:
    """What a result depends on besides the CT and the weights.

    ``source_uids``: the SEG of a DICOM series names that series and its images by their UIDs.
    ``organ``: only tumors of this one are kept; ``inside``: SHA-256 of the organ masks that
    findings must lie in (see `find`), empty where there are none.
    """

    threshold: float = 0.5
    smallest_mm: float = 3.0
    overlap: float = 0.25
    window: int = 96
    precision: str = "auto"
    source_uids: bool = True
    organ: str = ""
    inside: str = ""


@dataclass(frozen=True)
class Wanted:
    """One CT to look at, and the folder of its result; ``organ_mask`` as FILE or FILE#PART."""

    name: str
    ct: Path
    out: Path
    organ_mask: str = ""


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
    data: VolumeData,
    settings: Settings,
    tell: Callable[[int, int], None] | None = None,
    inside: Mapping[str, npt.NDArray[np.bool_]] | None = None,
) -> Found:
    """Find tumors in one CT, which is turned to the patient's axes for the network and back.

    Args:
        loaded: the network.
        data: HU and grid.
        settings: thresholds, and the organ whose tumors are kept.
        tell: gets the windows done and in all, and may raise to stop.
        inside: organ to its mask; what lies more than ``NEAR_MM`` outside is no finding there.
    """
    from readerstudy.library.imaging.geometry import conform, to_lps_axes
    from recognition.engine.inference import recognize
    from recognition.engine.lesions import find_lesions

    spacing = data.geometry.spacing
    turned, lps = to_lps_axes(data.hu, data.geometry)
    precision: Any = settings.precision
    seen = recognize(
        loaded,
        turned,
        lps.spacing,
        roi=(settings.window,) * 3,
        overlap=settings.overlap,
        threshold=settings.threshold,
        precision=precision,
        tell=tell,
    )
    kinds = np.ascontiguousarray(conform(seen.organ, lps, data.geometry))
    probability = np.ascontiguousarray(conform(seen.probability, lps, data.geometry))
    for label, organ in loaded.config.tumors.items():
        tumor = kinds == label
        if settings.organ and organ != settings.organ:
            kinds[tumor] = 0
        elif inside and organ in inside and tumor.any():
            kinds[tumor & ~_grown(inside[organ], spacing)] = 0
    labels, lesions = find_lesions(
        kinds > 0, spacing, probability=probability, smallest_mm=settings.smallest_mm
    )
    kinds[labels == 0] = 0
    return Found(kinds, labels, probability, lesions)


def _grown(mask: npt.NDArray[np.bool_], spacing: tuple[float, float, float]) -> Any:
    """The mask and what lies within ``NEAR_MM`` of it."""
    from scipy import ndimage

    from recognition.engine.arrays import bounds

    box = bounds(mask, margin=math.ceil(NEAR_MM / min(spacing)) + 1)
    grown = np.zeros(mask.shape, np.bool_)
    if box is not None:
        away = ndimage.distance_transform_edt(~mask[box], sampling=spacing[::-1])
        grown[box] = away <= NEAR_MM
    return grown


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
    inside = _organ_mask(wanted, settings, host)
    found = find(loaded, host.data, settings, tell, inside)
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


def _organ_mask(
    wanted: Wanted, settings: Settings, host: Host
) -> dict[str, npt.NDArray[np.bool_]] | None:
    if not wanted.organ_mask:
        return None
    from readerstudy.cases.delivery.hosts import read_mask

    return {settings.organ: read_mask(wanted.organ_mask, host.data.geometry, host.frame_uid)}
