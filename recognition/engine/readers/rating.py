"""From a machine's score to a rating on the readers' six steps, its side forced."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating]
STEPS = 6


@dataclass(frozen=True)
class Cuts:
    """Five ascending thresholds: ``side`` parts real from synthetic, two more part each side.

    A score at a threshold belongs below it.
    """

    real_sure: float
    real_likely: float
    side: float
    synthetic_likely: float
    synthetic_sure: float

    def __post_init__(self) -> None:
        values = astuple(self)
        if any(a > b for a, b in pairwise(values)):
            raise ValueError(f"Thresholds must not fall: {values}.")

    def rate(self, scores: Values) -> NDArray[np.int64]:
        """1 (definitely real) to 6 (definitely synthetic) for scores that grow with synthetic."""
        out: NDArray[np.int64] = 1 + np.searchsorted(
            np.asarray(astuple(self)), scores, side="left"
        ).astype(np.int64)
        return out


def learn_cuts(scores: Values, synthetic: NDArray[np.bool_]) -> Cuts:
    """Thresholds from out-of-fold scores of training cases, never from the trial.

    The side is where balanced accuracy is highest (midway between two scores; of several such
    places the one nearest to the median score). Each side is parted into thirds of the scores
    on it.

    Raises:
        ValueError: one of the arms is missing.
    """
    if synthetic.all() or not synthetic.any():
        raise ValueError("Both arms are needed to set thresholds.")
    values = np.unique(scores)
    places = 0.5 * (values[1:] + values[:-1]) if len(values) > 1 else values
    gain = np.array([
        float((scores[synthetic] > t).mean() + (scores[~synthetic] <= t).mean()) for t in places
    ])  # fmt: skip
    best = places[gain >= gain.max() - 1e-12]
    side = float(best[np.abs(best - np.median(scores)).argmin()])
    below, above = scores[scores <= side], scores[scores > side]
    low = np.quantile(below, (1 / 3, 2 / 3)) if below.size else (side, side)
    high = np.quantile(above, (1 / 3, 2 / 3)) if above.size else (side, side)
    return Cuts(float(low[0]), float(low[1]), side, float(high[0]), float(high[1]))
