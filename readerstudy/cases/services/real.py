"""Real candidates: each connected lesion of a tumor mask, with the organ it lies in."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db import transaction

from readerstudy.audit.services import record
from readerstudy.cases.errors import CasesError
from readerstudy.cases.measures import as_json
from readerstudy.cases.models import Candidate, SynthesisRun
from readerstudy.cases.patches import real_patch, save_patch
from readerstudy.jobs.models import Job
from readerstudy.jobs.services import enqueue
from readerstudy.library import selectors as library
from readerstudy.library.models import Mask, Volume

#: Smaller marks are stray voxels of a contour, not lesions a reader could judge.
MIN_DIAMETER_MM = 3.0
MIN_VOXELS = 6
#: An organ mask may leave its tumor out, so its surroundings (mm) count as well.
_NEAR_MM = 4.0
_LEAST_OVERLAP = 0.1

Array = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Component:
    """One connected lesion: its voxels within `cut` of the volume."""

    cut: tuple[slice, slice, slice]
    mask: Array


def request_candidates(*, actor: Any) -> Job:
    """Look for real lesions in every scan with a tumor mask, as a job.

    Raises:
        CasesError: no volume has one, or all that have one are synthetic.
    """
    from .runs import REAL

    if not Mask.objects.filter(kind=Mask.Kind.TUMOR).exists():
        raise CasesError(
            "No volume in the library has a tumor mask; import one to get real candidates."
        )
    if not scans_with_tumors():
        raise CasesError(
            "Every tumor mask in the library belongs to a synthetic volume or marks an inserted "
            "lesion; import scans of patients to get real candidates."
        )
    return enqueue(REAL, {}, actor=actor)


def scans_with_tumors() -> list[Volume]:
    """Volumes that may hold real lesions: with a tumor mask, and neither made by a generator."""
    drawn = Mask.objects.filter(kind=Mask.Kind.TUMOR, synthetic=False).values("volume_id")
    rows = Volume.objects.filter(pk__in=drawn, synthetic="").exclude(sha256__in=_imported_made())
    return list(rows.order_by("pk").prefetch_related("masks"))


def refuse_synthetic(volume: Volume) -> None:
    """Raises CasesError when a generator made the volume: nothing in it is a real lesion."""
    why = volume.synthetic
    if not why and volume.sha256 in _imported_made():
        why = "it was imported as the work of another generator"
    if why:
        raise CasesError(
            f"{volume.name} is synthetic ({why}), so no lesion in it counts as real; import the "
            "patient's own scan, or correct its page in the library if this is wrong."
        )


def _imported_made() -> set[str]:
    """Content hashes of volumes that import_synthetic read as made by a generator."""
    facts = SynthesisRun.objects.filter(parameters__has_key="imported")
    found = facts.values_list("parameters__imported__synthetic_sha256", flat=True)
    return {sha for sha in found if sha}


def make_candidates(
    volume: Volume, *, actor: Any = None, min_diameter_mm: float = MIN_DIAMETER_MM
) -> list[Candidate]:
    """Make a pending candidate of each lesion in the tumor masks of `volume`.

    Lesions that are candidates already, and those smaller than `min_diameter_mm` (sphere of
    equal volume) or six voxels, are left out, and so are masks that say that they mark what a
    generator inserted. Returns the new candidates.

    Raises:
        CasesError: the volume is synthetic.
    """
    refuse_synthetic(volume)
    tumors = [m for m in volume.masks.all() if m.kind == Mask.Kind.TUMOR and not m.synthetic]
    if not tumors:
        return []
    from synthesis.engine.grain import grain_hu
    from synthesis.engine.measure import measure_lesion

    hu = library.load_ct(volume)
    spacing = library.geometry(volume).spacing
    organs = {
        mask.label: library.load_mask(mask)
        for mask in volume.masks.all()
        if mask.kind == Mask.Kind.ORGAN
    }
    every = np.logical_or.reduce([library.load_mask(mask) for mask in tumors])
    made = []
    for mask in tumors:
        for number, part in enumerate(components(library.load_mask(mask))):
            identity = _identity(volume, mask, number)
            if Candidate.objects.filter(pk=identity).exists() or _known(volume, part):
                continue
            organ = organ_of(part, organs, spacing, mask.label)
            whole = np.zeros(hu.shape, np.bool_)
            whole[part.cut] = part.mask
            surroundings = organs.get(organ)
            near = None if surroundings is None else surroundings | whole
            others = every & ~whole
            measured = measure_lesion(hu, whole, spacing, organ=near, other_tumors=others)
            if measured.diameter_mm < min_diameter_mm or part.mask.sum() < MIN_VOXELS:
                continue
            grain = grain_hu(hu, whole, spacing, organ=near, other_tumors=others)
            made.append(_store(identity, volume, mask, number, part, organ, measured, grain))
    if made:
        with transaction.atomic():
            Candidate.objects.bulk_create(made, ignore_conflicts=True)
            record(actor, "cases.real_found", volume, data={"candidates": len(made)})
    return made


def components(mask: Array) -> list[Component]:
    """Connected lesions (26 neighbors), in the order of their first voxel."""
    from scipy import ndimage

    labels, _ = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    return [
        Component(cut, labels[cut] == number)
        for number, cut in enumerate(ndimage.find_objects(labels), start=1)
    ]


def _identity(volume: Volume, mask: Mask, number: int) -> uuid.UUID:
    """The same lesion always gets the same id, so that looking twice makes no doubles."""
    return uuid.uuid5(volume.pk, f"real {mask.sha256} {number}")


def _known(volume: Volume, part: Component) -> bool:
    """Whether another mask has given this lesion already (half of the smaller one in common)."""
    from readerstudy.cases.patches import load_patch

    box = [(s.start, s.stop) for s in part.cut]
    for other in volume.candidates.filter(kind=Candidate.Kind.REAL):
        theirs = [tuple(span) for span in other.bbox[::-1]]
        if any(a[0] >= b[1] or b[0] >= a[1] for a, b in zip(box, theirs, strict=True)):
            continue
        patch = load_patch(other)
        low = [min(s.start, o) for s, o in zip(part.cut, patch.offset, strict=True)]
        high = [
            max(s.stop, o + n)
            for s, o, n in zip(part.cut, patch.offset, patch.mask.shape, strict=True)
        ]
        canvas = np.zeros((2, *(h - lo for h, lo in zip(high, low, strict=True))), np.bool_)
        for layer, cut, mask in ((0, part.cut, part.mask), (1, patch.slices, patch.mask)):
            inner = tuple(slice(s.start - lo, s.stop - lo) for s, lo in zip(cut, low, strict=True))
            canvas[(layer, *inner)] = mask
        if (canvas[0] & canvas[1]).sum() * 2 >= min(part.mask.sum(), patch.mask.sum()):
            return True
    return False


def organ_of(
    part: Component, organs: dict[str, Array], spacing: tuple[float, float, float], label: str
) -> str:
    """The organ that the lesion and its near surroundings overlap most, else the mask's label."""
    from scipy import ndimage

    grow = [int(np.ceil(_NEAR_MM / s)) for s in spacing[::-1]]
    shares: dict[str, float] = {}
    for name, organ in organs.items():
        cut = tuple(
            slice(max(0, s.start - g), min(n, s.stop + g))
            for s, g, n in zip(part.cut, grow, organ.shape, strict=True)
        )
        inner = tuple(
            slice(s.start - c.start, s.stop - c.start) for s, c in zip(part.cut, cut, strict=True)
        )
        lesion = np.zeros([c.stop - c.start for c in cut], np.bool_)
        lesion[inner] = part.mask
        near = ndimage.distance_transform_edt(~lesion, sampling=spacing[::-1]) <= _NEAR_MM
        shares[name] = float(organ[cut][near].mean())
    best = max(shares, key=lambda name: shares[name], default="")
    return best if best and shares[best] >= _LEAST_OVERLAP else label


def _store(
    identity: uuid.UUID,
    volume: Volume,
    mask: Mask,
    number: int,
    part: Component,
    organ: str,
    measured: Any,
    grain: float,
) -> Candidate:
    offset = (part.cut[0].start, part.cut[1].start, part.cut[2].start)
    sha256 = save_patch(identity, real_patch(offset, part.mask))
    return Candidate(
        id=identity,
        volume=volume,
        kind=Candidate.Kind.REAL,
        organ=organ,
        lesion_index=number,
        center=[round(value, 1) for value in measured.center],
        bbox=[list(span) for span in measured.bbox],
        diameter_mm=round(measured.diameter_mm, 2),
        volume_ml=round(measured.volume_ml, 4),
        contrast_hu=_finite(measured.contrast_hu),
        provenance={
            "mask": str(mask.pk),
            "mask_sha256": mask.sha256,
            "component": number,
            "volume_sha256": volume.sha256,
        },
        verdict={"measures": {**as_json(measured), **_grain(grain)}},
        patch_sha256=sha256,
    )


def _grain(value: float) -> dict[str, float]:
    return {"grain_hu": round(value, 2)} if np.isfinite(value) else {}


def _finite(value: float) -> float:
    return round(value, 1) if np.isfinite(value) else 0.0
