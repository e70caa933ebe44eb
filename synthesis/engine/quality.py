"""The gate of generators that need no segmentor: is this a lesion a reader could meet?

Every check writes its score, passed or not, so that a rejected lesion explains itself.
"""

from __future__ import annotations

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


def judge(host: HostCrop, lesion: Lesion, prior: OrganPrior) -> tuple[str, Scores]:
    """Score a composited lesion.

    Returns:
        ``(reason, scores)``; ``reason`` is empty when the lesion passes, else one sentence.
    """
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


def _first_fault(prior: OrganPrior, lesion: Lesion, measure: LesionMeasure, voxels: int) -> str:
    if voxels < _SMALLEST_VOXELS:
        return f"The lesion covers {voxels} voxels; at least {_SMALLEST_VOXELS} are needed."
    if abs(measure.diameter_mm / lesion.diameter_mm - 1.0) > _DIAMETER_TOLERANCE:
        return (
            f"The lesion measures {measure.diameter_mm:.1f} mm where "
            f"{lesion.diameter_mm:.1f} mm was asked for."
        )
    if not np.isfinite(measure.contrast_hu):
        return "There is too little organ around the lesion to compare it with."
    low, high = prior.contrast_range
    # A soft edge and thick slices dilute the contrast of small lesions, hence the half.
    weakest, strongest = sorted((abs(low), abs(high)))
    if measure.contrast_hu * np.sign(prior.contrast) < 0.5 * weakest:
        return f"The contrast of {measure.contrast_hu:.0f} HU is too faint for the {prior.organ}."
    if abs(measure.contrast_hu) > 1.3 * strongest:
        return f"The contrast of {measure.contrast_hu:.0f} HU is too strong for the {prior.organ}."
    if abs(measure.contrast_hu) < _SMALLEST_CNR * measure.noise_hu:
        return (
            f"The contrast of {measure.contrast_hu:.0f} HU drowns in noise of "
            f"{measure.noise_hu:.0f} HU."
        )
    low, high = NOISE_RATIO
    if np.isfinite(measure.noise_ratio) and not low <= measure.noise_ratio <= high:
        return (
            f"The noise inside is {measure.noise_ratio:.2f} times that around it; "
            f"{low} to {high} is allowed."
        )
    return ""
