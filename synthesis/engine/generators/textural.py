"""The procedural generator: no weights, no training, statistics of the organ's real lesions.

Inside the lesion the host's smooth part gives way to a new tissue level (contrast of the organ's
prior, a darker core, band-limited grain), while the host's own noise stays. Vessels that ran
through the place disappear under the lesion, as they do under a real one. With mass effect the
structures around the lesion are pushed outwards, again without touching the noise.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from synthesis.engine.arrays import Field, MaskArray, smooth
from synthesis.engine.generators import Painted
from synthesis.engine.measure import region_noise_sd
from synthesis.engine.organs import OrganPrior
from synthesis.engine.records import HostCrop
from synthesis.engine.shapes import SoftLesion
from synthesis.engine.textures import HostSplit, band_limited, split_host

#: Reference tissue for the contrast: this far (mm) from the lesion's surface.
_RING_MM = (2.0, 9.0)
#: Structures are moved after this much smoothing (mm): finer detail is noise and stays.
_MOVED_DETAIL_MM = 0.8
_LARGEST_PUSH_MM = 3.0
_FARTHEST_FADE_MM = 6.0
#: Tissue (mm) around the lesion for its reference ring and noise.
_CONTEXT_MM = 12.0
#: Contrast and level are drawn within this many SD: the odd lesion, not the impossible one.
_DRAWN_SD = 1.6
_GRAIN_OF_LOW_NOISE_MM = 4.5


class TexturalGenerator:
    """Paints lesions from priors alone (see the module's text)."""

    name = "textural"
    version = "1.0"

    def paint(
        self,
        rng: np.random.Generator,
        host: HostCrop,
        lesion: SoftLesion,
        prior: OrganPrior,
        mass_effect: float,
    ) -> Painted:
        """See ``Generator.paint``."""
        change = np.zeros(host.hu.shape, np.float32)
        feather = np.zeros(host.hu.shape, np.float32)
        if mass_effect > 0:
            _, depth = _on_crop(host, lesion)
            change, feather = _push_aside(host, lesion, depth, mass_effect)
        # The lesion itself needs less of its surroundings than the push does.
        box = lesion.box.grown(_CONTEXT_MM, host.spacing_zyx).clipped_to(host.box)
        near, cut = host.inner(box), box.within(host.box)
        coverage, depth = _on_crop(near, lesion)
        split = _matched(split_host(rng, near.hu, near.tissue, near.spacing_zyx), near, depth)
        reference = _reference_hu(near, depth)
        level = _draw_level(rng, prior, reference)
        target, drawn = _lesion_tissue(rng, near, lesion, prior, split, depth, reference, level)
        change[cut] += coverage * (target - (near.hu + change[cut]))
        feather[cut] = np.maximum(feather[cut], coverage)
        parameters: dict[str, float | str] = {
            "reference_hu": round(reference, 2),
            "level_hu": round(level, 2),
            "edge_mm": round(lesion.edge_mm, 3),
            "host_noise_hu": round(split.noise_sd, 2),
            "mass_effect": float(mass_effect),
            **drawn,
        }
        return Painted(change, feather, parameters)


def _on_crop(host: HostCrop, lesion: SoftLesion) -> tuple[Field, Field]:
    """The lesion's coverage, and its depth in mm (negative outside), on the host crop."""
    coverage = np.zeros(host.hu.shape, np.float32)
    place = lesion.box.within(host.box)
    coverage[place] = lesion.coverage
    inside = np.zeros(host.hu.shape, bool)
    inside[place] = lesion.depth_mm > 0
    if not inside.any():
        inside[place] = lesion.mask
    gap = ndimage.distance_transform_edt(~inside, sampling=host.spacing_zyx)
    depth = -gap.astype(np.float32)
    depth[place] = np.where(lesion.depth_mm > 0, lesion.depth_mm, depth[place])
    return coverage, depth


def _ring(host: HostCrop, depth: Field) -> MaskArray:
    """The organ around the lesion, or all of it in the crop where that leaves too little."""
    ring = host.tissue & (depth < -_RING_MM[0]) & (depth > -_RING_MM[1])
    return ring if ring.sum() >= 20 else host.tissue


def _matched(split: HostSplit, host: HostCrop, depth: Field) -> HostSplit:
    """The split with the noise at the lesion's place scaled to that of the ring around it.

    Where the organ is even this changes next to nothing; in the lung small vessels would
    otherwise leave the lesion noisier than its surroundings.
    """
    around = region_noise_sd(host.hu, _ring(host, depth), host.spacing_zyx)
    here = region_noise_sd(split.noise, depth > 0, host.spacing_zyx)
    if around <= 0 or here <= 0:
        return split
    scale = np.float32(np.clip(around / here, 0.6, 1.6))
    return replace(split, noise=split.noise * scale, noise_sd=around)


def _reference_hu(host: HostCrop, depth: Field) -> float:
    """Median HU of the organ around the lesion."""
    return float(np.median(host.hu[_ring(host, depth)]))


def _draw_level(rng: np.random.Generator, prior: OrganPrior, reference: float) -> float:
    """The lesion's own HU: drawn itself where the prior is absolute, else by its contrast."""
    low, high = prior.contrast_range
    draw = float(np.clip(rng.standard_normal(), -_DRAWN_SD, _DRAWN_SD))
    if prior.absolute:
        contrast = prior.level + draw * prior.level_sd - reference
    else:
        contrast = prior.contrast + draw * prior.contrast_sd
    return reference + float(np.clip(contrast, low, high))


def _lesion_tissue(
    rng: np.random.Generator,
    host: HostCrop,
    lesion: SoftLesion,
    prior: OrganPrior,
    split: HostSplit,
    depth: Field,
    reference: float,
    level: float,
) -> tuple[Field, dict[str, float | str]]:
    """HU of lesion tissue over the whole crop, as if the lesion filled it."""
    contrast = level - reference
    # From -0.5 at the rim to +0.5 at the center, so that the mean stays at the drawn level.
    inner = np.clip(depth / max(0.5 * lesion.diameter_mm, 1e-3), 0.0, 1.0) - 0.5
    core = float(rng.uniform(0.0, 2.0) * prior.core_depth)
    grain_mm = float(rng.uniform(*prior.grain_mm))
    grain = band_limited(rng, host.hu.shape, host.spacing_zyx, grain_mm)
    # The slow part of the scanner's noise went away with the host's smooth part: put it back,
    # but never more than a noisy soft tissue has, since in the lung it holds vessels too.
    slow_sd = min(split.low_sd, 0.5 * split.noise_sd)
    slow = band_limited(rng, host.hu.shape, host.spacing_zyx, _GRAIN_OF_LOW_NOISE_MM)
    # Tissue grain much stronger than the scanner's noise would stand out as a second noise.
    grain_sd = min(prior.heterogeneity_sd, 0.55 * split.noise_sd)
    target = level + contrast * core * inner + grain_sd * grain + slow_sd * slow
    drawn: dict[str, float | str] = {
        "contrast_hu": round(contrast, 2),
        "core_depth": round(core, 3),
        "grain_mm": round(grain_mm, 2),
        "grain_hu": round(grain_sd, 2),
        "slow_noise_hu": round(slow_sd, 2),
    }
    return (target + split.noise).astype(np.float32), drawn


def _push_aside(
    host: HostCrop, lesion: SoftLesion, depth: Field, strength: float
) -> tuple[Field, Field]:
    """Move the structures around the lesion outwards.

    The displacement points away from the lesion's center, is largest at its surface and fades
    over half a radius (at most 6 mm); towards the organ's edge it fades to nothing. Returns the
    change in HU and the weight of the zone that it may touch.
    """
    radius = 0.5 * lesion.diameter_mm
    largest = min(0.25 * radius, _LARGEST_PUSH_MM) * strength
    reach = float(np.clip(0.5 * radius, 2.0, _FARTHEST_FADE_MM))
    room = ndimage.distance_transform_edt(host.tissue, sampling=host.spacing_zyx)
    fade = np.exp(np.minimum(depth, 0.0) / reach) * np.clip(room / (largest + 3.0), 0.0, 1.0)
    fade = np.where(depth < -3.0 * reach, 0.0, fade)
    axes = [
        (np.arange(a, b, dtype=np.float32) - c) * s
        for a, b, c, s in zip(
            host.box.start, host.box.stop, lesion.center, host.spacing_zyx, strict=True
        )
    ]
    away: NDArray[np.float32] = np.stack(np.meshgrid(*axes, indexing="ij"))
    length = np.maximum(np.sqrt((away**2).sum(axis=0)), 1e-3)
    steps = np.asarray(host.spacing_zyx, np.float32)[:, None, None, None]
    index = np.indices(host.hu.shape, dtype=np.float32)
    source = index - away / length * (largest * fade) / steps
    structure = smooth(host.hu, _MOVED_DETAIL_MM, host.spacing_zyx)
    moved = ndimage.map_coordinates(structure, source, order=1, mode="nearest")
    zone = np.where(largest * fade > 0.02, np.minimum(fade, 1.0), 0.0).astype(np.float32)
    change = np.where(zone > 0, moved - structure, 0.0).astype(np.float32)
    return change, zone
