"""Typed contexts of the library's pages: what templates show, worked out here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from readerstudy.jobs.models import Job

from . import organs, rendering, selectors
from .importing import ORGAN_WORDS
from .models import Mask, Upload, Volume

ORGAN_NAMES = sorted(ORGAN_WORDS)


@dataclass(frozen=True)
class Card:
    """A volume in the list."""

    volume: Volume
    masks: dict[str, list[Mask]]
    size: str
    extent: str


def card(volume: Volume) -> Card:
    return Card(
        volume,
        selectors.mask_list(volume.masks.all()),
        f"{volume.columns} × {volume.rows} × {volume.slices}",
        f"{volume.spacing_x:.2f} × {volume.spacing_y:.2f} × {volume.spacing_z:.2f} mm",
    )


def said(volume: Volume) -> dict[str, Any]:
    return {
        "name": volume.name,
        "patient": volume.patient,
        "source": volume.source,
        "synthetic": bool(volume.synthetic),
    }


class UploadLine:
    """An upload that waits for something, in the list."""

    WORDS = {
        Upload.State.RECEIVING: "Not all files have arrived",
        Upload.State.CHECKING: "The files are being looked at",
        Upload.State.REVIEW: "Waits for you to say what the masks show",
        Upload.State.IMPORTING: "Is being imported",
        Upload.State.FAILED: "Could not be used",
    }

    def __init__(self, upload: Upload) -> None:
        self.upload = upload
        self.words = self.WORDS.get(Upload.State(upload.state), "")
        total = getattr(upload, "bytes_total", None) or 0
        received = getattr(upload, "bytes_received", None) or 0
        self.percent = int(100 * received / total) if total else None


class VolumePage:
    """Everything the page of one volume shows."""

    def __init__(self, volume: Volume) -> None:
        masks = list(volume.masks.all())
        drawn = [mask for mask in masks if mask.kind == Mask.Kind.ORGAN]
        self.card = card(volume)
        self.uses = selectors.uses(volume)
        self.windows = [
            {"name": name, "center": center, "width": width}
            for name, (center, width) in rendering.WINDOWS.items()
        ]
        self.window = rendering.window_for(masks)
        self.masks = [{"row": mask, "color": rendering.color_index(mask, drawn)} for mask in masks]
        self.planes = rendering.planes(volume)
        self.config = {
            "slices": f"/library/{volume.pk}/slice/",
            "start": rendering.start(volume),
            "planes": {plane.name: plane.count for plane in self.planes},
        }
        self.report = Report(volume.report)
        self.offered = organs.offered(volume)
        self.all_organs = organs.has_all()
        job = organs.last_job(volume)
        shown = job is not None and (job.is_active or job.state == Job.State.FAILED)
        self.organ_job = job if shown else None
        origin = ", ".join(f"{value:.1f}" for value in volume.origin)
        self.facts = [
            ("Size", f"{self.card.size} voxels"),
            ("Voxel", self.card.extent),
            ("HU", f"{volume.hu_min:,} to {volume.hu_max:,}"),
            ("Origin (LPS)", f"({origin}) mm"),
            ("Read from", volume.get_origin_format_display()),
            ("Content", volume.sha256[:16]),
        ]
        if volume.synthetic:
            self.facts.append(("Made by a generator", volume.synthetic))


class Report:
    """De-identification in words."""

    WORDS = (
        ("removed", "Removed by the profile"),
        ("replaced", "Replaced by the profile"),
        ("left_out", "Left out by the allow-list"),
    )

    def __init__(self, report: dict[str, Any]) -> None:
        self.files = report.get("files", 0)
        self.profile = report.get("profile", "")
        self.tool = report.get("tool", "")
        self.private = report.get("private", 0)
        self.kept = {name: ", ".join(values) for name, values in report.get("kept", {}).items()}
        self.groups = [(title, sorted(report[key])) for key, title in self.WORDS if report.get(key)]
        self.count = sum(len(names) for _, names in self.groups)

    def __bool__(self) -> bool:
        return bool(self.files)


class Result:
    """What an import did."""

    def __init__(self, result: dict[str, Any]) -> None:
        self.outcomes = result.get("outcomes", [])
        for outcome in self.outcomes:
            outcome["report"] = Report(outcome["report"])
        self.stored = sum(item["state"] == "stored" for item in self.outcomes)
        self.known = sum(item["state"] == "known" for item in self.outcomes)
        self.refused = sum(item["state"] == "refused" for item in self.outcomes)
        self.left = result.get("left", [])
        self.unused = result.get("unused", [])


def review(upload: Upload, answers: Any | None) -> list[dict[str, Any]]:
    """The masks found, each part with its answer so far or a first guess."""
    earlier = _earlier(upload)
    masks = []
    for number, mask in enumerate(upload.findings.get("masks", [])):
        parts = []
        for part in mask["parts"]:
            kind, organ = earlier.get((mask["name"], str(part["key"])), ("", ""))
            if not earlier:
                kind, organ = part["kind"], part["organ"]
            if answers is not None:
                kind = answers.get(f"kind-{number}-{part['key']}", "")
                organ = answers.get(f"organ-{number}-{part['key']}", "")
            parts.append({**part, "kind": kind, "organ": organ, "field": f"{number}-{part['key']}"})
        masks.append({**mask, "parts": parts, "number": number})
    return masks


def _earlier(upload: Upload) -> dict[tuple[str, str], tuple[str, str]]:
    """Answers of an attempt that failed, so that only the wrong one has to be changed."""
    found = {}
    for use in upload.options.get("uses", []):
        for key in use["parts"].split("+"):
            label = "" if use["label"] == "tumor" else use["label"]
            found[use["mask"], key] = (use["kind"], label)
    return found
