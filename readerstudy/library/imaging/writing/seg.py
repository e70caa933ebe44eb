"""Masks as DICOM SEG, through highdicom: of a synthetic lesion, and of what a network found."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
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

_ARTIFICIAL_INTELLIGENCE = ("123110", "DCM", "Artificial Intelligence")


@dataclass(frozen=True)
class Algorithm:
    """The network behind a result: its name, the SHA-256 of its weights, and its settings."""

    name: str
    sha256: str
    settings: dict[str, str] = field(default_factory=dict)


def write_seg(
    path: Path, mask: npt.NDArray[np.bool_], geometry: Geometry, marking: Marking, label: str
) -> None:
    """Write a binary SEG on the series that ``marking`` names, frames without lesion left out.

    Args:
        mask: (z, y, x), at least one voxel.
        label: name of the only segment, such as ``synthetic liver lesion``.
    """
    identification = hd.AlgorithmIdentificationSequence(
        name=MODEL, family=Code(*LESION_SYNTHESIS), version=marking.software[:64]
    )
    segment = _segment(1, label, identification, marking.uid("lesion"))
    _write(path, mask[..., None], geometry, marking, [segment], label)


def write_result_seg(
    path: Path,
    masks: Mapping[str, npt.NDArray[np.bool_]],
    geometry: Geometry,
    marking: Marking,
    algorithm: Algorithm,
) -> None:
    """Write what a network found as a binary SEG, one segment for each kind of finding.

    The segments say that no person drew them (type AUTOMATIC), which network did and with which
    weights. Where nothing was found, the file holds one empty frame of each segment.

    Args:
        masks: label of a segment, such as ``liver tumor``, to its mask (z, y, x).
    """
    identification = hd.AlgorithmIdentificationSequence(
        name=algorithm.name[:64],
        family=Code(*_ARTIFICIAL_INTELLIGENCE),
        version=algorithm.sha256,
        source=marking.software[:64],
        parameters=algorithm.settings or None,
    )
    segments = [
        _segment(number, label, identification, marking.uid("segment", label))
        for number, label in enumerate(masks, start=1)
    ]
    stacked = np.stack(list(masks.values()), axis=-1)
    _write(path, stacked, geometry, marking, segments, "found by a network, research only")


def _segment(number: int, label: str, identification: Any, uid: str) -> Any:
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=label[:64],
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=identification,
        tracking_uid=uid,
        tracking_id=label[:64],
    )


def _write(
    path: Path,
    masks: npt.NDArray[np.bool_],
    geometry: Geometry,
    marking: Marking,
    segments: list[Any],
    description: str,
) -> None:
    """``masks`` is (z, y, x, segment)."""
    planes = np.flatnonzero(masks.any(axis=(1, 2, 3)))
    empty = not planes.size
    # an empty one has a single plane, in the middle
    first, last = (int(planes[0]), int(planes[-1]) + 1) if not empty else _middle(geometry)
    headers = slice_headers(geometry, marking)[first:last]
    for header in headers:
        # highdicom reads the size of the source images, never their pixels
        header.PixelData = b""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seg = hd.seg.Segmentation(
            source_images=headers,
            pixel_array=np.ascontiguousarray(masks[first:last], dtype=np.uint8),
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=segments,
            series_instance_uid=marking.uid("seg series"),
            series_number=2,
            sop_instance_uid=marking.uid("seg instance"),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=marking.model,
            software_versions=marking.software[:64],
            device_serial_number="none",
            content_label=marking.word.replace(" ", "_"),
            content_description=description[:64],
            omit_empty_frames=not empty,
        )
    _settle(seg, marking)
    seg.save_as(path)


def _middle(geometry: Geometry) -> tuple[int, int]:
    middle = geometry.shape[0] // 2
    return middle, middle + 1


def _settle(seg: Any, marking: Marking) -> None:
    """Say what it is, and replace what would differ from one run to the next."""
    mark(seg, marking)
    if not marking.result:
        seg.SeriesDescription = "SYNTHETIC lesion mask"
    seg.ContentDate, seg.ContentTime = NO_DATE, NO_TIME
    for keyword in ("InstanceCreationDate", "InstanceCreationTime", "SeriesDate", "SeriesTime"):
        if keyword in seg:
            delattr(seg, keyword)
    dimensions = marking.uid("dimensions")
    for item in (*seg.DimensionOrganizationSequence, *seg.DimensionIndexSequence):
        item.DimensionOrganizationUID = dimensions
