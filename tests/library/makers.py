"""Small CT files made on the spot: DICOM in any syntax, NIfTI, SEG, RTSTRUCT, zips."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    RTStructureSetStorage,
    generate_uid,
)

RNG = np.random.default_rng(20261121)


def phantom(shape: tuple[int, int, int] = (6, 20, 24), seed: int = 0) -> np.ndarray:
    """HU of an ellipse of soft tissue in air, every voxel different enough to notice a mix-up."""
    rng = np.random.default_rng(seed)
    z, y, x = shape
    hu = np.full(shape, -1000, dtype=np.int16)
    yy, xx = np.mgrid[:y, :x]
    inside = ((yy - y / 2) / (y / 2.4)) ** 2 + ((xx - x / 2) / (x / 2.4)) ** 2 < 1
    for k in range(z):
        hu[k][inside] = 40 + k
    return (hu + rng.integers(-12, 13, shape)).astype(np.int16)


def slice_dataset(
    plane: np.ndarray,
    index: int,
    *,
    spacing: tuple[float, float, float] = (0.7, 0.8, 2.5),
    origin: tuple[float, float, float] = (-100.0, -90.5, 30.25),
    orientation: tuple[float, ...] = (1, 0, 0, 0, 1, 0),
    step: tuple[float, float, float] | None = None,
    intercept: int = -1024,
    slope: float = 1,
    uids: dict[str, str] | None = None,
) -> FileDataset:
    """One CT slice of HU ``plane``; spacing is (x, y, z) mm, ``step`` the vector between slices."""
    uids = uids or {}
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(None)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = generate_uid(None)
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    ds.StudyInstanceUID = uids.get("study", "1.2.3.1")
    ds.SeriesInstanceUID = uids.get("series", "1.2.3.2")
    ds.FrameOfReferenceUID = uids.get("frame", "1.2.3.3")
    ds.Modality = "CT"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.PatientName = "Doe^Jane"
    ds.PatientID = uids.get("patient", "MRN-4711")
    ds.PatientBirthDate = "19500101"
    ds.StudyDate = "20200102"
    ds.InstanceNumber = index + 1
    normal = np.cross(orientation[:3], orientation[3:])
    move = np.array(step) if step is not None else normal * spacing[2]
    ds.ImagePositionPatient = [f"{v:.8g}" for v in np.array(origin) + move * index]
    ds.ImageOrientationPatient = [f"{v:.10g}" for v in orientation]
    ds.PixelSpacing = [f"{spacing[1]:.8g}", f"{spacing[0]:.8g}"]
    ds.SliceThickness = str(spacing[2])
    ds.Rows, ds.Columns = plane.shape
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 16, 15
    ds.PixelRepresentation = 0
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = str(intercept), str(slope), "HU"
    stored = (plane.astype(np.int64) - intercept) / slope
    ds.PixelData = stored.astype("<u2").tobytes()
    return ds


def write_series(
    folder: Path,
    hu: np.ndarray,
    *,
    edit: Callable[[FileDataset, int], Any] | None = None,
    order: Iterable[int] | None = None,
    prefix: str = "IM",
    **options: Any,
) -> list[Path]:
    """A series under scrambled names; ``edit(dataset, index)`` may return False to skip one."""
    folder.mkdir(parents=True, exist_ok=True)
    names = list(order) if order is not None else list(reversed(range(len(hu))))
    paths = []
    for index, plane in enumerate(hu):
        ds = slice_dataset(plane, index, **options)
        if edit and edit(ds, index) is False:
            continue
        path = folder / f"{prefix}{names[index]}.dcm"
        save(ds, path)
        paths.append(path)
    return paths


def save(ds: Dataset, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds.save_as(path, enforce_file_format=True)


def write_nifti(
    path: Path,
    hu: np.ndarray,
    *,
    affine: np.ndarray | None = None,
    sform: bool = True,
    dtype: Any = None,
    header: Callable[[Any], None] | None = None,
) -> Path:
    """``hu`` is (z, y, x); the default affine (RAS) is that of `slice_dataset`."""
    import nibabel as nib

    if affine is None:
        affine = np.diag([-0.7, -0.8, 2.5, 1.0])
        affine[:3, 3] = [100.0, 90.5, 30.25]
    data = np.asarray(hu).transpose(2, 1, 0) if hu.ndim == 3 else np.asarray(hu)
    image = nib.Nifti1Image(data.astype(dtype or data.dtype), affine)
    image.header.set_xyzt_units("mm")
    image.set_qform(None, 0)
    image.set_sform(affine if sform else None, 1 if sform else 0)
    if header:
        header(image.header)
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    return path


def write_rtstruct(
    path: Path, rois: dict[str, list[np.ndarray]], *, frame_uid: str = "1.2.3.3"
) -> Path:
    """ROIs by name, each a list of closed contours (n, 3) in LPS mm."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = RTStructureSetStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(None)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = RTStructureSetStorage, meta.MediaStorageSOPInstanceUID
    ds.Modality = "RTSTRUCT"
    ds.PatientName = "Doe^Jane"
    reference = Dataset()
    reference.FrameOfReferenceUID = frame_uid
    ds.ReferencedFrameOfReferenceSequence = Sequence([reference])
    structures, contours = [], []
    for number, (name, polygons) in enumerate(rois.items(), 1):
        structure = Dataset()
        structure.ROINumber, structure.ROIName = number, name
        structure.ReferencedFrameOfReferenceUID = frame_uid
        structures.append(structure)
        item = Dataset()
        item.ReferencedROINumber = number
        item.ContourSequence = Sequence([])
        for polygon in polygons:
            contour = Dataset()
            contour.ContourGeometricType = "CLOSED_PLANAR"
            contour.NumberOfContourPoints = len(polygon)
            contour.ContourData = [f"{value:.6g}" for value in np.ravel(polygon)]
            item.ContourSequence.append(contour)
        contours.append(item)
    ds.StructureSetROISequence, ds.ROIContourSequence = Sequence(structures), Sequence(contours)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(ds, path)
    return path


def write_seg(path: Path, series: list[Path], mask: np.ndarray, kind: str = "BINARY") -> Path:
    """A Segmentation by highdicom over the slices of a series (which must be in mask order)."""
    import highdicom as hd
    from pydicom.sr.codedict import codes

    sources = sorted(
        (pydicom.dcmread(file) for file in series), key=lambda ds: float(ds.ImagePositionPatient[2])
    )
    description = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="Liver",
        segmented_property_category=codes.SCT.Organ,
        segmented_property_type=codes.SCT.Liver,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
    )
    for ds in sources:  # what a full CT object carries and highdicom copies
        for keyword in ("PatientSex", "StudyTime", "AccessionNumber", "StudyID"):
            if keyword not in ds:
                setattr(ds, keyword, "")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seg = hd.seg.Segmentation(
            source_images=sources,
            pixel_array=mask.astype(np.float32) if kind == "FRACTIONAL" else mask.astype(np.uint8),
            segmentation_type=kind,
            segment_descriptions=[description],
            series_instance_uid=generate_uid(None),
            series_number=2,
            sop_instance_uid=generate_uid(None),
            instance_number=1,
            manufacturer="Test",
            manufacturer_model_name="Test",
            software_versions="1",
            device_serial_number="1",
        )
        seg.save_as(path)
    return path


def zip_of(path: Path, files: dict[str, bytes | Path]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            if isinstance(content, Path):
                archive.write(content, name)
            else:
                archive.writestr(name, content)
    return path
