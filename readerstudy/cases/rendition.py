"""From candidate to rendition: the blinded bytes of one case, by one rule for both arms.

Nothing here asks what kind a candidate is. A real lesion is written through the same code with a
residual of zeros; sizes, geometry, marker and start slice follow from the volume's grid, the
lesion's bounding box, the rule and the seed, and from nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db import transaction
from django.utils import timezone

from readerstudy.library import selectors as library
from readerstudy.library.imaging.geometry import Geometry, to_lps_axes
from readerstudy.storage import data_path

from . import codec
from .errors import CasesError
from .frames import FRAMES, INDEX
from .models import Candidate, Rendition
from .patches import HU_MAX, HU_MIN, Patch, load_patch
from .paths import rendition_folder

PADDING_HU = -1024
#: In-plane room (pixels) kept between the marker and the edge of a cropped image.
_EDGE_PIXELS = 16
_RAW = "frames.raw"
_LEFT_BEHIND = timedelta(days=1)

Report = Callable[[int, int, str], None]
Box = list[list[int]]


def _quiet(done: int, total: int, message: str = "") -> None:
    """For callers that show no progress."""


@dataclass(frozen=True)
class Rule:
    """How a volume becomes a rendition. Lengths in mm, `matrix` in pixels."""

    matrix: int = 512
    max_slices: int = 150
    margin_mm: float = 6.0
    jitter_mm: float = 3.0
    start: str = "lesion"
    jitter_slices: int = 3

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Rule:
        """Read the part of a protocol document; what is left out has its default."""
        marker, start = document.get("marker", {}), document.get("start_slice", {})
        return cls(
            matrix=document.get("matrix", cls.matrix),
            max_slices=document.get("max_slices", cls.max_slices),
            margin_mm=marker.get("margin_mm", cls.margin_mm),
            jitter_mm=marker.get("jitter_mm", cls.jitter_mm),
            start=start.get("rule", cls.start),
            jitter_slices=start.get("jitter_slices", cls.jitter_slices),
        )


@dataclass(frozen=True)
class Prepared:
    """A rendition in memory: frames (k, row, column) of int16 HU, and its JSON geometry."""

    frames: npt.NDArray[np.int16]
    spacing: list[float]
    slice_spacing: float
    marker: Box
    start_slice: int


def generator_of(candidate: Candidate, seed: int) -> np.random.Generator:
    """What draws the layout of one candidate in a build with this seed."""
    return np.random.default_rng([seed, candidate.pk.int])


def native_volume(candidate: Candidate) -> npt.NDArray[np.int16]:
    """CT plus residual on the native grid, int16 (z, y, x): the same steps for both arms."""
    return load_patch(candidate).apply(library.load_ct(candidate.volume))


def render(candidate: Candidate, rule: Rule, rng: np.random.Generator) -> Prepared:
    """Apply the rule to one candidate.

    Reorient to LPS axes, clip to -1024..3071 HU, crop or pad in plane around the middle (moved
    only as far as the marker needs), take at most `max_slices` slices around the lesion.
    """
    geometry = library.geometry(candidate.volume)
    patch = load_patch(candidate)
    box = lesion_box(patch, geometry)
    hu, lps = to_lps_axes(patch.apply(library.load_ct(candidate.volume)), geometry)
    view = lay_out(box, lps, rule, rng)
    frames = np.full((view.count, rule.matrix, rule.matrix), PADDING_HU, np.int16)
    source = hu[view.first : view.first + view.count, view.rows.source, view.columns.source]
    frames[:, view.rows.target, view.columns.target] = np.clip(source, HU_MIN, HU_MAX)
    return Prepared(
        frames=frames,
        spacing=[round(lps.spacing[1], 3), round(lps.spacing[0], 3)],
        slice_spacing=round(lps.spacing[2], 3),
        marker=view.marker,
        start_slice=view.start_slice,
    )


@dataclass(frozen=True)
class Layout:
    """Which part of a volume a rendition shows, and where; `marker` is in rendition voxels."""

    first: int
    count: int
    rows: Placed
    columns: Placed
    marker: Box
    start_slice: int

    @property
    def shift(self) -> tuple[int, int, int]:
        """What turns x, y, z indices of the volume on LPS axes into those of the rendition."""
        return (self.columns.shift, self.rows.shift, -self.first)


def lay_out(box: Box, lps: Geometry, rule: Rule, rng: np.random.Generator) -> Layout:
    """Draw the layout of a rendition: the same numbers from the same generator, in one order."""
    marker = _marker(box, lps, rule, rng)
    first, count = _slice_window(box[2], lps.shape[0], rule, rng)
    marker[2] = _shifted(marker[2], -first, count)
    start = _start_slice(box[2], first, count, rule, rng)
    rows = _placement(lps.shape[1], rule.matrix, marker[1])
    columns = _placement(lps.shape[2], rule.matrix, marker[0])
    marker[0] = _shifted(marker[0], columns.shift, rule.matrix)
    marker[1] = _shifted(marker[1], rows.shift, rule.matrix)
    return Layout(first, count, rows, columns, marker, start)


def lesion_box(patch: Patch, geometry: Geometry) -> Box:
    """The lesion's bounding box [[x0, x1], [y0, y1], [z0, z1]] (half open) on LPS axes."""
    mask = np.zeros(geometry.shape, np.bool_)
    mask[patch.slices] = patch.mask
    turned, _ = to_lps_axes(mask, geometry)
    box = []
    for axis in (2, 1, 0):
        others = tuple(k for k in range(3) if k != axis)
        where = np.flatnonzero(turned.any(axis=others))
        if not where.size:
            raise CasesError("A candidate has an empty mask; reject it and build again.")
        box.append([int(where[0]), int(where[-1]) + 1])
    return box


def _marker(box: Box, lps: Geometry, rule: Rule, rng: np.random.Generator) -> Box:
    """The lesion's box, widened by the margin and moved a little on every side."""
    marker = []
    for (low, high), spacing, size in zip(box, lps.spacing, lps.shape[::-1], strict=True):
        wide = rule.margin_mm + rng.uniform(-rule.jitter_mm, rule.jitter_mm, 2)
        start = int(np.floor(low - wide[0] / spacing))
        stop = int(np.ceil(high + wide[1] / spacing))
        marker.append([max(0, min(start, low)), min(size, max(stop, high))])
    return marker


def _slice_window(
    lesion: list[int], slices: int, rule: Rule, rng: np.random.Generator
) -> tuple[int, int]:
    """First slice and number of slices: all, or a window in which the lesion may lie anywhere
    in the middle half."""
    place = rng.uniform(0.25, 0.75)
    count = min(slices, rule.max_slices)
    first = round(0.5 * (lesion[0] + lesion[1]) - place * count)
    return min(max(first, 0), slices - count), count


def _start_slice(
    lesion: list[int], first: int, count: int, rule: Rule, rng: np.random.Generator
) -> int:
    jitter = int(rng.integers(-rule.jitter_slices, rule.jitter_slices + 1))
    if rule.start == "middle":
        return count // 2
    middle = (lesion[0] + lesion[1] - 1) // 2 - first
    return min(max(middle + jitter, 0), count - 1)


@dataclass(frozen=True)
class Placed:
    """How one image axis lands in the matrix; `shift` turns source indices into target ones."""

    source: slice
    target: slice
    shift: int


def _placement(size: int, matrix: int, marker: list[int]) -> Placed:
    if size <= matrix:
        at = (matrix - size) // 2
        return Placed(slice(0, size), slice(at, at + size), at)
    start = (size - matrix) // 2
    start = min(start, marker[0] - _EDGE_PIXELS)
    start = max(start, marker[1] + _EDGE_PIXELS - matrix)
    start = min(max(start, 0), size - matrix)
    return Placed(slice(start, start + matrix), slice(0, matrix), -start)


def _shifted(span: list[int], shift: int, size: int) -> list[int]:
    return [min(max(value + shift, 0), size) for value in span]


def build_renditions(
    candidates: Sequence[Candidate],
    rule: dict[str, Any],
    seed: int,
    progress: Report = _quiet,
) -> dict[uuid.UUID, Rendition]:
    """Build new renditions of all candidates in one go, so that every frame has one size.

    Args:
        candidates: with their volumes; both arms together.
        rule: `matrix`, `max_slices`, `marker` and `start_slice` of the protocol document.
        seed: draws marker jitter, slice window and start slice.
        progress: called with (done, total, message); may raise to stop.

    Returns:
        The rows by candidate id. Files and rows are complete, or there are none.

    Raises:
        CasesError: no candidates, or a file of one is missing.
    """
    if not candidates:
        raise CasesError("There are no accepted candidates to build; accept some first.")
    sweep()
    parsed = Rule.from_document(rule)
    total = len(candidates) + 1
    ids = {candidate.pk: uuid.uuid4() for candidate in candidates}
    # A folder's place in time tells when it was made: let that be in random order.
    order = np.random.default_rng([seed, 0]).permutation(len(candidates))
    rows: list[Rendition] = []
    largest = 0
    try:
        for done, position in enumerate(order):
            progress(done, total, "Encoding images")
            candidate = candidates[int(position)]
            rng = generator_of(candidate, seed)
            prepared = render(candidate, parsed, rng)
            row, size = _encode(ids[candidate.pk], candidate.organ, prepared, rule)
            rows.append(row)
            largest = max(largest, size)
        progress(total - 1, total, "Making all frames equal in size")
        bucket = codec.bucket_for(largest)
        for row in rows:
            _pad_frames(row, bucket)
        with transaction.atomic():
            now = timezone.now()
            Rendition.objects.bulk_create(rows)
            Rendition.objects.filter(pk__in=[row.pk for row in rows]).update(built_at=now)
    except BaseException:
        for rendition_id in ids.values():
            shutil.rmtree(rendition_folder(rendition_id), ignore_errors=True)
        raise
    by_id = {row.pk: row for row in rows}
    return {pk: by_id[rendition_id] for pk, rendition_id in ids.items()}


def _encode(
    rendition_id: uuid.UUID, organ: str, prepared: Prepared, rule: dict[str, Any]
) -> tuple[Rendition, int]:
    """Write the frames unpadded, one after the other; returns the row and the largest size."""
    folder = rendition_folder(rendition_id)
    folder.mkdir(parents=True, exist_ok=True)
    sizes = []
    with (folder / _RAW).open("wb") as file:
        for frame in prepared.frames:
            data = codec.encode_frame(frame)
            sizes.append(len(data))
            file.write(data)
    (folder / INDEX).write_text(json.dumps({"sizes": sizes}), encoding="utf-8")
    row = Rendition(
        id=rendition_id,
        organ=organ.lower(),
        frames=len(sizes),
        rows=prepared.frames.shape[1],
        columns=prepared.frames.shape[2],
        spacing=prepared.spacing,
        slice_spacing=prepared.slice_spacing,
        marker=prepared.marker,
        start_slice=prepared.start_slice,
        rule=rule,
    )
    return row, max(sizes)


def _pad_frames(row: Rendition, bucket: int) -> None:
    """Rewrite a rendition's frames at one size and finish its row."""
    folder = rendition_folder(row.pk)
    sizes = json.loads((folder / INDEX).read_text(encoding="utf-8"))["sizes"]
    digest = hashlib.sha256()
    with (folder / _RAW).open("rb") as raw, (folder / FRAMES).open("wb") as out:
        for size in sizes:
            data = codec.pad(raw.read(size), bucket)
            digest.update(data)
            out.write(data)
        out.flush()
        os.fsync(out.fileno())
    (folder / _RAW).unlink()
    index = {"bucket_bytes": bucket, "frames": row.frames}
    (folder / INDEX).write_text(json.dumps(index), encoding="utf-8")
    row.bucket_bytes = bucket
    geometry = [row.rows, row.columns, row.spacing, row.slice_spacing, row.marker, row.start_slice]
    digest.update(json.dumps(geometry, separators=(",", ":")).encode())
    row.sha256 = digest.hexdigest()


def sweep() -> int:
    """Delete renditions that nothing uses and folders that no row knows, a day after their making.

    They are left behind when cases are prepared again or a build is killed. Returns how many
    went. Users are found through the relations of the model, since rooms to the right of this
    one use renditions and this one does not know them.
    """
    before = timezone.now() - _LEFT_BEHIND
    unused = Rendition.objects.filter(built_at__lt=before)
    for field in Rendition._meta.get_fields(include_hidden=True):
        if field.auto_created and field.related_model is not None:
            used = field.related_model._default_manager.values(field.field.name)  # type: ignore[union-attr]
            unused = unused.exclude(pk__in=used)
    gone = list(unused.values_list("pk", flat=True))
    Rendition.objects.filter(pk__in=gone).delete()
    known = {str(pk) for pk in Rendition.objects.values_list("pk", flat=True)}
    removed = len(gone)
    for folder in _old_folders(data_path("renditions", "any").parent, before.timestamp()):
        if folder.name not in known:
            shutil.rmtree(folder, ignore_errors=True)
            removed += folder.name not in {str(pk) for pk in gone}
    return removed


def _old_folders(parent: Path, before: float) -> list[Path]:
    return [
        folder for folder in parent.iterdir() if folder.is_dir() and folder.stat().st_mtime < before
    ]


def rule_document(rule: Rule) -> dict[str, Any]:
    """A rule as the plain values that are stored; for callers without a protocol."""
    values = asdict(rule)
    return {
        "matrix": values["matrix"],
        "max_slices": values["max_slices"],
        "marker": {"kind": "box", "margin_mm": rule.margin_mm, "jitter_mm": rule.jitter_mm},
        "start_slice": {"rule": rule.start, "jitter_slices": rule.jitter_slices},
    }
