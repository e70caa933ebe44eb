"""Array aliases and small result types shared by the engine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

#: (low, high); bounds are not truncated to the range of the statistic.
Interval = tuple[float, float]


@dataclass(frozen=True)
class Value:
    """A number, or the reason why there is none."""

    estimate: float | None
    reason: str | None = None


def ratio(numerator: float, denominator: float, reason: str) -> Value:
    """Quotient of two counts, or ``reason`` when the denominator is zero."""
    if denominator == 0:
        return Value(None, reason)
    return Value(float(numerator) / float(denominator))
