"""How varied synthetic lesions are, and how much of the real ones' variety they cover.

Features (``lesions.FEATURES``) are measured in units of the real lesions' spread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recognition.engine.utility.lesions import Sample

Values = NDArray[np.float64]

#: Neighbors that make up the surroundings of a real lesion (Naeem et al. use 5).
_NEIGHBORS = 3
FEWEST = _NEIGHBORS + 1


@dataclass(frozen=True)
class Diversity:
    """Effective numbers of different lesions, and coverage; None where there are too few.

    ``effective`` and ``effective_real`` are Vendi scores (Friedman and Dieng 2023, TMLR) of equal
    numbers of lesions, ``lesions`` each: 1 when all are alike, ``lesions`` when none are.
    ``coverage`` is the share of real lesions with a synthetic one among their surroundings
    (Naeem et al. 2020, ICML).
    """

    lesions: int
    effective: float | None
    effective_real: float | None
    coverage: float | None
    reason: str = ""


def diversity(
    synthetic: Sequence[Sample], real: Sequence[Sample], rng: np.random.Generator
) -> Diversity:
    """Compare the variety of two groups; of the larger one as many as the smaller has are drawn."""
    n = min(len(synthetic), len(real))
    if n < FEWEST:
        return Diversity(
            n, None, None, None, f"At least {FEWEST} lesions of each kind are needed, not {n}."
        )
    real_features = np.stack([sample.features for sample in real])
    unit = real_features.std(axis=0)
    unit[unit < 1e-9] = 1.0
    one = np.stack([sample.features for sample in synthetic]) / unit
    two = real_features / unit
    return Diversity(
        lesions=n,
        effective=_mean_vendi(one, n, rng),
        effective_real=_mean_vendi(two, n, rng),
        coverage=_coverage(one, two),
    )


def vendi(features: Values) -> float:
    """Exponential of the entropy of a Gaussian similarity's eigenvalues: an effective number.

    The Gaussian is as wide as the root of the number of features: lesions that differ by the
    usual spread in each are about 0.4 similar.
    """
    gaps = ((features[:, None, :] - features[None, :, :]) ** 2).mean(axis=2)
    eigenvalues = np.linalg.eigvalsh(np.exp(-0.5 * gaps) / len(features))
    positive = eigenvalues[eigenvalues > 1e-12]
    return float(np.exp(-(positive * np.log(positive)).sum()))


def _mean_vendi(features: Values, n: int, rng: np.random.Generator) -> float:
    if len(features) == n:
        return vendi(features)
    drawn = [vendi(features[rng.choice(len(features), n, replace=False)]) for _ in range(20)]
    return float(np.mean(drawn))


def _coverage(synthetic: Values, real: Values) -> float:
    among = np.sqrt(((real[:, None, :] - real[None, :, :]) ** 2).sum(axis=2))
    radius = np.sort(among, axis=1)[:, min(_NEIGHBORS, len(real) - 1)]  # column 0 is itself
    away = np.sqrt(((real[:, None, :] - synthetic[None, :, :]) ** 2).sum(axis=2))
    return float((away.min(axis=1) <= radius).mean())
