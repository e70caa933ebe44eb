"""Pixels of candidates for coordinators: the block of the curation page and small previews.

Never for readers: what a reader gets is a rendition.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from readerstudy.library import selectors as library
from readerstudy.library.imaging.geometry import Geometry, to_lps_axes

from .models import Candidate
from .patches import HU_MAX, HU_MIN, load_patch

#: Surroundings (mm) of the lesion in the block of the curation page: in plane, and along z.
BLOCK_MARGIN_MM = (70.0, 50.0)
_PREVIEW_MM = 90.0
_PREVIEW_PIXELS = 200

SOFT, LUNG, BONE = ("Soft tissue", 40, 400), ("Lung", -600, 1500), ("Bone", 480, 2500)
_WINDOWS: dict[str, tuple[tuple[str, int, int], ...]] = {
    "liver": (("Liver", 90, 180), SOFT, LUNG, BONE),
    "lung": (LUNG, ("Mediastinum", 50, 350), SOFT, BONE),
    "kidney": (("Kidney", 100, 320), SOFT, LUNG, BONE),
    "pancreas": (("Pancreas", 80, 250), SOFT, LUNG, BONE),
}


def windows(organ: str) -> list[dict[str, Any]]:
    """Window presets (HU) for an organ, the default one first."""
    presets = _WINDOWS.get(organ.lower(), (SOFT, ("Narrow", 80, 200), LUNG, BONE))
    return [{"name": name, "center": c, "width": w} for name, c, w in presets]


@dataclass(frozen=True)
class Block:
    """Surroundings of a lesion on LPS axes, (z, y, x); `spacing` is (x, y, z) in mm."""

    before: npt.NDArray[np.int16]
    residual: npt.NDArray[np.int16]
    mask: npt.NDArray[np.bool_]
    spacing: tuple[float, float, float]

    @property
    def after(self) -> npt.NDArray[np.int16]:
        changed = np.clip(self.before.astype(np.int32) + self.residual, HU_MIN, HU_MAX)
        return np.where(self.residual != 0, changed, self.before).astype(np.int16)

    def lesion_box(self) -> list[list[int]]:
        """[[x0, x1], [y0, y1], [z0, z1]], half open, of everything that changed or is lesion."""
        touched = self.mask | (self.residual != 0)
        spans = []
        for axis in (2, 1, 0):
            where = np.flatnonzero(touched.any(axis=tuple(k for k in range(3) if k != axis)))
            spans.append([int(where[0]), int(where[-1]) + 1])
        return spans


def cut_block(candidate: Candidate, margin_mm: tuple[float, float, float]) -> Block:
    """The lesion with `margin_mm` (x, y, z of the native grid) around it."""
    geometry = library.geometry(candidate.volume)
    patch = load_patch(candidate)
    pads = [int(np.ceil(m / s)) for m, s in zip(margin_mm, geometry.spacing, strict=True)][::-1]
    cut = tuple(
        slice(max(0, s.start - pad), min(size, s.stop + pad))
        for s, pad, size in zip(patch.slices, pads, geometry.shape, strict=True)
    )
    before = np.array(library.load_ct(candidate.volume)[cut])
    inner = tuple(
        slice(s.start - c.start, s.stop - c.start) for s, c in zip(patch.slices, cut, strict=True)
    )
    residual, mask = np.zeros_like(before), np.zeros(before.shape, np.bool_)
    residual[inner], mask[inner] = patch.residual, patch.mask
    z, y, x = before.shape
    grid: Geometry = replace(geometry, shape=(z, y, x))
    turned, lps = to_lps_axes(before, grid)
    return Block(turned, to_lps_axes(residual, grid)[0], to_lps_axes(mask, grid)[0], lps.spacing)


def block_bytes(candidate: Candidate, *, hide_arm: bool = False) -> bytes:
    """The block of the curation page; with ``hide_arm`` a made lesion looks like a found one.

    A little-endian uint32 (length of the JSON), the JSON padded to four bytes, then int16 HU of
    the block before the change, then int16 residual and uint8 mask of `box` alone.
    """
    plane, along = BLOCK_MARGIN_MM
    margins = (plane, plane, along)
    block = cut_block(candidate, margins)
    if hide_arm:
        block = replace(block, before=block.after, residual=np.zeros_like(block.residual))
    box = block.lesion_box()
    (x0, x1), (y0, y1), (z0, z1) = box
    inner = (slice(z0, z1), slice(y0, y1), slice(x0, x1))
    header = {
        "shape": list(block.before.shape),
        "spacing": [round(value, 5) for value in block.spacing],
        "box": box,
        "changed": bool(block.residual.any()),
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    return b"".join(
        (
            len(text).to_bytes(4, "little"),
            text,
            np.ascontiguousarray(block.before, "<i2").tobytes(),
            np.ascontiguousarray(block.residual[inner], "<i2").tobytes(),
            np.ascontiguousarray(block.mask[inner], "|u1").tobytes(),
        )
    )


def preview_png(candidate: Candidate, *, before: bool = False) -> bytes:
    """The axial slice through the lesion's middle, 90 mm wide, in the organ's window."""
    from PIL import Image

    half = 0.5 * _PREVIEW_MM
    block = cut_block(candidate, (half, half, half))
    where = np.argwhere(block.mask)
    z, y, x = (round(value) for value in where.mean(axis=0))
    image = (block.before if before else block.after)[z]
    rows, columns = (round(half / s) for s in (block.spacing[1], block.spacing[0]))
    padded = np.pad(image, ((rows, rows), (columns, columns)), constant_values=HU_MIN)
    tile = padded[y : y + 2 * rows, x : x + 2 * columns].astype(np.float32)
    preset = windows(candidate.organ)[0]
    low = preset["center"] - preset["width"] / 2
    grey = np.clip((tile - low) / preset["width"] * 255, 0, 255).astype(np.uint8)
    picture = Image.fromarray(grey).resize(
        (_PREVIEW_PIXELS, _PREVIEW_PIXELS), Image.Resampling.BICUBIC
    )
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
