"""The gate of generators that need no segmentor: is this a lesion a reader could meet?

Every check writes its score, passed or not, so that a rejected lesion explains itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthesis.engine.arrays import HU_MAX, HU_MIN, Field
from synthesis.engine.measure import LesionMeasure, measure_lesion
from synthesis.engine.organs import OrganPrior
from synthesis.engine.records import HostCrop, Lesion, Scores

#: Noise inside over noise around (robust SD of the high-pass signal).
NOISE_RATIO = (0.8, 1.25)
_SMALLEST_VOXELS = 6
_DIAMETER_TOLERANCE = 0.1
#: The contrast must stand out of the noise by this many standard errors of a 3x3 patch.
_SMALLEST_CNR = 0.8


@dataclass(frozen=True)
class Fault:
    """The first check that a lesion failed: a short code to count by, and a sentence."""

    code: str
    sentence: str


def judge(host: HostCrop, lesion: Lesion, prior: OrganPrior) -> tuple[Fault | None, Scores]:
    """Score a composited lesion; no fault means that it passes."""
    before, mask = host.hu, np.zeros(host.hu.shape, bool)
    place = lesion.box.within(host.box)
    mask[place] = lesion.mask
    after: Field = before.copy()
    after[place] = np.clip(after[place] + lesion.residual, HU_MIN, HU_MAX)
    spacing = (host.spacing_zyx[2], host.spacing_zyx[1], host.spacing_zyx[0])
    measure = measure_lesion(after, mask, spacing, organ=host.organ, other_tumors=host.tumor)
    voxels = int(lesion.mask.sum())
    scores: Scores = {
        "voxels": voxels,
        "changed_voxels": int((lesion.residual != 0).sum()),
        "diameter_mm": round(measure.diameter_mm, 2),
        "diameter_error": round(measure.diameter_mm / lesion.diameter_mm - 1.0, 3),
        **_finite("contrast_hu", measure.contrast_hu),
        "noise_hu": round(measure.noise_hu, 1),
        **_finite("noise_ratio", measure.noise_ratio),
        "mean_change_hu": round(float(lesion.residual[lesion.mask].mean()), 1),
    }
    return _first_fault(prior, lesion, measure, voxels), scores


def _finite(name: str, value: float) -> Scores:
    """The score, unless it could not be measured (JSON has no NaN)."""
    return {name: round(value, 3)} if np.isfinite(value) else {}


def _first_fault(
    prior: OrganPrior, lesion: Lesion, measure: LesionMeasure, voxels: int
) -> Fault | None:
    contrast, noise, ratio = measure.contrast_hu, measure.noise_hu, measure.noise_ratio
    # A soft edge and thick slices dilute the contrast of small lesions, hence the half.
    weakest, strongest = sorted(abs(bound) for bound in prior.contrast_range)
    low, high = NOISE_RATIO
    checks = (
        (
            "voxels",
            voxels < _SMALLEST_VOXELS,
            f"The lesion covers {voxels} voxels; at least {_SMALLEST_VOXELS} are needed.",
        ),
        (
            "diameter",
            abs(measure.diameter_mm / lesion.diameter_mm - 1.0) > _DIAMETER_TOLERANCE,
            f"The lesion measures {measure.diameter_mm:.1f} mm where "
            f"{lesion.diameter_mm:.1f} mm was asked for.",
        ),
        (
            "surroundings",
            not np.isfinite(contrast),
            "There is too little organ around the lesion to compare it with.",
        ),
        (
            "faint",
            contrast * np.sign(prior.contrast) < 0.5 * weakest,
            f"The contrast of {contrast:.0f} HU is too faint for the {prior.organ}.",
        ),
        (
            "strong",
            abs(contrast) > 1.3 * strongest,
            f"The contrast of {contrast:.0f} HU is too strong for the {prior.organ}.",
        ),
        (
            "drowned",
            abs(contrast) < _SMALLEST_CNR * noise,
            f"The contrast of {contrast:.0f} HU drowns in noise of {noise:.0f} HU.",
        ),
        (
            "noise",
            np.isfinite(ratio) and not low <= ratio <= high,
            f"The noise inside is {ratio:.2f} times that around it; {low} to {high} is allowed.",
        ),
    )
    return next((Fault(code, text) for code, failed, text in checks if failed), None)
