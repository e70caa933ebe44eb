"""What the pages of recognition show, worked out here in words and numbers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db.models import Count, Q, QuerySet
from django.urls import reverse
from django.utils.text import slugify

from readerstudy.cases import codec
from readerstudy.cases.display import windows
from readerstudy.cases.errors import CasesError
from readerstudy.cases.models import Recognition, RecognitionRun
from readerstudy.cases.patches import HU_MAX, HU_MIN
from readerstudy.cases.paths import recognition_folder
from readerstudy.cases.rendition import PADDING_HU
from readerstudy.cases.services.recognizing import OUTLINES, STEM
from readerstudy.jobs.models import Job
from readerstudy.library import selectors as library
from readerstudy.library.imaging.geometry import to_lps_axes

State = Recognition.State
#: Rows of the table on a run's page; the rest is in the CSV of each volume.
MOST_ROWS = 200
#: Part of an address -> its file, and its media type.
PARTS = {
    "mask.nii.gz": (f"{STEM}_mask.nii.gz", "application/gzip"),
    "probability.nii.gz": (f"{STEM}_prob.nii.gz", "application/gzip"),
    "seg.dcm": (f"{STEM}_seg.dcm", "application/dicom"),
    "lesions.csv": (f"{STEM}_lesions.csv", "text/csv"),
    "overlay.png": (f"{STEM}_overlay.png", "image/png"),
    "record.json": (f"{STEM}.json", "application/json"),
}


def runs() -> QuerySet[RecognitionRun]:
    """Runs, newest first, with how many volumes were asked for and looked at."""
    return RecognitionRun.objects.select_related("job", "created_by").annotate(
        n_volumes=Count("results"),
        n_done=Count("results", filter=Q(results__state=State.DONE)),
        n_failed=Count("results", filter=Q(results__state=State.FAILED)),
    )


def active_runs() -> QuerySet[RecognitionRun]:
    states = [Job.State.QUEUED, Job.State.SENT, Job.State.RUNNING]
    return runs().filter(job__state__in=states).order_by("created_at")


@dataclass(frozen=True)
class Finding:
    """A row of the table; numbers are rounded here once, for the page and the viewer alike."""

    result: Recognition
    lesion: dict[str, Any]

    @property
    def diameter(self) -> str:
        return f"{self.lesion['diameter_mm']:.1f}"

    @property
    def volume(self) -> str:
        return f"{self.lesion['volume_ml']:.2f}"

    @property
    def probability(self) -> str:
        return f"{self.lesion['probability']:.2f}"

    @property
    def center(self) -> str:
        """LPS position in mm."""
        places = (round(self.lesion[f"lps_{axis}_mm"]) for axis in "xyz")
        return ", ".join(str(place).replace("-", "−") for place in places)

    @property
    def index(self) -> str:
        """Voxel of the native grid."""
        return ", ".join(f"{self.lesion[f'index_{axis}']:.0f}" for axis in "xyz")


class RunPage:
    """A run: its volumes with what came of each, and the findings of all."""

    def __init__(self, run: RecognitionRun) -> None:
        self.results = list(run.results.select_related("volume").order_by("volume__name", "pk"))
        self.failed = [r for r in self.results if r.state == State.FAILED]
        self.waiting = sum(r.state == State.WAITING for r in self.results)
        self.done = sum(r.state == State.DONE for r in self.results)
        found = [Finding(r, lesion) for r in self.results for lesion in r.lesions]
        self.count = len(found)
        found.sort(key=lambda f: (-f.lesion["probability"], -f.lesion["diameter_mm"]))
        self.findings = found[:MOST_ROWS]

    @property
    def more(self) -> int:
        return self.count - len(self.findings)


def file_of(result: Recognition, part: str) -> tuple[bytes, str, str] | None:
    """Bytes, media type and name of a download; None where there is no such file."""
    if part not in PARTS:
        return None
    file, kind = PARTS[part]
    try:
        data = (recognition_folder(result.pk) / file).read_bytes()
    except OSError:
        return None
    stem = slugify(result.volume.name)[:60] or "volume"
    return data, kind, f"{stem}_{part}"


def frame(result: Recognition, index: int) -> bytes:
    """A slice of the volume on LPS axes as the viewer takes it. Raises IndexError."""
    hu, _ = _turned(result)
    if not 0 <= index < len(hu):
        raise IndexError(index)
    plane = np.clip(hu[index], HU_MIN, HU_MAX).astype(np.int16)
    return codec.encode_frame(plane)


def viewer_config(result: Recognition, finding: int) -> dict[str, Any]:
    """Everything that the viewer shows of a volume and what was found in it.

    Raises:
        CasesError: the files of the result are gone from the data directory.
    """
    hu, lps = _turned(result)
    outlines = _outlines(result)
    first = reverse("cases:recognition_frame", args=[result.pk, 0])
    before, after, place = _neighbors(result)
    organ = result.lesions[0]["organ"] if result.lesions else result.run.organ
    return {
        "case": {
            "token": str(result.pk),
            "phase": "",
            "position": 1,
            "total": 1,
            "organ": organ,
            "frames": {"count": len(hu), "url": first.removesuffix("0")},
            "image": {
                "rows": hu.shape[1],
                "columns": hu.shape[2],
                "pixelSpacing": [round(lps.spacing[1], 3), round(lps.spacing[0], 3)],
                "sliceSpacing": round(lps.spacing[2], 3),
                "bitsAllocated": 16,
                "pixelRepresentation": 1,
                "padding": PADDING_HU,
            },
            "marker": None,
            "startSlice": _start(outlines, len(hu)),
            "windows": windows(organ),
            "draft": None,
        },
        "findings": [
            _shown(Finding(result, row), outline)
            for row, outline in zip(result.lesions, outlines, strict=False)
        ],
        "left": max(0, len(result.lesions) - len(outlines)),
        "first": min(max(finding, 1), max(len(outlines), 1)),
        "name": result.volume.name,
        "place": place,
        "network": result.run.checkpoint,
        "sha256": result.run.sha256,
        "tools": {"mpr": True, "length": True, "hu": True},
        "rendering": "auto",
        "downloads": [
            (words, reverse("cases:recognition_file", args=[result.pk, part]))
            for words, part in (
                ("Mask (NIfTI)", "mask.nii.gz"),
                ("SEG (DICOM)", "seg.dcm"),
                ("Table (CSV)", "lesions.csv"),
                ("Overlay (PNG)", "overlay.png"),
            )
        ],
        "listUrl": reverse("cases:recognition_run", args=[result.run_id]),
        "previousUrl": _address(before),
        "nextUrl": _address(after),
    }


def _shown(finding: Finding, outline: dict[str, Any]) -> dict[str, Any]:
    return {
        "number": finding.lesion["lesion"],
        "organ": finding.lesion["organ"],
        "diameter": finding.diameter,
        "volume": finding.volume,
        "probability": finding.probability,
        "center": finding.center,
        "outline": outline,
    }


def _turned(result: Recognition) -> tuple[npt.NDArray[np.int16], Any]:
    """A view of the stored volume: no voxel is read yet."""
    return to_lps_axes(library.load_ct(result.volume), library.geometry(result.volume))


def _outlines(result: Recognition) -> list[dict[str, Any]]:
    try:
        text = (recognition_folder(result.pk) / OUTLINES).read_text(encoding="utf-8")
    except OSError:
        raise CasesError(
            "The files of this result are gone from the data directory; start a new run."
        ) from None
    found: list[dict[str, Any]] = json.loads(text)
    return found


def _start(outlines: Iterable[dict[str, Any]], slices: int) -> int:
    for outline in outlines:
        low, high = outline["box"][2]
        return int((low + high - 1) // 2)
    return slices // 2


def _neighbors(result: Recognition) -> tuple[Any, Any, str]:
    """The results before and after in the list of the run, and where this one stands."""
    rows = result.run.results.filter(state=State.DONE).order_by("volume__name", "pk")
    order = list(rows.values_list("pk", flat=True))
    at = order.index(result.pk)
    before = order[at - 1] if at else None
    after = order[at + 1] if at + 1 < len(order) else None
    return before, after, f"Volume {at + 1} of {len(order)}"


def _address(result_id: Any) -> str:
    return reverse("cases:recognition_result", args=[result_id]) if result_id else ""
