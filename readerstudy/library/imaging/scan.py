"""From files of any kind to the CT volumes and masks they hold, and what was left aside and why."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from readerstudy.library.imaging.deidentify import HeaderTally, looks_burned_in
from readerstudy.library.imaging.dicom.files import looks_like_dicom
from readerstudy.library.imaging.dicom.headers import CtSlice, LeftAside, MaskFile, read_header
from readerstudy.library.imaging.dicom.pixels import read_stack
from readerstudy.library.imaging.dicom.stacks import Stack, group_slices
from readerstudy.library.imaging.errors import ImagingError
from readerstudy.library.imaging.geometry import Geometry, VolumeData
from readerstudy.library.imaging.masks import MaskReader, Segment, open_mask
from readerstudy.library.imaging.nifti import NiftiFile, looks_like_nifti
from readerstudy.library.imaging.synthetic import (
    BY_DICOM,
    BY_NIFTI,
    BY_NOTE,
    WARNING,
    notes_say_so,
)

Progress = Callable[[int, int], None]
BURNED_IN = "Letters seem to be drawn into the image: look for names before you use it."


@dataclass(frozen=True)
class Source:
    """A file to look at: where it is, and what the person calls it."""

    path: Path
    name: str


@dataclass(frozen=True)
class Aside:
    """Files not imported. ``serious``: someone would expect them to be; the run did not succeed."""

    names: tuple[str, ...]
    reason: str
    serious: bool


@dataclass
class FoundVolume:
    """A CT volume that can be read; its geometry is known from headers.

    ``synthetic`` says where it is said that a generator made it; empty for a scan.
    """

    name: str
    format: str
    geometry: Geometry
    patient_key: str
    frame_uid: str
    files: int
    warnings: list[str]
    origin: Stack | Path
    synthetic: str = ""

    @property
    def folder(self) -> PurePosixPath:
        return PurePosixPath(self.name).parent

    def read(self, progress: Progress | None = None) -> tuple[VolumeData, dict[str, Any]]:
        """HU and the de-identification report.

        Raises:
            ImagingError: pixels are broken or no exact HU; the sentence names the file.
        """
        if isinstance(self.origin, Stack):
            tally = HeaderTally()
            data = read_stack(self.origin, tally, progress)
            report = tally.report()
        else:
            try:
                file = NiftiFile(self.origin)
                data = file.volume()
            except ImagingError as error:
                raise ImagingError(f"{self.name}: {error}") from None
            report = {"files": 1, "removed": dict.fromkeys(file.removed(), 1)}
        if looks_burned_in(data.hu):
            self.warnings.append(BURNED_IN)
        return data, report


@dataclass
class FoundMask:
    """A file that can be a mask, and what it marks."""

    path: Path
    name: str
    format: str
    frame_uid: str
    segments: list[Segment]
    synthetic: bool = False

    @property
    def folder(self) -> PurePosixPath:
        return PurePosixPath(self.name).parent

    def open(self) -> MaskReader:
        """Raises ImagingError when the file is no mask; the sentence names it."""
        try:
            return open_mask(self.path)
        except ImagingError as error:
            raise ImagingError(f"{self.name}: {error}") from None


@dataclass
class Findings:
    volumes: list[FoundVolume] = field(default_factory=list)
    masks: list[FoundMask] = field(default_factory=list)
    asides: list[Aside] = field(default_factory=list)


@dataclass(frozen=True)
class _Broken:
    name: str
    reason: str
    series_uid: str


def scan(sources: Iterable[Source], progress: Progress | None = None) -> Findings:
    """Look at each file once. Nothing is decoded but small headers and label maps."""
    findings = Findings()
    slices: list[CtSlice] = []
    broken: list[_Broken] = []
    files = sorted(sources, key=lambda source: _natural(source.name))
    notes = {item.name: item.path for item in files if item.name.lower().endswith(".json")}
    for index, source in enumerate(files):
        _look(source, findings, slices, broken, notes)
        if progress:
            progress(index + 1, len(files))
    slices = _without_broken_series(slices, broken, findings)
    stacks, refused = group_slices(slices)
    findings.volumes.extend(_volume(stack) for stack in stacks)
    findings.asides.extend(Aside(tuple(item.names), item.reason, item.serious) for item in refused)
    findings.volumes.sort(key=lambda volume: _natural(volume.name))
    return findings


def _look(
    source: Source,
    findings: Findings,
    slices: list[CtSlice],
    broken: list[_Broken],
    notes: Mapping[str, Path],
) -> None:
    def aside(reason: str, *, serious: bool) -> None:
        findings.asides.append(Aside((source.name,), reason, serious))

    try:
        with source.path.open("rb") as file:
            head = file.read(256)
        named_dicom = source.name.lower().endswith((".dcm", ".dicom"))
        if not head:
            return aside("it is empty", serious=False)
        if looks_like_dicom(head) or named_dicom:
            try:
                found = read_header(source.path, source.name)
            except ImagingError as error:
                broken.append(_Broken(source.name, str(error), getattr(error, "series_uid", "")))
                return None
            if isinstance(found, MaskFile):
                findings.masks.append(_mask(source))
            else:
                slices.extend(found)
        elif looks_like_nifti(source.path) or source.name.lower().endswith((".nii", ".nii.gz")):
            _look_at_nifti(source, findings, notes)
        else:
            aside("neither DICOM nor NIfTI", serious=False)
    except LeftAside as reason:
        aside(str(reason), serious=False)
    except ImagingError as error:
        aside(str(error), serious=True)
    return None


def _look_at_nifti(source: Source, findings: Findings, notes: Mapping[str, Path]) -> None:
    file = NiftiFile(source.path)
    labels = file.labels()
    noted = notes_say_so(source.name, source.path, notes)
    if labels is not None:
        segments = [Segment(label, f"label {label}") for label in labels]
        made = noted or file.says_synthetic()
        findings.masks.append(FoundMask(source.path, source.name, "nifti", "", segments, made))
        return
    synthetic = BY_NIFTI if file.says_synthetic() else BY_NOTE if noted else ""
    findings.volumes.append(
        FoundVolume(
            name=source.name,
            format="nifti",
            geometry=file.geometry,
            patient_key="",
            frame_uid="",
            files=1,
            warnings=[WARNING] if synthetic else [],
            origin=source.path,
            synthetic=synthetic,
        )
    )


def _mask(source: Source) -> FoundMask:
    reader = open_mask(source.path)
    return FoundMask(
        source.path,
        source.name,
        reader.format,
        reader.frame_uid,
        list(reader.segments),
        reader.synthetic,
    )


def _volume(stack: Stack) -> FoundVolume:
    first = min((item.name for item in stack.slices), key=_natural)
    return FoundVolume(
        name=first,
        format="dicom",
        geometry=stack.geometry,
        patient_key=stack.patient_key,
        frame_uid=stack.frame_uid,
        files=len({item.path for item in stack.slices}),
        warnings=list(stack.warnings),
        origin=stack,
        synthetic=BY_DICOM if stack.synthetic else "",
    )


def _without_broken_series(
    slices: list[CtSlice], broken: list[_Broken], findings: Findings
) -> list[CtSlice]:
    """Drop each series a broken file belongs to: without it the volume would miss a slice.

    A file too broken to say its series speaks for those in its own folder.
    """
    bad: dict[str, str] = {}
    for item in broken:
        folder = PurePosixPath(item.name).parent
        hit = {
            other.series_uid
            for other in slices
            if other.series_uid == item.series_uid
            or (not item.series_uid and PurePosixPath(other.name).parent == folder)
        }
        for series in hit:
            bad.setdefault(series, item.name)
        findings.asides.append(Aside((item.name,), item.reason, serious=True))
    for series, name in bad.items():
        names = tuple(sorted({item.name for item in slices if item.series_uid == series}))
        reason = f"its series would be incomplete without {PurePosixPath(name).name}"
        findings.asides.append(Aside(names, reason, serious=True))
    return [item for item in slices if item.series_uid not in bad]


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key in which IM2 comes before IM10."""
    return [
        (0, int(part), "") if part.isdigit() else (1, 0, part)
        for part in re.split(r"(\d{1,18})", name.lower())
        if part
    ]
