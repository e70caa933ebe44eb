"""One CT from a file, folder or zip, with the masks drawn on it."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from readerstudy.cases.errors import CasesError
from readerstudy.library.collect import collect, files_below
from readerstudy.library.imaging.deidentify import KEPT, HeaderTally
from readerstudy.library.imaging.dicom.pixels import read_stack
from readerstudy.library.imaging.dicom.stacks import Stack
from readerstudy.library.imaging.errors import GridMismatch, ImagingError
from readerstudy.library.imaging.geometry import Geometry, VolumeData
from readerstudy.library.imaging.masks import choose, open_mask
from readerstudy.library.imaging.nifti import NiftiFile, looks_like_nifti
from readerstudy.library.imaging.scan import scan
from readerstudy.library.imaging.synthetic import BY_NIFTI, BY_NOTE, notes_say_so
from readerstudy.library.imaging.writing.marking import NativeSeries, SourceSlice
from readerstudy.library.importing import nothing_found, parse_spec, plain

#: What a network's window leaves behind: 0 to 1, or -1 to 1.
_SCALED = 1.001


@dataclass(frozen=True)
class Host:
    """A CT in native HU; ``slices`` and ``technical`` are empty unless it came as DICOM.

    ``synthetic`` says where its files say that a generator made it; empty for a scan. ``native``
    holds the UIDs that its files carry; None unless it came as DICOM with all of them.
    """

    data: VolumeData
    format: str
    patient_key: str = ""
    frame_uid: str = ""
    slices: tuple[SourceSlice, ...] = ()
    technical: dict[str, list[str]] = field(default_factory=dict)
    synthetic: str = ""
    native: NativeSeries | None = None


class _Technical(HeaderTally):
    """Only what the allow-list lets through; no report, so no need for the whole profile."""

    def add(self, dataset: Dataset) -> None:
        for tag in KEPT:
            if tag in dataset:
                self._keep(dataset, tag, dataset[tag].keyword)


def read_host(path: Path, *, made: bool = False) -> Host:
    """Read the only CT volume at ``path``: NIfTI, a DICOM folder, a DICOM file or a zip.

    ``made``: a generator made it, so that the remedy for fractions of HU is to round them.

    Raises:
        UserError: there is none or more than one, or it is broken; the sentence names it.
    """
    if path.is_file() and looks_like_nifti(path):
        return Host(
            _nifti(path, path.name, made), "nifti", synthetic=_nifti_says_so(path, path.name)
        )
    with tempfile.TemporaryDirectory(prefix="readerstudy-") as scratch:
        findings = scan(collect(list(files_below(path)), Path(scratch)))
        if not findings.volumes:
            why = nothing_found(findings).removeprefix("Nothing can be imported: ")
            raise CasesError(_named(path, why))
        if len(findings.volumes) > 1:
            names = ", ".join(plain(volume.name) for volume in findings.volumes[:4])
            raise CasesError(
                f"{path.name} holds {len(findings.volumes)} CT volumes ({names}); give the folder "
                "of one series."
            )
        found = findings.volumes[0]
        if not isinstance(found.origin, Stack):
            return Host(_nifti(found.origin, found.name, made), "nifti", synthetic=found.synthetic)
        stack, tally = found.origin, _Technical()
        try:
            data = read_stack(stack, tally)
        except ImagingError as error:
            raise CasesError(_sentence(str(error))) from None
        return Host(
            data,
            "dicom",
            found.patient_key,
            found.frame_uid,
            tuple(
                SourceSlice(
                    item.position, item.instance_uid, item.frame if item.frames > 1 else None
                )
                for item in stack.slices
            ),
            {name: sorted(values) for name, values in tally.kept.items()},
            found.synthetic,
            _native(stack),
        )


def _native(stack: Stack) -> NativeSeries | None:
    first = stack.slices[0]
    uids = (first.study_uid, first.series_uid, first.frame_uid)
    return NativeSeries(*uids) if all(uids) else None


def read_mask(spec: str, grid: Geometry, frame_uid: str = "") -> npt.NDArray[np.bool_]:
    """The mask ``FILE`` or ``FILE#PART`` on the grid of the CT.

    Raises:
        CasesError: missing, no mask, on another grid, or it marks nothing.
    """
    text, parts = parse_spec(spec)
    path = Path(text)
    if not path.is_file():
        raise CasesError(f"There is no mask file {path}; give a NIfTI, SEG or RTSTRUCT file.")
    try:
        reader = open_mask(path)
        if frame_uid and reader.frame_uid and reader.frame_uid != frame_uid:
            raise ImagingError("it was drawn on another scan (another frame of reference)")
        mask = reader.read(choose(reader.segments, parts), grid)
        if not mask.any():
            raise ImagingError("it marks no voxel of the CT")
    except GridMismatch as error:
        remedy = "give a mask drawn on this CT, or resample it to that grid"
        raise CasesError(_named(path, _sentence(f"{error}; {remedy}"))) from None
    except ImagingError as error:
        raise CasesError(_named(path, _sentence(str(error)))) from None
    except OSError as error:
        raise CasesError(_named(path, f"it cannot be read ({error.strerror}).")) from None
    return mask


def file_sha256(paths: Sequence[Path]) -> str:
    """SHA-256 over the bytes of files, in order."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def _nifti_says_so(path: Path, name: str) -> str:
    if NiftiFile(path).says_synthetic():
        return BY_NIFTI
    return BY_NOTE if notes_say_so(name, path, {}) else ""


def _nifti(path: Path, name: str, made: bool) -> VolumeData:
    try:
        file = NiftiFile(path)
        try:
            return file.volume()
        except ImagingError:
            _check_not_scaled(file, made)
            raise
    except ImagingError as error:
        raise CasesError(f"{plain(name)}: {_sentence(str(error))}") from None


def _check_not_scaled(file: NiftiFile, made: bool) -> None:
    """A volume between -1 and 1 went through a network's window: say that instead.

    Raises:
        ImagingError: it is scaled, or made and not rounded.
    """
    stored = file.stored()
    if stored.dtype.kind != "f":
        return
    slope, intercept = file.scaling()
    ends = sorted(float(end) * slope + intercept for end in (stored.min(), stored.max()))
    if np.isfinite(ends).all() and ends[0] >= -_SCALED and ends[1] <= _SCALED:
        raise ImagingError(
            f"its values lie between {ends[0]:g} and {ends[1]:g}: they are scaled, not HU; map "
            "them back through the window of the network and save whole HU"
        )
    if made and np.isfinite(ends).all() and (stored != np.rint(stored)).any():
        raise ImagingError("its values are not whole HU; round them and save 16-bit integers")


def _named(path: Path, sentence: str) -> str:
    name = plain(path.name)
    return sentence if sentence.startswith(f"{name}: ") else f"{name}: {sentence}"


def _sentence(text: str) -> str:
    text = re.sub(r"\s+", " ", plain(text)).strip()
    return text if text.endswith((".", ")")) else f"{text}."
