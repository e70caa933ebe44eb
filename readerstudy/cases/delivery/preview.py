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

#: Side of one panel, gap between panels and height of the headline, in pixels.
PANEL, GAP, HEAD = 340, 6, 34
#: A panel shows so many times the lesion's diameter, but within these bounds (mm).
FIELD, FIELD_MM = 6.0, (90.0, 220.0)
_INK, _DIM, _PAPER, _EDGE = (236, 238, 242), (150, 156, 166), (16, 18, 22), (255, 196, 64)
#: Grey of what lies outside the volume: not the black of air.
_NOTHING = 34
_RAMP = (120, 12)
#: Plane, its array axis, and the letters at its left, right, top and bottom edge (LPS axes).
PLANES = (("Axial", 0, "RLAP"), ("Coronal", 1, "RLSI"), ("Sagittal", 2, "APSI"))

Hu = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Shown:
    """One lesion to show: its center (z, y, x) on the native grid, and a line of words."""

    center: tuple[float, float, float]
    diameter_mm: float
    words: str


def preview_png(before: Hu, after: Hu, geometry: Geometry, organ: str, shown: list[Shown]) -> bytes:
    """PNG of all lesions of a variant, one pair of rows each; millimetres are square.

    The picture says that it is synthetic, for people and in its text chunk.
    """
    from PIL import Image, ImageDraw, ImageFont
    from PIL.PngImagePlugin import PngInfo

    width = 3 * PANEL + 4 * GAP
    block = HEAD + 2 * (PANEL + GAP)
    sheet = Image.new("RGB", (width, block * len(shown) + GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(16), ImageFont.load_default(13)
    window = windows(organ)[0]
    for number, lesion in enumerate(shown):
        top = number * block
        words = f"SYNTHETIC  {lesion.words}"
        draw.text((2 * GAP, top + 18), words, fill=_INK, font=large, anchor="lm")
        _ramp(sheet, draw, (width - 2 * GAP, top + 18), window, small)
        field_mm = min(max(FIELD * lesion.diameter_mm, FIELD_MM[0]), FIELD_MM[1])
        for row, (side, hu) in enumerate((("before", before), ("after", after))):
            for column, (plane, axis, letters) in enumerate(PLANES):
                x = GAP + column * (PANEL + GAP)
                y = top + HEAD + row * (PANEL + GAP)
                sheet.paste(_panel(hu, geometry, axis, lesion.center, field_mm, window), (x, y))
                _label(draw, (x + 8, y + 6), f"{plane}, {side}", small, fill=_INK)
                _letters(draw, x, y, letters, small)
                _corners(draw, x + PANEL // 2, y + PANEL // 2, lesion.diameter_mm, field_mm)
                if row:
                    _scale(draw, x, y + PANEL, field_mm, small)
    notes = PngInfo()
    notes.add_text("Description", "SYNTHETIC lesion in a CT, before above after")
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", compress_level=3, pnginfo=notes)
    return buffer.getvalue()


def _panel(
    hu: Hu,
    geometry: Geometry,
    axis: int,
    center: tuple[float, float, float],
    field_mm: float,
    window: dict[str, Any],
) -> Picture:
    """One plane through ``center``, ``field_mm`` wide, in the window of the organ."""
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
    high, wide = 0.5 * field_mm / spacing[down], 0.5 * field_mm / spacing[across]
    scale_x, scale_y = 2 * wide / PANEL, 2 * high / PANEL
    return image.transform(
        (PANEL, PANEL),
        Image.Transform.AFFINE,
        (scale_x, 0, middle_across - wide, 0, scale_y, middle_down - high),
        resample=Image.Resampling.BICUBIC,
        fillcolor=_NOTHING,
    ).convert("RGB")


def _ramp(
    sheet: Picture, draw: Any, at: tuple[int, int], window: dict[str, Any], font: Any
) -> None:
    """The window's name and its greys with the HU of both ends, right-aligned at ``at``."""
    from PIL import Image

    x, y = at
    low = window["center"] - window["width"] / 2
    high = f"{low + window['width']:g} HU"
    draw.text((x, y), high, fill=_DIM, font=font, anchor="rm")
    x -= int(draw.textlength(high, font=font)) + 8 + _RAMP[0]
    ramp = Image.fromarray(np.linspace(0, 255, _RAMP[0]).astype(np.uint8)[None])
    sheet.paste(ramp.resize(_RAMP).convert("RGB"), (x, y - _RAMP[1] // 2))
    draw.rectangle([x - 1, y - _RAMP[1] // 2 - 1, x + _RAMP[0], y + _RAMP[1] // 2], outline=_DIM)
    draw.text((x - 8, y), f"{window['name']} window  {low:g}", fill=_DIM, font=font, anchor="rm")


def _letters(draw: Any, x: int, y: int, letters: str, font: Any) -> None:
    """Which way is which: at the left, right, upper and lower edge of a panel."""
    left, right, upper, lower = letters
    middle = PANEL // 2
    _label(draw, (x + 6, y + middle), left, font, anchor="lm")
    _label(draw, (x + PANEL - 6, y + middle), right, font, anchor="rm")
    _label(draw, (x + middle, y + 6), upper, font, anchor="mt")
    _label(draw, (x + middle, y + PANEL - 6), lower, font, anchor="mb")


def _corners(draw: Any, x: int, y: int, diameter_mm: float, field_mm: float) -> None:
    """Four corners around the lesion, so that the eye finds it and nothing covers it."""
    half = int((0.75 * diameter_mm + 4.0) * PANEL / field_mm)
    half = min(half, PANEL // 2 - 4)
    arm = max(5, half // 5)
    for across, down in ((-1, -1), (1, -1), (-1, 1), (1, 1)):
        corner = (x + across * half, y + down * half)
        draw.line([corner, (corner[0] - across * arm, corner[1])], fill=_EDGE)
        draw.line([corner, (corner[0], corner[1] - down * arm)], fill=_EDGE)


def _scale(draw: Any, x: int, y: int, field_mm: float, font: Any) -> None:
    length = round(20.0 * PANEL / field_mm)
    # with a dark edge, as the words have
    draw.rectangle([x + 8, y - 15, x + 12 + length, y - 10], fill=_PAPER)
    draw.rectangle([x + 10, y - 13, x + 10 + length, y - 12], fill=_INK)
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
