"""The outline of a lesion in its rendition: the same voxels, or none at all."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from readerstudy.cases.outline import lesion_outline
from readerstudy.cases.patches import load_patch
from readerstudy.cases.rendition import Rule, build_renditions, generator_of, render
from readerstudy.cases.services import make_candidates
from readerstudy.library import selectors as library
from readerstudy.library.imaging.geometry import IDENTITY, to_lps_axes
from tests.synthesis.hosts import ball_host

from .conftest import FLIPPED, keep

RULE = {
    "matrix": 32,
    "max_slices": 12,
    "marker": {"kind": "box", "margin_mm": 3.0, "jitter_mm": 2.0},
    "start_slice": {"rule": "lesion", "jitter_slices": 1},
}


def filled(outline: dict[str, Any], shape: tuple[int, ...]) -> np.ndarray:
    """The outline as a mask of the rendition, (z, y, x)."""
    (x0, x1), (y0, y1), (z0, z1) = outline["box"]
    size = (z1 - z0, y1 - y0, x1 - x0)
    bits = np.unpackbits(np.frombuffer(base64.b64decode(outline["bits"]), np.uint8))
    mask = np.zeros(shape, bool)
    mask[z0:z1, y0:y1, x0:x1] = bits[: np.prod(size)].reshape(size)
    return mask


@pytest.fixture(params=[IDENTITY, FLIPPED], ids=["as stored", "all axes turned"])
def candidate(db: None, request: Any) -> Any:
    scan = ball_host((1.5, 1.5, 3.0), tumor_radius_mm=8.0, seed=3)
    return make_candidates(keep(scan, direction=request.param))[0]


def test_the_outline_is_the_lesion_mask_moved_as_the_images_were(candidate: Any) -> None:
    row = build_renditions([candidate], RULE, seed=4)[candidate.pk]
    outline = lesion_outline(candidate.pk, row, [9, 4])
    geometry, patch = library.geometry(candidate.volume), load_patch(candidate)
    # By another way: the mask goes through the code that renders the HU.
    whole = np.zeros(geometry.shape, np.int16)
    whole[patch.slices] = 1000 * patch.mask
    turned, _ = to_lps_axes(whole, geometry)
    wanted = _rendered(candidate, turned)
    assert wanted.sum() == patch.mask.sum() > 50
    assert np.array_equal(filled(outline, wanted.shape), wanted)


def _rendered(candidate: Any, lps: np.ndarray) -> np.ndarray:
    """Where the rendition shows the voxels of `lps`, found by looking for the lesion's HU."""
    shown = render(candidate, Rule.from_document(RULE), generator_of(candidate, 4))
    geometry, patch = library.geometry(candidate.volume), load_patch(candidate)
    source, _ = to_lps_axes(patch.apply(library.load_ct(candidate.volume)), geometry)
    count, rows, columns = shown.frames.shape
    for z in range(lps.shape[0] - count + 1):
        for y in range(lps.shape[1] - rows + 1):
            for x in range(lps.shape[2] - columns + 1):
                cut = (slice(z, z + count), slice(y, y + rows), slice(x, x + columns))
                if np.array_equal(source[cut][:, 0], shown.frames[:, 0]) and np.array_equal(
                    source[cut], shown.frames
                ):
                    return lps[cut] > 0
    raise AssertionError("the rendition shows no part of its volume")


def test_no_outline_rather_than_a_wrong_one(candidate: Any) -> None:
    row = build_renditions([candidate], RULE, seed=4)[candidate.pk]
    assert lesion_outline(candidate.pk, row, [5, 6]) is None
    candidate.delete()
    assert lesion_outline(candidate.pk, row, [4]) is None
