"""Slices of a stored volume as PNG, in the view a radiologist expects."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from readerstudy.library.imaging.geometry import Geometry, native_axis, to_lps_axes
from readerstudy.storage import atomic_write_bytes

from . import paths, selectors
from .models import Mask, Volume

PLANES = ("axial", "coronal", "sagittal")
# Center and width in HU, by name.
WINDOWS = {
    "soft tissue": (50, 400),
    "liver": (100, 200),
    "lung": (-600, 1500),
    "bone": (400, 1800),
}
# Tumor first, then organs; the same as .swatch-N in library.css.
COLORS = [
    (255, 138, 92),
    (92, 200, 220),
    (140, 210, 130),
    (200, 160, 240),
    (240, 210, 110),
    (130, 160, 250),
]
PREVIEW_SIDE = 200
Slab = Callable[[int, int], npt.NDArray[Any]]


@dataclass(frozen=True)
class Plane:
    """One plane of a volume: how many slices it has, and the mm of a pixel (row, column)."""

    name: str
    count: int
    pixel: tuple[float, float]
    size: tuple[int, int]


def planes(volume: Volume) -> list[Plane]:
    geometry = _lps_geometry(selectors.geometry(volume))
    (z, y, x), (sx, sy, sz) = geometry.shape, geometry.spacing
    return [
        Plane("axial", z, (sy, sx), (y, x)),
        Plane("coronal", y, (sz, sx), (z, x)),
        Plane("sagittal", x, (sz, sy), (z, y)),
    ]


def color_index(mask: Mask, organs: Sequence[Mask]) -> int:
    """0 for a tumor, from 1 on for organs in their order: the classes of the style sheet."""
    if mask.kind == Mask.Kind.TUMOR:
        return 0
    return 1 + [other.pk for other in organs].index(mask.pk) % (len(COLORS) - 1)


def slice_png(
    volume: Volume, plane: str, index: int, window: tuple[int, int], masks: Sequence[Mask]
) -> bytes:
    """One slice, windowed, in square pixels, with the outlines of ``masks``.

    Raises IndexError when the plane has no such slice.
    """
    geometry = selectors.geometry(volume)
    hu = _cut(_ct_slab(volume), geometry, plane, index)
    shape = _square(next(item for item in planes(volume) if item.name == plane))
    image = Image.fromarray(_gray(hu, *window)).resize(shape, Image.Resampling.BILINEAR)
    if masks:
        image = image.convert("RGB")
        pixels = np.array(image)
        organs = [mask for mask in volume.masks.all() if mask.kind == Mask.Kind.ORGAN]
        for mask in masks:
            marked = _cut(_mask_slab(mask), geometry, plane, index)
            pixels[_outline(marked, shape)] = COLORS[color_index(mask, organs)]
        image = Image.fromarray(pixels)
    return _png(image)


def preview(volume: Volume) -> bytes:
    """Three planes side by side through the tumor, or the middle; kept on disk once made."""
    path = paths.preview_file(volume.pk)
    if path.exists():
        return path.read_bytes()
    masks = list(volume.masks.all())
    at = _interesting(volume, masks)
    window = WINDOWS["lung"] if _is_chest(masks) else WINDOWS["soft tissue"]
    sheet = Image.new("RGB", (3 * PREVIEW_SIDE, PREVIEW_SIDE))
    for column, (plane, index) in enumerate(zip(PLANES, at, strict=True)):
        image = Image.open(io.BytesIO(slice_png(volume, plane, index, window, masks)))
        image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
        left = column * PREVIEW_SIDE + (PREVIEW_SIDE - image.width) // 2
        sheet.paste(image, (left, (PREVIEW_SIDE - image.height) // 2))
    data = _png(sheet)
    if path.parent.is_dir():
        atomic_write_bytes(path, data)
    return data


def start(volume: Volume) -> dict[str, int]:
    """Where the page opens: the largest tumor cross-section, or the middle."""
    masks = list(volume.masks.all())
    return dict(zip(PLANES, _interesting(volume, masks), strict=True))


def window_for(masks: Sequence[Mask]) -> str:
    return "lung" if _is_chest(masks) else "soft tissue"


def _interesting(volume: Volume, masks: Sequence[Mask]) -> tuple[int, int, int]:
    """Slice numbers (axial, coronal, sagittal)."""
    geometry = selectors.geometry(volume)
    chosen = next((mask for mask in masks if mask.kind == Mask.Kind.TUMOR), None)
    shape = _lps_geometry(geometry).shape
    if chosen is None:
        return shape[0] // 2, shape[1] // 2, shape[2] // 2
    marked, _ = to_lps_axes(selectors.load_mask(chosen), geometry)
    z = int(np.argmax(np.count_nonzero(marked, axis=(1, 2))))
    ys, xs = np.nonzero(marked[z])
    return z, int(np.median(ys)), int(np.median(xs))


def _is_chest(masks: Sequence[Mask]) -> bool:
    return any(mask.label == "lung" for mask in masks)


def _lps_geometry(geometry: Geometry) -> Geometry:
    empty = np.broadcast_to(np.uint8(0), geometry.shape)
    return to_lps_axes(empty, geometry)[1]


def _cut(slab: Slab, geometry: Geometry, plane: str, index: int) -> npt.NDArray[Any]:
    """One slice as on a light box: head or front up, the patient's right at the left.

    ``slab(axis, number)`` reads one native slice, keeping its axis: only that is touched on disk.
    """
    axis = PLANES.index(plane)
    native, reverse = native_axis(geometry, axis)
    count = geometry.shape[native]
    if not 0 <= index < count:
        raise IndexError(f"{plane} slice {index}")
    part = slab(native, count - 1 - index if reverse else index)
    thin = replace(geometry, shape=part.shape)
    image = np.take(to_lps_axes(part, thin)[0], 0, axis=axis)
    return image if plane == "axial" else image[::-1]


def _ct_slab(volume: Volume) -> Slab:
    hu = selectors.load_ct(volume)
    return lambda axis, number: np.take(hu, [number], axis=axis)


def _mask_slab(mask: Mask) -> Slab:
    bits, shape = _bits(paths.mask_file(mask.volume_id, mask.pk))

    def cut(axis: int, number: int) -> npt.NDArray[np.bool_]:
        if axis < 2:
            part = np.take(bits, [number], axis=axis)
            return np.unpackbits(part, axis=2, count=shape[2]).view(np.bool_)
        column = np.unpackbits(bits[:, :, number // 8 : number // 8 + 1], axis=2)
        return column[:, :, number % 8 : number % 8 + 1].view(np.bool_)

    return cut


@lru_cache(maxsize=4)
def _bits(path: Path) -> tuple[npt.NDArray[np.uint8], tuple[int, int, int]]:
    """Masks of the page someone scrolls through, eight voxels to a byte (5 MB for 150 slices)."""
    return selectors.read_bits(path)


def _gray(hu: npt.NDArray[np.int16], center: int, width: int) -> npt.NDArray[np.uint8]:
    low = center - width / 2
    scaled = (hu.astype(np.float32) - low) * (255.0 / width)
    return np.clip(scaled, 0, 255).astype(np.uint8)


def _square(plane: Plane) -> tuple[int, int]:
    """(width, height) in pixels of equal mm, none smaller than the native ones."""
    (row_mm, column_mm), (rows, columns) = plane.pixel, plane.size
    fine = min(row_mm, column_mm)
    width, height = columns * column_mm / fine, rows * row_mm / fine
    shrink = min(1.0, 1024 / max(width, height))
    return max(1, round(width * shrink)), max(1, round(height * shrink))


def _outline(marked: npt.NDArray[np.bool_], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """The border pixels of a mask after it was brought to the size of the image."""
    wide = np.array(
        Image.fromarray(marked.astype(np.uint8)).resize(size, Image.Resampling.NEAREST), dtype=bool
    )
    inner = wide.copy()
    inner[1:] &= wide[:-1]
    inner[:-1] &= wide[1:]
    inner[:, 1:] &= wide[:, :-1]
    inner[:, :-1] &= wide[:, 1:]
    return wide & ~inner


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, format="PNG", compress_level=1)
    return out.getvalue()
