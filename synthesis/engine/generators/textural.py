"""The procedural generator: no weights, no training, statistics of the organ's real lesions.

Inside the lesion the host's smooth part gives way to a new tissue level (contrast of the organ's
prior, a darker core, band-limited grain), while the host's own noise stays. Vessels that ran
through the place disappear under the lesion, as they do under a real one. With mass effect the
structures around the lesion are pushed outwards, again without touching the noise.
"""

from __future__ import annotations

import numpy as np

from synthesis.engine.arrays import Field, MaskArray
from synthesis.engine.generators import Painted
from synthesis.engine.mass_effect import on_crop, push_aside, pushed_mm
from synthesis.engine.measure import region_noise_sd
from synthesis.engine.organs import OrganPrior
from synthesis.engine.records import HostCrop
from synthesis.engine.shapes import SoftLesion
from synthesis.engine.textures import HostSplit, band_limited, split_host

#: Reference tissue for the contrast: this far (mm) from the lesion's surface.
_RING_MM = (2.0, 9.0)
#: Tissue (mm) around the lesion for its reference ring and noise.
_CONTEXT_MM = 9.5
#: Contrast and level are drawn within this many SD: the odd lesion, not the impossible one.
_DRAWN_SD = 1.6
_GRAIN_OF_LOW_NOISE_MM = 4.5
#: The texture is made at most this much weaker or stronger to meet the noise around it.
_SCALED = (0.4, 2.5)


class TexturalGenerator:
    """Paints lesions from priors alone (see the module's text)."""

    name = "textural"
    version = "1.1"

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
        # A network beside this one may have asked for a larger crop than is needed here.
        reach = max(_CONTEXT_MM, pushed_mm(lesion.diameter_mm) + 1.0 if mass_effect > 0 else 0.0)
        area = lesion.surroundings(reach, host.spacing_zyx).clipped_to(host.box)
        wide, cut = host.inner(area), area.within(host.box)
        coverage, depth = on_crop(wide, lesion)
        if mass_effect > 0:
            change[cut], feather[cut] = push_aside(wide, lesion, depth, mass_effect)
        # The lesion itself needs less of its surroundings than the push does.
        box = lesion.surroundings(_CONTEXT_MM, host.spacing_zyx).clipped_to(host.box)
        near, depth = host.inner(box), depth[box.within(area)]
        cut = lesion.box.within(host.box)
        split = split_host(rng, near.hu, near.tissue, near.spacing_zyx)
        ring = _ring(near, depth)
        reference = float(np.median(near.hu[ring]))
        level = _draw_level(rng, prior, reference)
        texture, drawn = _texture(rng, near, lesion, prior, split, ring)
        core = float(rng.uniform(0.0, 2.0) * prior.core_depth)
        target = level + (level - reference) * core * _inwards(lesion) + texture
        weight = coverage[lesion.box.within(area)]
        change[cut] += weight * (target - (host.hu[cut] + change[cut]))
        feather[cut] = np.maximum(feather[cut], weight)
        parameters: dict[str, float | str] = {
            "reference_hu": round(reference, 2),
            "level_hu": round(level, 2),
            "contrast_hu": round(level - reference, 2),
            "core_depth": round(core, 3),
            "edge_mm": round(lesion.edge_mm, 3),
            "mass_effect": float(mass_effect),
            **drawn,
        }
        return Painted(change, feather, parameters)


def _ring(host: HostCrop, depth: Field) -> MaskArray:
    """The organ around the lesion, or all of it in the crop where that leaves too little."""
    ring = host.tissue & (depth < -_RING_MM[0]) & (depth > -_RING_MM[1])
    return ring if ring.sum() >= 20 else host.tissue


def _inwards(lesion: SoftLesion) -> Field:
    """From -0.5 at the rim to +0.5 at the center, so that the mean stays at the drawn level."""
    radius = np.float32(max(0.5 * lesion.diameter_mm, 1e-3))
    out: Field = np.clip(lesion.depth_mm / radius, 0.0, 1.0) - np.float32(0.5)
    return out


def _draw_level(rng: np.random.Generator, prior: OrganPrior, reference: float) -> float:
    """The lesion's own HU: drawn itself where the prior is absolute, else by its contrast."""
    low, high = prior.contrast_range
    draw = float(np.clip(rng.standard_normal(), -_DRAWN_SD, _DRAWN_SD))
    if prior.absolute:
        contrast = prior.level + draw * prior.level_sd - reference
    else:
        contrast = prior.contrast + draw * prior.contrast_sd
    return reference + float(np.clip(contrast, low, high))


def _texture(
    rng: np.random.Generator,
    host: HostCrop,
    lesion: SoftLesion,
    prior: OrganPrior,
    split: HostSplit,
    ring: MaskArray,
) -> tuple[Field, dict[str, float | str]]:
    """Grain and noise in HU on the lesion's box, together as strong as the noise in ``ring``.

    Grain adds to the noise that the host keeps, and in the lung small vessels do; left alone the
    lesion would be noisier than its surroundings.
    """
    grain_mm = float(rng.uniform(*prior.grain_mm))
    grain = band_limited(rng, lesion.box.shape, host.spacing_zyx, grain_mm)
    # The slow part of the scanner's noise went away with the host's smooth part: put it back,
    # but never more than a noisy soft tissue has, since in the lung it holds vessels too.
    slow_sd = min(split.low_sd, 0.5 * split.noise_sd)
    slow = band_limited(rng, lesion.box.shape, host.spacing_zyx, _GRAIN_OF_LOW_NOISE_MM)
    # Tissue grain much stronger than the scanner's noise would stand out as a second noise.
    grain_sd = min(prior.heterogeneity_sd, 0.55 * split.noise_sd)
    texture = grain_sd * grain + slow_sd * slow + split.noise[lesion.box.within(host.box)]
    around = region_noise_sd(host.hu, ring, host.spacing_zyx)
    here = region_noise_sd(texture, lesion.mask, host.spacing_zyx)
    scale = float(np.clip(around / here, *_SCALED)) if around > 0 and here > 0 else 1.0
    drawn: dict[str, float | str] = {
        "grain_mm": round(grain_mm, 2),
        "grain_hu": round(scale * grain_sd, 2),
        "slow_noise_hu": round(scale * slow_sd, 2),
        "host_noise_hu": round(around, 2),
    }
    return (np.float32(scale) * texture).astype(np.float32), drawn
