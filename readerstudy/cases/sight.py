"""What a reader sees of a lesion, for machines that read: from sent images, or written alike.

Both ways give the same block for the same lesion, rule and seed, as both go through
``rendition.render``; of the lesion's own mask nothing is left but the marker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import codec
from .errors import CasesError
from .frames import read_frame
from .models import Candidate, Rendition
from .rendition import Rule, render

if TYPE_CHECKING:
    from recognition.engine.readers.view import Box, View


def seen(rendition: Rendition) -> View:
    """The surroundings of the marker in the very frames that readers get.

    Raises:
        CasesError: the images are not in the data directory.
    """
    from recognition.engine.readers.view import View, around_marker

    box = _box(rendition.marker)
    spacing = (*reversed(rendition.spacing), rendition.slice_spacing)
    shape = (rendition.frames, rendition.rows, rendition.columns)
    cut = around_marker(shape, box, spacing)
    rows, columns = slice(*cut[1]), slice(*cut[2])
    try:
        frames = [
            codec.decode_frame(read_frame(rendition.pk, k))[rows, columns] for k in range(*cut[0])
        ]
    except FileNotFoundError:
        raise CasesError(
            f"The images of rendition {rendition.pk} are missing in the data directory; restore a "
            "backup."
        ) from None
    margin = Rule.from_document(rendition.rule).margin_mm
    return View(np.stack(frames), spacing, _moved(box, cut), margin)


def as_seen(candidate: Candidate, rule: Rule, rng: np.random.Generator) -> View:
    """The same of a candidate that is in no trial, its images written by `rule` on the spot.

    Raises:
        CasesError: a file of the candidate is missing.
    """
    from recognition.engine.readers.view import View, around_marker

    made = render(candidate, rule, rng)
    box = _box(made.marker)
    spacing = (made.spacing[1], made.spacing[0], made.slice_spacing)
    z, y, x = made.frames.shape
    cut = around_marker((z, y, x), box, spacing)
    block = made.frames[tuple(slice(*part) for part in cut)].copy()
    return View(block, spacing, _moved(box, cut), rule.margin_mm)


def _box(marker: list[list[int]]) -> Box:
    (x0, x1), (y0, y1), (z0, z1) = marker
    return ((z0, z1), (y0, y1), (x0, x1))


def _moved(box: Box, cut: Box) -> Box:
    z, y, x = (
        (low - start, high - start) for (low, high), (start, _) in zip(box, cut, strict=True)
    )
    return (z, y, x)
