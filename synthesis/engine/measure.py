"""Numbers that describe a lesion in its scan, the same for real and synthetic ones."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from scipy import ndimage

from synthesis.engine.arrays import (
    Field,
    Hu,
    MaskArray,
    Spacing,
    bounding_box,
    equivalent_diameter_mm,
    robust_sd,
    smooth,
    typical,
    voxel_ml,
    zyx,
)

#: The tissue a lesion is compared with lies this far (mm) from its surface.
RING_MM = (2.0, 10.0)
#: Width (mm) of the smoothing that splits noise (high-pass) from structure (low-pass); never less
#: than a voxel, where smoothing would leave the noise in what it calls structure.
NOISE_SPLIT_MM = 1.6
#: Noise is read this deep (mm) in the lesion, where its soft edge no longer shows, and only
#: where that leaves enough voxels for a standard deviation to mean something.
_CLEAR_OF_EDGE_MM = 3.5
_ENOUGH_VOXELS = 80
#: Width (mm) of a soft edge, whose tail falls by a factor e over it, and the share of the noise
#: below which nobody sees it.
_EDGE_MM, _DROWNED = 0.9, 0.3
_NEIGHBORS_CLEAR_MM = 2.0
_ABOVE_AND_BELOW = np.ones((3, 1, 1), bool)


@dataclass(frozen=True)
class LesionMeasure:
    """Measurements of one lesion; NaN where the surrounding organ offers nothing to compare.

    ``noise_ratio`` is the robust standard deviation of the high-pass signal inside the lesion
    over that of the ring of organ around it; NaN for lesions too small to have an inside.
    """

    volume_ml: float
    diameter_mm: float
    mean_hu: float
    core_hu: float
    ring_hu: float
    contrast_hu: float
    noise_hu: float
    noise_ratio: float
    center: tuple[float, float, float]
    bbox: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def region_noise_sd(hu: Field, region: MaskArray, spacing_zyx: Spacing) -> float:
    """Robust SD (HU) of the in-plane high-pass signal of ``region``.

    The smooth part is averaged over the region alone, so that a steep edge beside it (a nodule
    in air) does not count as noise; fine structure within it (vessels in the lung) is dropped
    after a first look and the rest is read again.
    """
    box = bounding_box(region)
    if box is None:
        return 0.0
    hu, region = hu[box.slices], region[box.slices]
    in_plane: Spacing = (1e6, spacing_zyx[1], spacing_zyx[2])
    width = max(NOISE_SPLIT_MM, *spacing_zyx[1:])
    for last in (False, True):
        if not region.any():
            return 0.0
        weight = region.astype(np.float32)
        level = np.float32(typical(hu[region]))
        total = np.maximum(smooth(weight, width, in_plane), 1e-3)
        low = level + smooth((hu - level) * weight, width, in_plane) / total
        sd = robust_sd((hu - low)[region])
        if last or sd == 0.0:
            break
        spread = robust_sd(low[region])
        structure = (np.abs(hu - low) > 3.0 * sd) | (np.abs(low - level) > 3.0 * spread)
        region = region & ~structure
    return sd


def _clear_of_edge_mm(contrast: float, noise: float) -> float:
    """How deep (mm) the tail of a soft edge is drowned in the noise, at most twice the least.

    A nodule of 850 HU in quiet lung still shows its edge where a liver lesion of 40 HU does not.
    """
    if not np.isfinite(contrast) or contrast == 0.0 or noise <= 0.0:
        return _CLEAR_OF_EDGE_MM
    tail = _EDGE_MM * float(np.log(abs(contrast) / (_DROWNED * noise)))
    return min(max(tail, _CLEAR_OF_EDGE_MM), 2.0 * _CLEAR_OF_EDGE_MM)


def measure_lesion(
    hu: Hu | Field,
    mask: MaskArray,
    spacing: Spacing,
    *,
    organ: MaskArray | None = None,
    other_tumors: MaskArray | None = None,
) -> LesionMeasure:
    """Measure the lesion ``mask`` in ``hu``.

    Args:
        hu: scan in HU, shape (z, y, x); only the region around the lesion is read.
        mask: the lesion, same shape.
        spacing: voxel size (x, y, z) in mm.
        organ: the organ it lies in; the ring of reference tissue stays inside it.
        other_tumors: voxels never used as reference tissue.

    Returns:
        The measurements; ``center`` and ``bbox`` are voxel indices in (x, y, z) order, and
        ``bbox`` is half open.

    Raises:
        ValueError: the mask is empty.
    """
    tight = bounding_box(mask)
    if tight is None:
        raise ValueError("The lesion mask is empty.")
    step = zyx(spacing)
    box = tight.grown(RING_MM[1], step).clipped(mask.shape)
    crop = np.asarray(hu[box.slices], np.float32)
    lesion = np.asarray(mask[box.slices], bool)
    outside = ndimage.distance_transform_edt(~lesion, sampling=step)
    depth = np.zeros(lesion.shape)
    place = tight.within(box)
    inner = np.pad(lesion[place], 1)
    depth[place] = ndimage.distance_transform_edt(inner, sampling=step)[1:-1, 1:-1, 1:-1]
    ring = (outside >= RING_MM[0]) & (outside <= RING_MM[1])
    if organ is not None:
        ring &= np.asarray(organ[box.slices], bool)
    if other_tumors is not None:
        ring &= ~np.asarray(other_tumors[box.slices], bool)
    core = lesion & (depth >= min(0.5 * float(depth.max()), 2.5))
    ring_sd = region_noise_sd(crop, ring, step)
    ring_hu = float(np.median(crop[ring])) if ring.any() else float("nan")
    contrast = float(crop[core].mean()) - ring_hu
    # Where the surface slants through thick slices, the slices above and below know it first.
    within = ndimage.binary_erosion(depth >= _NEIGHBORS_CLEAR_MM, _ABOVE_AND_BELOW)
    heart = within & (depth >= _clear_of_edge_mm(contrast, ring_sd))
    enough = int(heart.sum()) >= _ENOUGH_VOXELS
    inside_sd = region_noise_sd(crop, heart, step) if enough else float("nan")
    volume = float(lesion.sum()) * voxel_ml(spacing)
    indices = np.argwhere(lesion)
    center = indices.mean(axis=0) + np.asarray(box.start)
    bounds = list(zip(tight.start, tight.stop, strict=True))[::-1]
    return LesionMeasure(
        volume_ml=volume,
        diameter_mm=equivalent_diameter_mm(volume),
        mean_hu=float(crop[lesion].mean()),
        core_hu=float(crop[core].mean()),
        ring_hu=ring_hu,
        contrast_hu=contrast,
        noise_hu=ring_sd,
        noise_ratio=inside_sd / ring_sd if ring_sd > 0 else float("nan"),
        center=(float(center[2]), float(center[1]), float(center[0])),
        bbox=(bounds[0], bounds[1], bounds[2]),
    )
