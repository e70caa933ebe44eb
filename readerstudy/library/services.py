"""All writes of volumes and masks: files beside then renamed, rows and one audit event together."""

from __future__ import annotations

import hashlib
import hmac
import re
import shutil
import uuid
from base64 import b32encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from django.conf import settings
from django.db import IntegrityError, transaction

from readerstudy.audit.services import record
from readerstudy.library.imaging.geometry import VolumeData, conform
from readerstudy.storage import atomic_dir, atomic_file

from . import paths, selectors
from .errors import LibraryError, VolumeInUse
from .models import Mask, Volume

PATIENT_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
LABEL = re.compile(r"[a-z][a-z0-9 _-]{0,39}")
# One word for each organ, whatever the file or the person called it.
SAME_ORGAN = {
    "kidneys": "kidney",
    "lungs": "lung",
    "oesophagus": "esophagus",
    "adrenals": "adrenal gland",
    "uteri": "uterus",
    "hepatic": "liver",
    "renal": "kidney",
}

#: What is remembered of a volume that a person, not a file, calls synthetic.
BY_PERSON = "a person said so"
_LONGEST_MARK = 200


@dataclass(frozen=True)
class MaskData:
    """A mask on the grid of the volume it is stored with: bool ``(z, y, x)``."""

    kind: str
    label: str
    array: npt.NDArray[np.bool_]
    origin_format: str
    synthetic: bool = False


@dataclass
class Stored:
    """What came of storing: the volume, whether it is new, and the masks that are."""

    volume: Volume
    created: bool
    masks: list[Mask] = field(default_factory=list)


def organ_label(text: str) -> str:
    """The label of an organ as it is stored. Raises LibraryError when it is no plain word."""
    label = " ".join(text.strip().lower().replace("_", " ").split())
    label = SAME_ORGAN.get(label, label)
    if not LABEL.fullmatch(label):
        raise LibraryError(
            f"{text!r} cannot be the name of an organ: use up to 40 letters, such as liver or lung."
        )
    return label


def patient_code(text: str) -> str:
    """A code given by a person. Raises LibraryError when it cannot be one."""
    code = text.strip()
    if not PATIENT_CODE.fullmatch(code):
        raise LibraryError(
            "The patient code may hold letters, digits, dot, dash and underscore, at most 64; "
            "use a study code, never a name."
        )
    return code


def keyed_code(purpose: str, text: str, length: int = 10) -> str:
    """A code that only this installation can recompute; the text cannot be had back from it."""
    key = settings.PSEUDONYM_KEY.encode()
    digest = hmac.new(key, f"{purpose}\0{text}".encode(), hashlib.sha256).digest()
    return b32encode(digest).decode("ascii")[:length]


def pseudonym(patient_key: str, data: VolumeData) -> str:
    """Code of a patient: keyed from the PatientID, or from the content where there is none."""
    if patient_key:
        return f"P-{keyed_code('patient', patient_key)}"
    return f"N-{data.content_hash()[:10].upper()}"


def frame_code(frame_uid: str) -> str:
    return keyed_code("frame", frame_uid, 16) if frame_uid else ""


def store_volume(
    data: VolumeData,
    masks: Sequence[MaskData] = (),
    *,
    patient: str,
    origin_format: str,
    name: str = "",
    source: str = "",
    frame: str = "",
    report: dict[str, Any] | None = None,
    warnings: Sequence[str] = (),
    synthetic: str = "",
    actor: Any = None,
) -> Stored:
    """Store a de-identified volume and its masks, or add the masks to the equal volume there is.

    Args:
        data: HU and native grid.
        masks: on the grid of ``data``.
        patient: pseudonymous code; see `pseudonym` and `patient_code`.
        origin_format: "dicom", "nifti" or "phantom".
        name: shown to coordinators; made from the patient code when empty.
        frame: `frame_code` of the DICOM frame of reference, if any.
        synthetic: where it is said that a generator made the volume; empty for a scan. The equal
            volume that is here already is marked as well.

    Raises:
        LibraryError: a mask marks nothing or has another shape.
    """
    for mask in masks:
        _check_mask(mask, data.geometry.shape)
    digest = data.content_hash()
    existing = Volume.objects.filter(sha256=digest).first()
    if existing is not None:
        mark_synthetic(existing, synthetic, actor)
        return _add_to_equal(existing, data, masks, actor)
    geometry = data.geometry
    x, y, z = geometry.spacing
    volume = Volume(
        name=name or _next_name(patient),
        patient=patient,
        source=source.strip()[:300],
        sha256=digest,
        rows=geometry.shape[1],
        columns=geometry.shape[2],
        slices=geometry.shape[0],
        spacing_x=x,
        spacing_y=y,
        spacing_z=z,
        origin=list(geometry.origin),
        direction=[value for row in geometry.direction for value in row],
        hu_min=int(data.hu.min()),
        hu_max=int(data.hu.max()),
        origin_format=origin_format,
        frame_code=frame,
        synthetic=synthetic[:_LONGEST_MARK],
        report=report or {},
        warnings=list(warnings),
        created_by=actor,
    )
    rows = [_mask_row(volume, mask) for mask in _unlike(masks)]
    folder = paths.volume_folder(volume.pk)
    with atomic_dir(folder) as beside:
        np.save(beside / "ct.npy", np.ascontiguousarray(data.hu), allow_pickle=False)
        for row, mask in rows:
            _write_mask(beside / f"mask-{row.pk}.npz", mask.array)
    try:
        with transaction.atomic():
            volume.save(force_insert=True)
            for row, _ in rows:
                row.save(force_insert=True)
            record(
                actor,
                "library.volume_imported",
                volume,
                data={
                    "sha256": digest,
                    "patient": patient,
                    "format": origin_format,
                    **({"synthetic": synthetic} if synthetic else {}),
                    "masks": [f"{row.kind}:{row.label}" for row, _ in rows],
                },
            )
    except IntegrityError:
        # Another import stored the same content between the look above and now.
        shutil.rmtree(folder, ignore_errors=True)
        existing = Volume.objects.filter(sha256=digest).first()
        if existing is None:
            raise
        mark_synthetic(existing, synthetic, actor)
        return _add_to_equal(existing, data, masks, actor)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Stored(volume, True, [row for row, _ in rows])


def add_masks(volume: Volume, masks: Sequence[MaskData], *, actor: Any = None) -> list[Mask]:
    """Add masks on the grid of a stored volume; those it has already are left out.

    Raises:
        LibraryError: a mask marks nothing or has another shape.
    """
    shape = (volume.slices, volume.rows, volume.columns)
    for mask in masks:
        _check_mask(mask, shape)
    known = {(mask.sha256, mask.label) for mask in volume.masks.all()}
    rows = [
        (row, mask)
        for row, mask in (_mask_row(volume, mask) for mask in _unlike(masks))
        if (row.sha256, row.label) not in known
    ]
    written: list[Path] = []
    try:
        for row, mask in rows:
            path = paths.mask_file(volume.pk, row.pk)
            with atomic_file(path) as beside:
                _write_mask(beside, mask.array)
            written.append(path)
        with transaction.atomic():
            for row, _ in rows:
                row.save(force_insert=True)
            if rows:
                data = {"masks": [f"{row.kind}:{row.label}" for row, _ in rows]}
                record(actor, "library.masks_added", volume, data=data)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    paths.preview_file(volume.pk).unlink(missing_ok=True)
    return [row for row, _ in rows]


def update_volume(
    volume: Volume, *, name: str, patient: str, source: str, synthetic: bool, actor: Any
) -> None:
    """Correct what is said about a volume. Raises LibraryError for a patient code that is none.

    ``synthetic`` keeps the words of an earlier mark; without it the mark is taken away.
    """
    code = patient_code(patient)
    mark = (volume.synthetic or BY_PERSON) if synthetic else ""
    with transaction.atomic():
        volume.name, volume.patient, volume.source = name.strip()[:200], code, source.strip()[:300]
        volume.synthetic = mark
        volume.save(update_fields=["name", "patient", "source", "synthetic"])
        data = {"patient": code, "synthetic": mark}
        record(actor, "library.volume_changed", volume, data=data)


def mark_synthetic(volume: Volume, synthetic: str, actor: Any) -> None:
    """Remember that a stored volume is synthetic; what was said first stays."""
    if not synthetic or volume.synthetic:
        return
    with transaction.atomic():
        volume.synthetic = synthetic[:_LONGEST_MARK]
        volume.save(update_fields=["synthetic"])
        record(actor, "library.volume_marked", volume, data={"synthetic": volume.synthetic})


def delete_volume(volume: Volume, actor: Any) -> None:
    """Delete a volume nothing was made from, with its masks and files. Raises VolumeInUse."""
    folder = paths.volume_folder(volume.pk)
    with transaction.atomic():
        locked = Volume.objects.select_for_update().get(pk=volume.pk)
        _check_unused(locked)
        data = {"sha256": locked.sha256, "patient": locked.patient}
        record(actor, "library.volume_deleted", locked, data=data)
        locked.delete()
        transaction.on_commit(lambda: _remove_folder(folder))


def delete_mask(mask: Mask, actor: Any) -> None:
    """Delete one mask of a volume nothing was made from. Raises VolumeInUse."""
    path = paths.mask_file(mask.volume_id, mask.pk)
    with transaction.atomic():
        volume = Volume.objects.select_for_update().get(pk=mask.volume_id)
        _check_unused(volume)
        data = {"mask": f"{mask.kind}:{mask.label}", "sha256": mask.sha256}
        record(actor, "library.mask_deleted", volume, data=data)
        mask.delete()
        transaction.on_commit(lambda: path.unlink(missing_ok=True))
    paths.preview_file(volume.pk).unlink(missing_ok=True)


def _check_unused(volume: Volume) -> None:
    if used := selectors.uses(volume):
        raise VolumeInUse(
            f"{volume.name} cannot be changed in this way: {' and '.join(used)} came from it."
        )


def _remove_folder(folder: Path) -> None:
    # renamed first, so that a stop half-way leaves no folder that looks like a volume
    trash = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.part")
    if folder.exists():
        folder.rename(trash)
        shutil.rmtree(trash, ignore_errors=True)


def _add_to_equal(
    volume: Volume, data: VolumeData, masks: Sequence[MaskData], actor: Any
) -> Stored:
    """The same voxels may have been stored in another axis order; masks are turned to that."""
    target = selectors.geometry(volume)
    turned = [
        MaskData(
            mask.kind,
            mask.label,
            np.ascontiguousarray(conform(mask.array, data.geometry, target)),
            mask.origin_format,
            mask.synthetic,
        )
        for mask in masks
    ]
    return Stored(volume, False, add_masks(volume, turned, actor=actor))


def _check_mask(mask: MaskData, shape: tuple[int, int, int]) -> None:
    if mask.array.shape != shape or mask.array.dtype != np.bool_:
        raise LibraryError(f"The {mask.label} mask does not have the shape of the volume.")
    if not mask.array.any():
        raise LibraryError(f"The {mask.label} mask marks no voxel of the volume.")


def _unlike(masks: Sequence[MaskData]) -> list[MaskData]:
    """Without masks that are given twice."""
    seen: dict[tuple[str, str], MaskData] = {}
    for mask in masks:
        seen.setdefault((_mask_hash(mask), mask.label), mask)
    return list(seen.values())


def _mask_hash(mask: MaskData) -> str:
    digest = hashlib.sha256(f"{mask.kind}|{mask.array.shape}|".encode())
    for plane in mask.array:
        digest.update(np.packbits(plane).data)
    return digest.hexdigest()


def _mask_row(volume: Volume, mask: MaskData) -> tuple[Mask, MaskData]:
    voxels = int(np.count_nonzero(mask.array))
    voxel_ml = volume.spacing_x * volume.spacing_y * volume.spacing_z / 1000
    row = Mask(
        volume=volume,
        kind=mask.kind,
        label=mask.label,
        sha256=_mask_hash(mask),
        voxels=voxels,
        volume_ml=voxels * voxel_ml,
        origin_format=mask.origin_format,
        synthetic=mask.synthetic,
    )
    return row, mask


def _write_mask(path: Path, array: npt.NDArray[np.bool_]) -> None:
    bits = np.packbits(array, axis=2)
    with path.open("wb") as file:
        np.savez_compressed(file, bits=bits, shape=np.array(array.shape, dtype=np.int64))


def _next_name(patient: str) -> str:
    return f"{patient} CT {Volume.objects.filter(patient=patient).count() + 1}"
