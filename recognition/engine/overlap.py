"""Dice and normalized surface distance of two masks, at the scanner's own spacing.

The rule for a case without a tumor has to be stated, for it moves the mean:

* ``exclude`` (the default): where the reference is empty neither is defined (None) and the case
  does not enter the mean; what was found there counts as false positives instead;
* ``score``: an empty reference scores 1 when the prediction is empty too, and 0 otherwise.

The published code counts such a case as 0 in the sum and leaves it out of the count: neither.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from recognition.engine.arrays import MaskArray, Spacing, bounds, zyx

EmptyRule: TypeAlias = Literal["exclude", "score"]


def dice(prediction: MaskArray, reference: MaskArray, empty: EmptyRule = "exclude") -> float | None:
    """Twice the overlap over the sum of both sizes (Dice 1945, Ecology 26:297).

    Raises:
        ValueError: the masks are not of one shape.
    """
    _check(prediction, reference)
    size = int(reference.sum())
    if size == 0:
        return _without_reference(prediction, empty)
    return 2.0 * int((prediction & reference).sum()) / (int(prediction.sum()) + size)


def surface_dice(
    prediction: MaskArray,
    reference: MaskArray,
    spacing: Spacing,
    *,
    tolerance_mm: float = 2.0,
    empty: EmptyRule = "exclude",
) -> float | None:
    """Share of both surfaces that lies within ``tolerance_mm`` of the other one.

    The normalized surface distance of Nikolov et al. 2021 (J Med Internet Res 23:e26151), with
    surface elements weighted by their area: MONAI's computation, on the box around both masks.

    Raises:
        ValueError: the masks are not of one shape, or the tolerance is not positive.
    """
    _check(prediction, reference)
    if not (np.isfinite(tolerance_mm) and tolerance_mm > 0):
        raise ValueError(f"The tolerance must be a positive number of mm, not {tolerance_mm!r}.")
    box = bounds(prediction | reference, margin=2)
    if box is None or not reference.any():
        return _without_reference(prediction, empty)
    if not prediction.any():
        return 0.0
    import torch
    from monai.metrics.surface_dice import compute_surface_dice

    one, two = (torch.from_numpy(np.pad(m[box], 1))[None, None] for m in (prediction, reference))
    value = compute_surface_dice(
        one,
        two,
        class_thresholds=[tolerance_mm],
        include_background=True,
        spacing=zyx(spacing),
        use_subvoxels=True,
    )
    return float(value[0, 0])


def _check(prediction: MaskArray, reference: MaskArray) -> None:
    if prediction.shape != reference.shape:
        raise ValueError(
            f"The prediction has the shape {prediction.shape}, the reference {reference.shape}."
        )


def _without_reference(prediction: MaskArray, empty: EmptyRule) -> float | None:
    if empty == "exclude":
        return None
    return 0.0 if prediction.any() else 1.0
