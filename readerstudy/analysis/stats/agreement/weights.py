"""How near two categories are: 1 for the same one, 0 for the two farthest apart.

Reference: Gwet, Handbook of Inter-Rater Reliability, 4th ed. (2014), chapter 3; Cohen, Psychol
Bull 70:213 (1968) for linear and quadratic weights of kappa.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from readerstudy.analysis.stats.types import FloatArray

Weights = Literal[
    "identity", "linear", "quadratic", "ordinal", "radical", "ratio", "circular", "bipolar"
]


def weight_matrix(values: FloatArray, weights: Weights) -> FloatArray:
    """(q, q) agreement weights of the sorted category ``values``.

    ``identity`` counts exact agreement only; ``ordinal`` uses the ranks of the categories, the
    others their values.

    Raises:
        ValueError: an unknown name, or ``ratio`` with a value below zero.
    """
    if weights not in _DISTANCES:
        raise ValueError(f"unknown weights {weights!r}; one of {', '.join(_DISTANCES)}")
    if weights == "ratio" and float(values.min()) < 0:
        raise ValueError("ratio weights need values of zero or more")
    distance = _DISTANCES[weights](values[:, None], values[None, :])
    most = float(distance.max())
    return np.ones_like(distance) if most == 0 else 1 - distance / most


def _ordinal(a: FloatArray, b: FloatArray) -> FloatArray:
    steps = np.abs(np.arange(len(a))[:, None] - np.arange(len(a))[None, :]).astype(np.float64)
    pairs: FloatArray = (steps + 1) * steps / 2
    return pairs


def _ratio(a: FloatArray, b: FloatArray) -> FloatArray:
    total = a + b
    gap: FloatArray = np.divide(a - b, total, out=np.zeros_like(total), where=total != 0) ** 2
    return gap


def _circular(a: FloatArray, b: FloatArray) -> FloatArray:
    turn = float(a.max() - a.min()) + 1
    gap: FloatArray = np.sin(np.pi * (a - b) / turn) ** 2
    return gap


def _bipolar(a: FloatArray, b: FloatArray) -> FloatArray:
    room = (a + b - 2 * a.min()) * (2 * a.max() - a - b)
    gap: FloatArray = np.divide((a - b) ** 2, room, out=np.zeros_like(room), where=a != b)
    return gap


_DISTANCES: dict[str, Callable[[FloatArray, FloatArray], FloatArray]] = {
    "identity": lambda a, b: (a != b).astype(np.float64),
    "linear": lambda a, b: np.abs(a - b),
    "quadratic": lambda a, b: (a - b) ** 2,
    "ordinal": _ordinal,
    "radical": lambda a, b: np.sqrt(np.abs(a - b)),
    "ratio": _ratio,
    "circular": _circular,
    "bipolar": _bipolar,
}
