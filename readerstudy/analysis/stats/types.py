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


#: The class whose cases are made to deceive: the fool rate is about it, and the ``score`` column
#: of a table grows with belief in it, whichever class a protocol calls positive.
SYNTHETIC = "synthetic"


def deceiving(positive: str, negative: str) -> str:
    """The class the fool rate is about: ``synthetic`` where there is one, else the positive."""
    return SYNTHETIC if SYNTHETIC in (positive, negative) else positive


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
