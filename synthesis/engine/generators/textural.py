"""The procedural generator: no weights, no training, statistics of the organ's real lesions.

Inside the lesion the host's smooth part gives way to a new tissue level (contrast of the organ's
prior, a darker core, band-limited grain), while the host's own noise stays. Vessels that ran
through the place disappear under the lesion, as they do under a real one. With mass effect the
structures around the lesion are pushed outwards, again without touching the noise.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from synthesis.engine.arrays import Field, MaskArray
from synthesis.engine.generators import Painted
from synthesis.engine.mass_effect import on_crop, push_aside
from synthesis.engine.measure import region_noise_sd
from synthesis.engine.organs import OrganPrior
from synthesis.engine.records import HostCrop
from synthesis.engine.shapes import SoftLesion
from synthesis.engine.textures import HostSplit, band_limited, split_host

#: Reference tissue for the contrast: this far (mm) from the lesion's surface.
_RING_MM = (2.0, 9.0)
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
            _, depth = on_crop(host, lesion)
            change, feather = push_aside(host, lesion, depth, mass_effect)
        # The lesion itself needs less of its surroundings than the push does.
        box = lesion.box.grown(_CONTEXT_MM, host.spacing_zyx).clipped_to(host.box)
        near, cut = host.inner(box), box.within(host.box)
        coverage, depth = on_crop(near, lesion)
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
