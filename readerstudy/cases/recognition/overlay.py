"""A picture of what was found: a row a lesion, three planes, the outline of the mask."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from readerstudy.cases.display import windows
from readerstudy.library.imaging.geometry import Geometry, to_lps_axes

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from recognition.engine.lesions import Lesion

_INK, _FAINT, _PAPER, _EDGE = (236, 238, 242), (160, 166, 176), (16, 18, 22), (255, 196, 64)
#: Side of one panel in pixels, what it shows in mm, the gap between panels, a row's heading.
PANEL, FIELD_MM, GAP, HEAD = 340, 200.0, 6, 30
#: Plane, its array axis, and the letters at its left and top edge (LPS axes).
_PLANES = (("Axial", 0, "R", "A"), ("Coronal", 1, "R", "S"), ("Sagittal", 2, "A", "S"))
#: More lesions than this are in the table only.
MOST = 8


def overlay_png(
    hu: npt.NDArray[np.int16],
    mask: npt.NDArray[np.bool_],
    geometry: Geometry,
    organ: str,
    lesions: Sequence[Lesion],
    note: str = "",
) -> bytes:
    """PNG of the largest lesions, or of the middle of the CT with the words that none was found.

    ``note`` stands below them: what made the picture.
    """
    from PIL import Image, ImageDraw, ImageFont

    turned, lps = to_lps_axes(hu, geometry)
    outlined, _ = to_lps_axes(mask, geometry)
    shown = list(lesions[:MOST])
    width, block = 3 * PANEL + 4 * GAP, HEAD + PANEL + GAP
    above = block * max(len(shown), 1)
    sheet = Image.new("RGB", (width, above + GAP + (HEAD if note else 0)), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    rows: list[tuple[str, tuple[float, float, float]]] = [
        (
            f"{lesion.number}: {lesion.diameter_mm:.1f} mm, {lesion.volume_ml:.2f} ml, "
            f"probability {lesion.probability:.2f}",
            lesion.centroid,
        )
        for lesion in shown
    ]
    if not rows:
        z, y, x = (n / 2 for n in hu.shape)
        rows = [("No tumor was found", (z, y, x))]
    window = windows(organ)[0]
    for number, (words, (z, y, x)) in enumerate(rows):
        top = number * block
        draw.text((2 * GAP, top + 8), words, fill=_INK, font=font)
        point = lps.world_to_index(geometry.index_to_world((x, y, z)))[::-1]
        for column, (plane, axis, left, upper) in enumerate(_PLANES):
            panel = _panel(turned, outlined, lps, axis, point, window)
            at = (GAP + column * (PANEL + GAP), top + HEAD)
            sheet.paste(panel, at)
            small = ImageFont.load_default(13)
            draw.text((at[0] + 8, at[1] + 6), plane, fill=_INK, font=small)
            middle = PANEL // 2
            draw.text((at[0] + 6, at[1] + middle), left, fill=_INK, font=small, anchor="lm")
            draw.text((at[0] + middle, at[1] + 6), upper, fill=_INK, font=small, anchor="mt")
    if note:
        draw.text((2 * GAP, above + GAP + 4), note, fill=_FAINT, font=ImageFont.load_default(13))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def _panel(
    hu: npt.NDArray[np.int16],
    mask: npt.NDArray[np.bool_],
    lps: Geometry,
    axis: int,
    point: npt.NDArray[np.float64],
    window: dict[str, float],
) -> Picture:
    """One plane through ``point`` (z, y, x), FIELD_MM wide, with the outline of the mask."""
    from PIL import Image
    from scipy import ndimage

    index = int(np.clip(round(float(point[axis])), 0, lps.shape[axis] - 1))
    down, across = (a for a in range(3) if a != axis)
    spacing = lps.spacing[::-1]
    steps = (np.arange(PANEL) + 0.5) / PANEL - 0.5
    rows = point[down] + steps * FIELD_MM / spacing[down] * (-1 if axis else 1)
    columns = point[across] + steps * FIELD_MM / spacing[across]
    grid = np.meshgrid(rows, columns, indexing="ij")
    plane = np.take(hu, index, axis=axis).astype(np.float32)
    low = window["center"] - window["width"] / 2
    values = ndimage.map_coordinates(plane, grid, order=1, cval=-1024.0)
    grey = np.clip((values - low) / window["width"] * 255, 0, 255).astype(np.uint8)
    inside = ndimage.map_coordinates(
        np.take(mask, index, axis=axis).astype(np.float32), grid, order=1, cval=0.0
    )
    shape = inside >= 0.5
    edge = shape & ~ndimage.binary_erosion(shape)
    color = np.repeat(grey[..., None], 3, axis=2)
    color[edge] = _EDGE
    return Image.fromarray(color)
