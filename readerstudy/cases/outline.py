"""Where a lesion lies in the voxels of its rendition: for people who may know what a case is.

Nothing of this is stored. The layout of a rendition is drawn anew from the seed of its build; if
that does not give the stored marker, there is no outline rather than a wrong one.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from readerstudy.library import selectors as library
from readerstudy.library.imaging.geometry import to_lps_axes

from .errors import CasesError
from .models import Candidate, Rendition
from .patches import load_patch
from .rendition import Rule, generator_of, lay_out


def lesion_outline(
    candidate_id: uuid.UUID, rendition: Rendition, seeds: Sequence[int]
) -> dict[str, Any] | None:
    """The lesion's mask in voxels of `rendition`, or None where it cannot be told.

    Args:
        seeds: one of them is that of the build that made the rendition.

    Returns:
        `box` [[x0, x1], [y0, y1], [z0, z1]] (half open) and `bits`, base64 of its voxels in the
        order z, y, x, eight a byte, the first one in the highest bit.
    """
    candidate = Candidate.objects.select_related("volume").filter(pk=candidate_id).first()
    if candidate is None:
        return None
    geometry = library.geometry(candidate.volume)
    try:
        patch = load_patch(candidate)
    except CasesError:
        return None
    # The volume itself is not needed: its axes turn on an array that takes no memory.
    _, lps = to_lps_axes(np.broadcast_to(np.False_, geometry.shape), geometry)
    z, y, x = patch.mask.shape
    start = np.asarray(patch.offset[::-1], float)
    grid = replace(geometry, shape=(z, y, x), origin=tuple(geometry.index_to_world(start).tolist()))
    mask, turned = to_lps_axes(patch.mask, grid)
    corner = np.rint(lps.world_to_index(np.asarray(turned.origin))).astype(int)
    filled = np.argwhere(mask)[:, ::-1]
    if not filled.size:
        return None
    low, high = filled.min(axis=0), filled.max(axis=0) + 1
    box = [[int(a + c), int(b + c)] for a, b, c in zip(low, high, corner, strict=True)]
    rule = Rule.from_document(rendition.rule)
    for seed in seeds:
        view = lay_out(box, lps, rule, generator_of(candidate, seed))
        if (view.marker, view.start_slice) == (rendition.marker, rendition.start_slice):
            break
    else:
        return None
    cut = mask[low[2] : high[2], low[1] : high[1], low[0] : high[0]]
    return packed(cut, [a + s for (a, _), s in zip(box, view.shift, strict=True)])


def packed(cut: npt.NDArray[np.bool_], corner: Sequence[int]) -> dict[str, Any]:
    """A mask (z, y, x) as the viewer has it; its first voxel is the voxel ``corner`` (x, y, z)."""
    box = [[int(at), int(at) + size] for at, size in zip(corner, cut.shape[::-1], strict=True)]
    return {"box": box, "bits": base64.b64encode(np.packbits(cut).tobytes()).decode()}
