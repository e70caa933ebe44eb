"""The mask of a synthetic lesion as DICOM SEG, through highdicom."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import numpy.typing as npt
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from readerstudy.library.imaging.geometry import Geometry
from readerstudy.library.imaging.writing.dicom import slice_headers
from readerstudy.library.imaging.writing.marking import (
    LESION_SYNTHESIS,
    MANUFACTURER,
    MODEL,
    NO_DATE,
    NO_TIME,
    Marking,
    mark,
)

# It tells each module it copies; the files say more.
logging.getLogger("highdicom").setLevel(logging.WARNING)


def write_seg(
    path: Path, mask: npt.NDArray[np.bool_], geometry: Geometry, marking: Marking, label: str
) -> None:
    """Write a binary SEG on the series that ``marking`` names, frames without lesion left out.

    Args:
        mask: (z, y, x), at least one voxel.
        label: name of the only segment, such as ``synthetic liver lesion``.
    """
    planes = np.flatnonzero(mask.any(axis=(1, 2)))
    first, last = int(planes[0]), int(planes[-1]) + 1
    headers = slice_headers(geometry, marking)[first:last]
    for header in headers:
        # highdicom reads the size of the source images, never their pixels
        header.PixelData = b""
    description = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label=label[:64],
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=MODEL, family=Code(*LESION_SYNTHESIS), version=marking.software[:64]
        ),
        tracking_uid=marking.uid("lesion"),
        tracking_id=label[:64],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seg = hd.seg.Segmentation(
            source_images=headers,
            pixel_array=np.ascontiguousarray(mask[first:last], dtype=np.uint8),
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[description],
            series_instance_uid=marking.uid("seg series"),
            series_number=2,
            sop_instance_uid=marking.uid("seg instance"),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=MODEL,
            software_versions=marking.software[:64],
            device_serial_number="none",
            content_label="SYNTHETIC",
            content_description=label[:64],
        )
    _settle(seg, marking)
    seg.save_as(path)


def _settle(seg: Any, marking: Marking) -> None:
    """Say that it is synthetic, and replace what would differ from one run to the next."""
    mark(seg, marking)
    seg.SeriesDescription = "SYNTHETIC lesion mask"
    seg.ContentDate, seg.ContentTime = NO_DATE, NO_TIME
    for keyword in ("InstanceCreationDate", "InstanceCreationTime", "SeriesDate", "SeriesTime"):
        if keyword in seg:
            delattr(seg, keyword)
    dimensions = marking.uid("dimensions")
    for item in (*seg.DimensionOrganizationSequence, *seg.DimensionIndexSequence):
        item.DimensionOrganizationUID = dimensions
