"""A DICOM CT series of changed HU, on the native grid, that says it is synthetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian
from pydicom.valuerep import format_number_as_ds

from readerstudy.library.imaging.geometry import Geometry, VolumeData
from readerstudy.library.imaging.writing.marking import (
    LESION_SYNTHESIS,
    MANUFACTURER,
    PIXEL_BY_PIXEL,
    Marking,
    coded,
    mark,
    patient_and_study,
    source_images,
)

IMPLEMENTATION = UID("2.25.263417128377045286921312374218466157721")


def write_series(folder: Path, data: VolumeData, marking: Marking) -> list[Path]:
    """Write one file for each plane: ``IM0001.dcm`` and so on along z, int16 HU as stored values.

    Same data and marking, same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index, plane in enumerate(data.hu):
        dataset = slice_dataset(data.geometry, index, marking)
        dataset.PixelData = np.ascontiguousarray(plane, dtype="<i2").tobytes()
        dataset["PixelData"].VR = "OW"
        path = folder / f"IM{index + 1:04d}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def slice_headers(geometry: Geometry, marking: Marking) -> list[FileDataset]:
    """The headers of a series without pixels: what a segmentation refers to."""
    return [slice_dataset(geometry, index, marking) for index in range(geometry.shape[0])]


def slice_dataset(geometry: Geometry, index: int, marking: Marking) -> FileDataset:
    """The header of plane ``index``; pixels are signed 16-bit HU, slope 1, intercept 0."""
    instance = marking.instance_uid(index)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = instance
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = instance
    dataset.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    dataset.Modality = "CT"
    patient_and_study(dataset, marking)
    dataset.SeriesInstanceUID = marking.series_uid
    dataset.SeriesNumber = 1
    # Required of CT, and empty means unknown; the direction of the axes says it all the same.
    dataset.PatientPosition = ""
    if marking.body_part:
        dataset.BodyPartExamined = marking.body_part
    else:
        dataset.Laterality = ""
    dataset.FrameOfReferenceUID = marking.frame_uid
    dataset.PositionReferenceIndicator = ""
    dataset.InstanceNumber = index + 1
    dataset.AcquisitionNumber = 1
    dataset.ContentDate = ""
    dataset.ContentTime = ""
    dataset.DerivationDescription = marking.derivation[:1024]
    if not marking.result:
        dataset.DerivationCodeSequence = Sequence([coded(PIXEL_BY_PIXEL), coded(LESION_SYNTHESIS)])
    if sources := source_images(marking, index):
        dataset.SourceImageSequence = sources
    _technical(dataset, marking)
    mark(dataset, marking)
    _plane(dataset, geometry, index, marking)
    _pixels(dataset, geometry)
    return dataset


def _technical(dataset: Dataset, marking: Marking) -> None:
    """How the host was scanned, as far as the allow-list of the import lets it through."""
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = marking.model
    dataset.SoftwareVersions = marking.software[:64]
    dataset.KVP = ""
    for keyword in ("KVP", "SliceThickness", "ConvolutionKernel", "ReconstructionDiameter"):
        values = marking.technical.get(keyword, [])
        if len(values) == 1:
            setattr(dataset, keyword, values[0].split("/"))


def _plane(dataset: Dataset, geometry: Geometry, index: int, marking: Marking) -> None:
    columns = np.asarray(geometry.direction)
    if index < len(marking.slices):
        position = marking.slices[index].position
    else:
        x, y, z = (float(value) for value in geometry.index_to_world((0, 0, index)))
        position = (x, y, z)
    dataset.ImagePositionPatient = [_ds(value) for value in position]
    dataset.ImageOrientationPatient = [_ds(value) for value in (*columns[:, 0], *columns[:, 1])]
    dataset.PixelSpacing = [_ds(geometry.spacing[1]), _ds(geometry.spacing[0])]
    if "SliceThickness" not in dataset:
        dataset.SliceThickness = _ds(geometry.spacing[2])


def _pixels(dataset: Dataset, geometry: Geometry) -> None:
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = geometry.shape[1], geometry.shape[2]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = 1
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "0", "1", "HU"


def _ds(value: float) -> str:
    return format_number_as_ds(float(value) + 0.0)
