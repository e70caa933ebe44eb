"""One DICOM file: is it a CT slice, a mask, or something to leave aside, and where does it lie?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from readerstudy.library.imaging.dicom.files import (
    check_stored,
    number,
    open_dicom,
    transfer_syntax,
)
from readerstudy.library.imaging.errors import ImagingError
from readerstudy.library.imaging.limits import MAX_SIDE, MAX_VOXELS
from readerstudy.library.imaging.synthetic import WARNING as SYNTHETIC
from readerstudy.library.imaging.synthetic import dicom_says_so

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
SEGMENTATION = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
STRUCTURED_REPORT = "1.2.840.10008.5.1.4.1.1.88."
DICOMDIR = "1.2.840.10008.1.3.10"
LOSSY = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.81",
         "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.203")  # fmt: skip

Vector = tuple[float, float, float]


class LeftAside(Exception):
    """The file is sound but no CT slice: ``str(error)`` says what it is instead."""


@dataclass(frozen=True, slots=True)
class CtSlice:
    """One plane of one file. Lengths in mm, positions in LPS."""

    path: Path
    name: str
    frame: int
    frames: int
    series_uid: str
    instance_uid: str
    patient_key: str
    frame_uid: str
    acquisition: str
    rows: int
    columns: int
    row_spacing: float
    column_spacing: float
    position: Vector
    along_row: Vector
    along_column: Vector
    slope: float
    intercept: float
    warnings: tuple[str, ...]
    synthetic: bool = False
    study_uid: str = ""


@dataclass(frozen=True, slots=True)
class MaskFile:
    """A SEG or RTSTRUCT file, to be read when someone says what it shows."""

    path: Path
    name: str
    format: str
    frame_uid: str


def read_header(path: Path, name: str) -> list[CtSlice] | MaskFile:
    """All planes of a CT file, or the mask it is.

    Raises:
        LeftAside: it is sound, but neither.
        ImagingError: it is broken, or a CT slice that cannot be read exactly.
    """
    dataset = open_dicom(path, pixels=False)
    try:
        kind = str(dataset.get("SOPClassUID", ""))
        if kind in SEGMENTATION:
            return MaskFile(path, name, "seg", str(dataset.get("FrameOfReferenceUID", "")))
        if kind == RTSTRUCT:
            return MaskFile(path, name, "rtstruct", rtstruct_frame(dataset))
        _leave_aside(dataset, kind)
        enhanced = kind in ENHANCED_CT
        rows, columns, frames = _matrix(dataset, enhanced)
        check_stored(dataset, path, rows * columns * frames * int(dataset.BitsAllocated) // 8)
        _check_decodable(dataset)
        notes = _warnings(dataset)
        return [
            _slice(dataset, path, name, index, (rows, columns, frames), notes, enhanced)
            for index in range(frames)
        ]
    except LeftAside:
        raise
    except ImagingError as error:
        error.series_uid = _series(dataset)
        raise
    except Exception:  # noqa: BLE001 - pydicom parses values late; a bad one can raise anything
        told = ImagingError("its header holds a value that cannot be read")
        told.series_uid = _series(dataset)
        raise told from None


def _series(dataset: Dataset) -> str:
    try:
        return str(dataset.get("SeriesInstanceUID", ""))
    except Exception:  # noqa: BLE001 - broken: then it is unknown
        return ""


def _leave_aside(dataset: Dataset, kind: str) -> None:
    if not kind:
        if "PixelData" in dataset or "Rows" in dataset:
            raise ImagingError("it does not say what kind of image it is (no SOP Class UID)")
        raise ImagingError(
            "it is cut off: nothing but the start of a DICOM header is there; copy it again"
        )
    if kind == DICOMDIR:
        raise LeftAside("an index of a disc (DICOMDIR)")
    if kind.startswith(SECONDARY_CAPTURE + ".") or kind == SECONDARY_CAPTURE:
        raise LeftAside("a secondary capture (screenshot), not a CT slice")
    if kind.startswith(STRUCTURED_REPORT):
        dose = kind in ("1.2.840.10008.5.1.4.1.1.88.67", "1.2.840.10008.5.1.4.1.1.88.68")
        raise LeftAside("a dose report" if dose else "a structured report")
    if kind != CT_IMAGE and kind not in ENHANCED_CT:
        known = UID(kind)
        raise LeftAside(f"not CT ({known.name})" if known.name != kind else "not CT")
    modality = str(dataset.get("Modality", "CT"))
    if modality != "CT":
        raise LeftAside(f"not CT (modality {modality[:16]})")
    types = {str(value).upper() for value in _list(dataset.get("ImageType"))}
    if types & {"LOCALIZER", "SCOUT", "TOPOGRAM"}:
        raise LeftAside("a localizer (scout view)")
    if "DOSE_INFO" in types or "SCREEN SAVE" in types:
        raise LeftAside("a screenshot or dose sheet, not a CT slice")


def _matrix(dataset: Dataset, enhanced: bool) -> tuple[int, int, int]:
    if "Rows" not in dataset or "Columns" not in dataset or "BitsAllocated" not in dataset:
        raise ImagingError("it is cut off: its header ends before the image size")
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    frames = int(dataset.get("NumberOfFrames") or 1)
    if int(dataset.get("SamplesPerPixel", 1)) != 1 or not str(
        dataset.get("PhotometricInterpretation", "MONOCHROME2")
    ).startswith("MONOCHROME"):
        raise LeftAside("a color image (a screenshot or rendering), not a CT slice")
    if str(dataset.get("PhotometricInterpretation", "MONOCHROME2")) == "MONOCHROME1":
        raise ImagingError("its gray scale is inverted (MONOCHROME1), so it holds no HU")
    if not (0 < rows <= MAX_SIDE and 0 < columns <= MAX_SIDE):
        raise ImagingError(
            f"its header claims {columns:,} x {rows:,} pixels; at most {MAX_SIDE:,} a side are read"
        )
    if frames > 1 and not enhanced:
        raise ImagingError(
            f"it is a multi-frame file of {frames} frames without positions; export single slices"
        )
    if frames < 1 or rows * columns * frames > MAX_VOXELS:
        raise ImagingError(f"its header claims {frames:,} frames, more than can be read")
    if int(dataset.BitsAllocated) not in (8, 16, 32):
        raise ImagingError(f"it stores {int(dataset.BitsAllocated)} bits a pixel, not 8, 16 or 32")
    return rows, columns, frames


def _check_decodable(dataset: Dataset) -> None:
    syntax = transfer_syntax(dataset)
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:
        available = False
    if not available:
        raise ImagingError(
            f"its compression ({syntax.name}) cannot be read here; convert it to uncompressed, "
            "JPEG-LS, JPEG 2000 or RLE"
        )


def _slice(
    dataset: Dataset,
    path: Path,
    name: str,
    frame: int,
    size: tuple[int, int, int],
    notes: tuple[str, ...],
    enhanced: bool,
) -> CtSlice:
    groups = _groups(dataset, frame) if enhanced else [dataset]
    spacing = _numbers(groups, "PixelSpacing", 2)
    if min(spacing) <= 0:
        raise ImagingError(
            f"its pixel spacing is {spacing[0]:g} x {spacing[1]:g} mm; it must be positive"
        )
    axes = _numbers(groups, "ImageOrientationPatient", 6)
    along_row, along_column = np.array(axes[:3]), np.array(axes[3:])
    lengths = np.linalg.norm(along_row), np.linalg.norm(along_column)
    if abs(lengths[0] - 1) > 0.01 or abs(lengths[1] - 1) > 0.01:
        raise ImagingError("its image orientation holds no unit vectors")
    if abs(along_row @ along_column) > 0.01:
        raise ImagingError("its rows and columns are not at right angles")
    x, y, z = _numbers(groups, "ImagePositionPatient", 3)
    slope, intercept = _rescale(groups)
    patient = str(dataset.get("PatientID") or "").strip()
    issuer = str(dataset.get("IssuerOfPatientID") or "").strip()
    return CtSlice(
        path=path,
        name=name,
        frame=frame,
        frames=size[2],
        series_uid=str(dataset.get("SeriesInstanceUID", "")),
        instance_uid=str(dataset.get("SOPInstanceUID", "")),
        patient_key=f"{issuer}|{patient}" if patient else _study_key(dataset),
        frame_uid=str(dataset.get("FrameOfReferenceUID", "")),
        acquisition=str(dataset.get("AcquisitionNumber") or ""),
        rows=size[0],
        columns=size[1],
        row_spacing=spacing[0],
        column_spacing=spacing[1],
        position=(x, y, z),
        along_row=_unit(along_row),
        along_column=_unit(along_column),
        slope=slope,
        intercept=intercept,
        warnings=notes,
        synthetic=dicom_says_so(dataset),
        study_uid=str(dataset.get("StudyInstanceUID", "")),
    )


def _study_key(dataset: Dataset) -> str:
    study = str(dataset.get("StudyInstanceUID") or "")
    return f"study|{study}" if study else ""


def _unit(vector: Any) -> Vector:
    x, y, z = (float(value) for value in vector / np.linalg.norm(vector))
    return x, y, z


def _groups(dataset: Dataset, frame: int) -> list[Dataset]:
    """Functional groups of one frame, then the shared ones, flattened to datasets to look in."""
    found: list[Dataset] = []
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    for group in [*per_frame[frame : frame + 1], *shared[:1]]:
        found.extend(item.value[0] for item in group if item.VR == "SQ" and item.value)
    types = {str(value).upper() for item in found for value in _list(item.get("FrameType"))}
    if "LOCALIZER" in types:
        raise LeftAside("a localizer (scout view)")
    return found


def _numbers(groups: list[Dataset], keyword: str, count: int) -> list[float]:
    words = {
        "PixelSpacing": "pixel spacing",
        "ImageOrientationPatient": "image orientation",
        "ImagePositionPatient": "image position",
    }[keyword]
    value = next((group.get(keyword) for group in groups if group.get(keyword) is not None), None)
    if value is None or len(_list(value)) != count:
        raise ImagingError(f"its {words} is missing, so its place in the patient is unknown")
    try:
        return [number(item) for item in _list(value)]
    except (TypeError, ValueError):
        raise ImagingError(f"its {words} holds a value that is not a number") from None


def _rescale(groups: list[Dataset]) -> tuple[float, float]:
    for group in groups:
        if group.get("ModalityLUTSequence"):
            raise ImagingError("it maps gray values through a table, so HU cannot be kept exactly")
        if group.get("RescaleSlope") is None or group.get("RescaleIntercept") is None:
            continue
        kind = str(group.get("RescaleType") or "HU").strip().upper()
        if not kind.startswith("HU") and kind != "US":
            raise ImagingError(f"its values are in {kind[:16]}, not in HU")
        slope, intercept = number(group.RescaleSlope), number(group.RescaleIntercept)
        if slope == 0:
            raise ImagingError("its rescale slope is 0, so all HU would be equal")
        return slope, intercept
    raise ImagingError("it has no rescale slope and intercept, so its values are not HU")


def _warnings(dataset: Dataset) -> tuple[str, ...]:
    notes = []
    if str(dataset.get("BurnedInAnnotation", "")).upper() == "YES":
        notes.append("The scanner says that text is burned into the image: look for names.")
    if str(dataset.get("LossyImageCompression", "")) == "01" or transfer_syntax(dataset) in LOSSY:
        notes.append("The image was once compressed with loss: it may differ from its original.")
    if "DERIVED" in {str(value).upper() for value in _list(dataset.get("ImageType"))[:1]}:
        notes.append("The series is marked DERIVED: it may have been resampled or filtered.")
    if dicom_says_so(dataset):
        notes.append(SYNTHETIC)
    part = str(dataset.get("BodyPartExamined", "")).upper()
    if any(word in part for word in ("HEAD", "BRAIN", "SKULL", "FACE")):
        notes.append("It shows a head: a face can be recognized from CT; remove the face first.")
    return tuple(notes)


def rtstruct_frame(dataset: Dataset) -> str:
    if dataset.get("FrameOfReferenceUID"):
        return str(dataset.FrameOfReferenceUID)
    for item in dataset.get("ReferencedFrameOfReferenceSequence") or []:
        if item.get("FrameOfReferenceUID"):
            return str(item.FrameOfReferenceUID)
    return ""


def _list(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return [value] if isinstance(value, str | int | float) else list(value)
