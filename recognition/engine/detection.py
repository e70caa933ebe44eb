"""Which lesion was found, and what was found where there is none.

Two rules of a hit, both always reported, because papers use one or the other and seldom say so:

* ``iou``: a predicted and a true lesion share at least a tenth of their union;
* ``center``: the center of a predicted lesion lies in a true one.

A true lesion is found when any prediction hits it, however many do. A prediction that hits no
true lesion is one false positive. Sizes are those of the true lesion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from recognition.engine.arrays import Labels
from recognition.engine.lesions import Lesion

HitRule: TypeAlias = Literal["iou", "center"]
HIT_RULES: tuple[HitRule, ...] = ("iou", "center")
IOU = 0.1

#: Equivalent diameters in mm: name, from, up to (not included).
BANDS: tuple[tuple[str, float, float], ...] = (
    ("<10 mm", 0.0, 10.0),
    ("10-20 mm", 10.0, 20.0),
    ("20-50 mm", 20.0, 50.0),
    (">50 mm", 50.0, float("inf")),
)
#: An early tumor is smaller than 2 cm (Chen et al. 2024, CVPR, "Towards generalizable tumor
#: synthesis"); the FreeTumor paper gives no number.
EARLY_MM = 20.0


@dataclass(frozen=True)
class Target:
    """A true lesion: its size, and the probability of the surest prediction that hit it."""

    diameter_mm: float
    found: float | None

    @property
    def band(self) -> str:
        return next(name for name, low, high in BANDS if low <= self.diameter_mm < high)

    @property
    def early(self) -> bool:
        return self.diameter_mm < EARLY_MM


@dataclass(frozen=True)
class Detection:
    """One scan under one rule of a hit.

    ``false_positives`` are the probabilities of predictions that hit nothing; ``rating`` is the
    probability of the surest prediction of the scan, 0 without any.
    """

    rule: HitRule
    targets: tuple[Target, ...]
    false_positives: tuple[float, ...]
    rating: float

    @property
    def hits(self) -> int:
        return sum(target.found is not None for target in self.targets)


def match(
    predicted: Labels,
    predictions: Sequence[Lesion],
    true: Labels,
    truths: Sequence[Lesion],
    rule: HitRule,
) -> Detection:
    """Hold the predicted lesions of one scan against the true ones.

    Args:
        predicted, true: lesion numbers per voxel, (z, y, x), as ``find_lesions`` gives them.
        predictions, truths: the lesions with those numbers.
        rule: see the module.

    Raises:
        ValueError: volumes of different shape, or an unknown rule.
    """
    if predicted.shape != true.shape:
        raise ValueError(
            f"The prediction has the shape {predicted.shape}, the reference {true.shape}."
        )
    if rule == "iou":
        hits = _by_iou(predicted, predictions, true, truths)
    elif rule == "center":
        hits = _by_center(predictions, true)
    else:
        raise ValueError(f"There is no hit rule {rule!r}; choose one of: {', '.join(HIT_RULES)}.")
    sure = {lesion.number: lesion.probability for lesion in predictions}
    hitting = {p for p, _ in hits}
    targets = []
    for lesion in truths:
        by = [sure[p] for p, t in hits if t == lesion.number]
        targets.append(Target(lesion.diameter_mm, max(by) if by else None))
    return Detection(
        rule=rule,
        targets=tuple(targets),
        false_positives=tuple(sure[p.number] for p in predictions if p.number not in hitting),
        rating=max(sure.values(), default=0.0),
    )


def _by_iou(
    predicted: Labels, predictions: Sequence[Lesion], true: Labels, truths: Sequence[Lesion]
) -> set[tuple[int, int]]:
    both = (predicted > 0) & (true > 0)
    pairs, shared = np.unique(np.stack([predicted[both], true[both]]), axis=1, return_counts=True)
    one = {lesion.number: lesion.voxels for lesion in predictions}
    two = {lesion.number: lesion.voxels for lesion in truths}
    hits = set()
    for (p, t), n in zip(pairs.T.tolist(), shared.tolist(), strict=True):
        if n >= IOU * (one[p] + two[t] - n):
            hits.add((p, t))
    return hits


def _by_center(predictions: Sequence[Lesion], true: Labels) -> set[tuple[int, int]]:
    hits = {(lesion.number, int(true[lesion.center])) for lesion in predictions}
    return {(p, t) for p, t in hits if t > 0}
