"""A volume made elsewhere, compared with the CT it was made from: what changed, and where.

Numbers in, numbers out: files are read in `delivery.hosts`, rows are written in
`services.foreign`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from readerstudy.library.imaging.errors import GridMismatch
from readerstudy.library.imaging.geometry import Geometry, VolumeData, conform

from .errors import CasesError
from .patches import HU_MAX, HU_MIN, Patch

#: Width (mm) over which the change fades out around the mask when the outside is removed.
FEATHER_MM = 2.0
#: A bound shared by this share of the voxels beyond it in the original is a clipped window.
_CLIPPED_SHARE = 0.98
#: So many voxels beyond the bound are needed before it can be called one.
_CLIPPED_VOXELS = 1000

Hu = npt.NDArray[np.int16]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Change:
    """What a foreign generator did to a CT.

    ``outside`` is beyond the mask; ``max_outside_hu`` is the largest absolute change there.
    """

    inside: int
    outside: int
    max_outside_hu: int
    mask_voxels: int

    def sentence(self) -> str:
        """For a terminal or a page."""
        words = f"{self.inside:,} of {self.mask_voxels:,} voxels of the mask changed"
        if not self.outside:
            return f"{words}, none outside it."
        return f"{words}, and {self.outside:,} outside it by up to {self.max_outside_hu:,} HU."


def on_grid(made: VolumeData, original: Geometry, name: str) -> Hu:
    """The HU of ``made`` in the axis order of the original.

    Raises:
        CasesError: it lies on another grid.
    """
    try:
        return np.ascontiguousarray(conform(made.hu, made.geometry, original))
    except GridMismatch as error:
        raise CasesError(f"{name}: {error}; make it on the grid of the original.") from None


def compare(original: Hu, made: Hu, mask: Mask) -> Change:
    """Count what changed, (z, y, x) arrays of one grid.

    Raises:
        CasesError: the mask is empty, or nothing changed inside it.
    """
    if not mask.any():
        raise CasesError("The mask marks no voxel; give the mask of the inserted lesion.")
    differs = original != made
    inside = int(np.count_nonzero(differs & mask))
    if not inside:
        raise CasesError(
            "Nothing changed inside the mask: check that original and synthetic are not the same "
            "file and that the mask is that of the inserted lesion."
        )
    beyond = differs & ~mask
    outside = int(np.count_nonzero(beyond))
    largest = 0
    if outside:
        gaps = made[beyond].astype(np.int32) - original[beyond]
        largest = int(np.abs(gaps).max())
    return Change(inside, outside, largest, int(np.count_nonzero(mask)))


def clipped_to(original: Hu, made: Hu) -> tuple[int | None, int | None]:
    """Bounds of a window that the synthetic volume was cut to; None where it was not.

    A bound counts when nearly every voxel of the original beyond it has exactly its value.
    """
    low, high = int(made.min()), int(made.max())
    below, above = original < low, original > high
    lower = upper = None
    if np.count_nonzero(below) >= _CLIPPED_VOXELS and (made[below] == low).mean() > _CLIPPED_SHARE:
        lower = low
    if np.count_nonzero(above) >= _CLIPPED_VOXELS and (made[above] == high).mean() > _CLIPPED_SHARE:
        upper = high
    return lower, upper


def refuse_clipped(original: Hu, made: Hu, name: str) -> None:
    """Raises CasesError when the HU were cut to a window that the original does not have."""
    lower, upper = clipped_to(original, made)
    if lower is None and upper is None:
        return
    bounds = [f"below {lower:,}" if lower is not None else ""]
    bounds.append(f"above {upper:,}" if upper is not None else "")
    words = " and ".join(bound for bound in bounds if bound)
    raise CasesError(
        f"{name}: its HU are clipped {words}, while the original's reach from "
        f"{int(original.min()):,} to {int(original.max()):,}; bring it in with the change outside "
        "the mask removed (--clean-outside), or save it without a window."
    )


def as_patch(
    original: Hu, made: Hu, mask: Mask, geometry: Geometry, *, clean_outside: bool
) -> Patch:
    """What is stored: the change, whole, or only inside the feathered mask.

    With ``clean_outside`` the weight is 1 in the mask and falls to 0 over `FEATHER_MM` around it;
    every voxel beyond keeps the bits of the original.

    Raises:
        CasesError: a change is larger than any CT holds, or nothing is left of it.
    """
    wanted = np.clip(made.astype(np.int32), HU_MIN, HU_MAX)
    gap = np.where(original != made, wanted - original, 0)
    if np.abs(gap).max() > np.iinfo(np.int16).max:
        raise CasesError("A voxel changes by more than 32,767 HU, which no CT can hold.")
    if clean_outside:
        weight = _feather(mask, geometry)
        residual = np.rint(gap * weight).astype(np.int16)
    else:
        weight = ((gap != 0) | mask).astype(np.float32)
        residual = gap.astype(np.int16)
    if not residual[mask].any():
        raise CasesError("Nothing is left of the change inside the mask; check the mask.")
    support = (weight > 0) | mask
    spans = []
    for axis in range(3):
        others = tuple(k for k in range(3) if k != axis)
        where = np.flatnonzero(support.any(axis=others))
        spans.append(slice(int(where[0]), int(where[-1]) + 1))
    cut = (spans[0], spans[1], spans[2])
    return Patch(
        (spans[0].start, spans[1].start, spans[2].start),
        np.ascontiguousarray(mask[cut]),
        weight[cut].astype(np.float16),
        np.ascontiguousarray(residual[cut]),
    )


def _feather(mask: Mask, geometry: Geometry) -> npt.NDArray[np.float32]:
    """1 in the mask, a cosine to 0 over `FEATHER_MM` (at most; thick slices get none)."""
    from scipy import ndimage

    step = geometry.spacing[::-1]
    pads = [int(np.ceil(FEATHER_MM / s)) + 1 for s in step]
    spans = []
    for axis, pad in enumerate(pads):
        others = tuple(k for k in range(3) if k != axis)
        where = np.flatnonzero(mask.any(axis=others))
        start, stop = max(0, int(where[0]) - pad), min(mask.shape[axis], int(where[-1]) + 1 + pad)
        spans.append(slice(start, stop))
    cut = (spans[0], spans[1], spans[2])
    gap = ndimage.distance_transform_edt(~mask[cut], sampling=step)
    soft = 0.5 + 0.5 * np.cos(np.pi * np.clip(gap / FEATHER_MM, 0.0, 1.0))
    weight = np.zeros(mask.shape, np.float32)
    weight[cut] = np.where(gap < FEATHER_MM, soft, 0.0)
    return weight
