"""A picture of each lesion: three planes through its center, before above after."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from readerstudy.cases.display import windows
from readerstudy.library.imaging.geometry import Geometry, to_lps_axes

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

#: Side of one panel in pixels, what it shows in mm, and the gap between panels in pixels.
PANEL, FIELD_MM, GAP, HEAD = 340, 150.0, 6, 30
_INK, _DIM, _PAPER, _EDGE = (236, 238, 242), (150, 156, 166), (16, 18, 22), (255, 196, 64)
#: Plane, its array axis, and the letters at its left and top edge (LPS axes).
PLANES = (("Axial", 0, "R", "A"), ("Coronal", 1, "R", "S"), ("Sagittal", 2, "A", "S"))

Hu = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Shown:
    """One lesion to show: its center (z, y, x) on the native grid, and a line of words."""

    center: tuple[float, float, float]
    diameter_mm: float
    words: str


def preview_png(before: Hu, after: Hu, geometry: Geometry, organ: str, shown: list[Shown]) -> bytes:
    """PNG of all lesions of a variant, one pair of rows each; millimetres are square."""
    from PIL import Image, ImageDraw, ImageFont

    width = 3 * PANEL + 4 * GAP
    block = HEAD + 2 * (PANEL + GAP)
    sheet = Image.new("RGB", (width, block * len(shown) + GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(16), ImageFont.load_default(13)
    window = windows(organ)[0]
    for number, lesion in enumerate(shown):
        top = number * block
        draw.text((2 * GAP, top + 8), lesion.words, fill=_INK, font=large)
        words = f"{window['name']} window {window['center']} / {window['width']} HU"
        draw.text((width - 2 * GAP, top + 10), words, fill=_DIM, font=small, anchor="ra")
        for row, (side, hu) in enumerate((("before", before), ("after", after))):
            for column, (plane, axis, left, upper) in enumerate(PLANES):
                x = GAP + column * (PANEL + GAP)
                y = top + HEAD + row * (PANEL + GAP)
                sheet.paste(_panel(hu, geometry, axis, lesion.center, window), (x, y))
                _label(draw, (x + 8, y + 6), f"{plane}, {side}", small, fill=_INK)
                middle = PANEL // 2
                _label(draw, (x + 6, y + middle), left, small, anchor="lm")
                _label(draw, (x + middle, y + 6), upper, small, anchor="mt")
                _corners(draw, x + middle, y + middle, lesion.diameter_mm)
        _scale(draw, GAP, top + HEAD + 2 * (PANEL + GAP) - GAP, small)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def _panel(
    hu: Hu,
    geometry: Geometry,
    axis: int,
    center: tuple[float, float, float],
    window: dict[str, Any],
) -> Picture:
    """One plane through ``center``, FIELD_MM wide, in the window of the organ."""
    from PIL import Image

    turned, lps = to_lps_axes(hu, geometry)
    z, y, x = center
    point = lps.world_to_index(geometry.index_to_world((x, y, z)))[::-1]
    plane = np.take(turned, int(np.clip(round(point[axis]), 0, lps.shape[axis] - 1)), axis=axis)
    down, across = (a for a in range(3) if a != axis)
    spacing = lps.spacing[::-1]
    low = window["center"] - window["width"] / 2
    grey = np.clip((plane.astype(np.float32) - low) / window["width"] * 255, 0, 255)
    image = Image.fromarray(grey.astype(np.uint8))
    middle_down, middle_across = point[down] + 0.5, point[across] + 0.5
    if axis:  # superior is up
        image = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
        middle_down = plane.shape[0] - middle_down
    high, wide = 0.5 * FIELD_MM / spacing[down], 0.5 * FIELD_MM / spacing[across]
    scale_x, scale_y = 2 * wide / PANEL, 2 * high / PANEL
    return image.transform(
        (PANEL, PANEL),
        Image.Transform.AFFINE,
        (scale_x, 0, middle_across - wide, 0, scale_y, middle_down - high),
        resample=Image.Resampling.BICUBIC,
    ).convert("RGB")


def _corners(draw: Any, x: int, y: int, diameter_mm: float) -> None:
    """Four corners around the lesion, so that the eye finds it and nothing covers it."""
    half = int((0.5 * diameter_mm + 9.0) * PANEL / FIELD_MM)
    half = min(half, PANEL // 2 - 4)
    arm = max(5, half // 5)
    for across, down in ((-1, -1), (1, -1), (-1, 1), (1, 1)):
        corner = (x + across * half, y + down * half)
        draw.line([corner, (corner[0] - across * arm, corner[1])], fill=_EDGE)
        draw.line([corner, (corner[0], corner[1] - down * arm)], fill=_EDGE)


def _scale(draw: Any, x: int, y: int, font: Any) -> None:
    length = round(20.0 * PANEL / FIELD_MM)
    draw.line([(x + 10, y - 12), (x + 10 + length, y - 12)], fill=_INK, width=2)
    _label(draw, (x + 16 + length, y - 12), "20 mm", font, fill=_INK, anchor="lm")


def _label(
    draw: Any,
    at: tuple[int, int],
    text: str,
    font: Any,
    *,
    fill: tuple[int, int, int] = _DIM,
    anchor: str = "la",
) -> None:
    """Words on an image, with a dark edge so that they read on bone as on air."""
    draw.text(at, text, fill=fill, font=font, anchor=anchor, stroke_width=2, stroke_fill=_PAPER)
