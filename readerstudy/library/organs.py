"""Organ masks made here, for volumes that came without: see ``recognition.engine.organs``."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from readerstudy.jobs.models import Job
from readerstudy.jobs.services import enqueue
from readerstudy.library.imaging.geometry import VolumeData, conform, to_lps_axes
from recognition.engine import organs as engine
from recognition.engine.errors import RecognitionError

from . import selectors, services
from .errors import LibraryError
from .models import Mask, Volume

JOB = "library.organ"
METHODS = ("auto", *engine.METHODS)
#: What is stored with a mask about where it comes from.
_FROM = {engine.THRESHOLD: "threshold", engine.TOTAL: "TotalSeg"}
_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def organ_mask(data: VolumeData, organ: str, method: str = "auto") -> npt.NDArray[np.bool_]:
    """The mask of an organ on the grid of a volume.

    Raises:
        LibraryError: no method makes it, its package is not installed, or it is not there.
    """
    hu, lps = to_lps_axes(data.hu, data.geometry)
    try:
        mask = engine.segment_organ(hu, lps.spacing, _RAS @ lps.affine_lps(), organ, method)
    except RecognitionError as error:
        raise LibraryError(str(error)) from None
    return np.ascontiguousarray(conform(mask, lps, data.geometry))


def method_for(organ: str, method: str = "auto") -> str:
    """The method that will make a mask. Raises LibraryError when there is none."""
    try:
        return engine.method_for(organ, method)
    except RecognitionError as error:
        raise LibraryError(str(error)) from None


def add_organ(volume: Volume, organ: str, method: str = "auto", *, actor: Any = None) -> Mask:
    """Make the mask of an organ and store it with the volume.

    Raises:
        LibraryError: see `organ_mask`; or the volume has a mask of it already.
    """
    _check_new(volume, organ)
    chosen = method_for(organ, method)
    data = VolumeData(selectors.load_ct(volume), selectors.geometry(volume))
    array = organ_mask(data, organ, chosen)
    made = services.MaskData(Mask.Kind.ORGAN, organ, array, _FROM[chosen])
    return services.add_masks(volume, [made], actor=actor)[0]


def request_organ(volume: Volume, organ: str, *, actor: Any) -> Job:
    """Enqueue the job that makes the mask.

    Raises:
        LibraryError: as `add_organ`, or a mask of this volume is being made already.
    """
    label = services.organ_label(organ)
    _check_new(volume, label)
    method_for(label)
    last = last_job(volume)
    if last is not None and last.is_active:
        raise LibraryError("A mask of this volume is being made already; wait for it to end.")
    params = {"volume_id": str(volume.pk), "organ": label}
    return enqueue(JOB, params, actor=actor, subject=str(volume.pk))


def last_job(volume: Volume) -> Job | None:
    """The newest job that makes a mask of this volume."""
    rows = Job.objects.filter(kind=JOB, subject=str(volume.pk))
    return rows.order_by("-created_at").first()


def offered(volume: Volume) -> list[str]:
    """Organs that a mask can be made of here and that the volume has none of."""
    known = {mask.label for mask in volume.masks.all() if mask.kind == Mask.Kind.ORGAN}
    possible = list(engine.CLASSES) if engine.has_totalsegmentator() else ["lung"]
    return [organ for organ in possible if organ not in known]


def has_all() -> bool:
    """Whether other organs than the lung can be made."""
    return engine.has_totalsegmentator()


def _check_new(volume: Volume, organ: str) -> None:
    if volume.masks.filter(kind=Mask.Kind.ORGAN, label=organ).exists():
        raise LibraryError(
            f"{volume.name} has a mask of the {organ} already; delete it first to make another."
        )
