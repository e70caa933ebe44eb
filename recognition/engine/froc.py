"""Free-response ROC: sensitivity against false positives per scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recognition.engine.detection import Detection

#: Where LUNA16 reads its curve (Setio et al. 2017, Med Image Anal 42:1); the mean is its score.
READ_AT = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True)
class Froc:
    """One point per distinct probability, from the strictest threshold to the laxest.

    ``sensitivity_at`` reads the curve at ``READ_AT``: the best sensitivity with at most so many
    false positives per scan. None of it is defined (None) without a true lesion.
    """

    thresholds: tuple[float, ...]
    false_positives_per_scan: tuple[float, ...]
    sensitivity: tuple[float, ...] | None
    sensitivity_at: tuple[float, ...] | None
    score: float | None


def froc(scans: Sequence[Detection]) -> Froc:
    """The curve of several scans under one rule of a hit.

    Raises:
        ValueError: no scan, or scans under different rules.
    """
    if not scans:
        raise ValueError("There is no scan to draw a curve of.")
    if len({scan.rule for scan in scans}) > 1:
        raise ValueError("The scans were matched under different hit rules.")
    found = np.array([t.found for s in scans for t in s.targets if t.found is not None])
    false = np.array([p for s in scans for p in s.false_positives])
    lesions = sum(len(scan.targets) for scan in scans)
    thresholds = np.unique(np.concatenate([found, false]))[::-1]
    per_scan = _at_least(false, thresholds) / len(scans)
    if not lesions:
        return Froc(_floats(thresholds), _floats(per_scan), None, None, None)
    sensitivity = _at_least(found, thresholds) / lesions
    read = [float(sensitivity[per_scan <= x].max(initial=0.0)) for x in READ_AT]
    return Froc(
        thresholds=_floats(thresholds),
        false_positives_per_scan=_floats(per_scan),
        sensitivity=_floats(sensitivity),
        sensitivity_at=tuple(read),
        score=float(np.mean(read)),
    )


def _at_least(values: NDArray[np.float64], thresholds: NDArray[np.float64]) -> NDArray[np.intp]:
    """How many values reach each threshold."""
    ordered = np.sort(values)
    return len(ordered) - np.searchsorted(ordered, thresholds, side="left")


def _floats(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(v) for v in values)
