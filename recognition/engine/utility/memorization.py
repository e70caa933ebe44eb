"""Does a generator copy the lesions it was trained on? Nearest neighbors, against a yardstick.

Two lesions are as far apart as ``sqrt(1 - r)``, r the largest correlation of their contrast
patterns (``lesions``) over every flip and quarter turn within the slice: what an augmented copy
looks like. A copy in another place, of another size or contrast is still near. Each synthetic
lesion's distance to the nearest training lesion is held against the same distance among training
lesions of different patients: nothing but a copy lies much nearer than real lesions lie to each
other (the comparison of Dar et al. 2025, Nat Biomed Eng, "Unconditional latent diffusion models
memorize patient imaging data", here with the real lesions as the yardstick).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recognition.engine.utility.lesions import Sample

Values = NDArray[np.float64]

#: A copy lies nearer than the real lesions' typical distance by so many of their deviations, and
#: by this factor at least: few lesions may agree by chance.
_DEVIATIONS, _FACTOR = 3.0, 0.4
#: With fewer real lesions the yardstick says nothing.
FEWEST = 4


@dataclass(frozen=True)
class Nearest:
    """A lesion and the training lesion nearest to it."""

    lesion: Sample
    training: Sample
    distance: float
    copy: bool


@dataclass(frozen=True)
class Memorization:
    """``pairs`` of every synthetic lesion, nearest first; ``real``: the yardstick's distances.

    ``limit`` is the distance below which a lesion is called a copy: None, with a reason, where
    there are too few real lesions to tell.
    """

    pairs: tuple[Nearest, ...]
    real: tuple[float, ...]
    limit: float | None
    reason: str = ""

    @property
    def copies(self) -> tuple[Nearest, ...]:
        return tuple(pair for pair in self.pairs if pair.copy)

    @property
    def nearer(self) -> float | None:
        """Share of synthetic lesions nearer than the median real one: about half is as it
        should be, far more says that they keep too close.
        """
        if not self.pairs or not self.real:
            return None
        median = float(np.median(self.real))
        return float(np.mean([pair.distance < median for pair in self.pairs]))


def memorization(synthetic: Sequence[Sample], training: Sequence[Sample]) -> Memorization:
    """Look for copies.

    Args:
        synthetic: what was made.
        training: what the generator could have learned by heart.
    """
    if not training:
        return Memorization((), (), None, "There is no training lesion to compare with.")
    real = _among(training)
    limit, reason = _limit(real)
    pairs = []
    if synthetic:
        distances = pairwise(synthetic, training)
        for lesion, row in zip(synthetic, distances, strict=True):
            k = int(row.argmin())
            near = float(row[k])
            pairs.append(Nearest(lesion, training[k], near, limit is not None and near < limit))
    pairs.sort(key=lambda pair: pair.distance)
    return Memorization(tuple(pairs), real, limit, reason)


def pairwise(first: Sequence[Sample], second: Sequence[Sample]) -> Values:
    """Distances (first, second), 0 to about 1.4."""
    one, two = _unit(first), _unit(second)
    best = np.full((len(first), len(second)), -1.0)
    shape = (len(first), *first[0].pattern.shape)
    cube = one.reshape(shape)
    for turns in range(4):
        turned = np.rot90(cube, turns, (2, 3))
        for flips in range(4):
            # a flip of y is a flip of x and a half turn
            axes = tuple(axis for axis, bit in ((1, 1), (3, 2)) if flips & bit)
            moved = np.flip(turned, axes).reshape(len(first), -1)
            best = np.maximum(best, moved @ two.T)
    out: Values = np.sqrt(np.maximum(1.0 - best, 0.0))
    return out


def _unit(samples: Sequence[Sample]) -> Values:
    flat = np.stack([sample.pattern.ravel() for sample in samples]).astype(np.float64)
    out: Values = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)
    return out


def _among(training: Sequence[Sample]) -> tuple[float, ...]:
    """Each training lesion's distance to the nearest one of another patient."""
    distances = pairwise(training, training)
    patient = np.array([sample.patient for sample in training])
    distances[patient[:, None] == patient[None, :]] = np.inf
    nearest = distances.min(axis=1)
    return tuple(float(d) for d in nearest[np.isfinite(nearest)])


def _limit(real: Sequence[float]) -> tuple[float | None, str]:
    """On the scale of logarithms, where distances to the nearest are about symmetric."""
    if len(real) < FEWEST:
        return None, (
            f"Only {len(real)} training lesions have another patient's to be compared with; at "
            f"least {FEWEST} are needed to tell a copy."
        )
    logs = np.log(np.maximum(real, 1e-6))
    spread = float(logs.std(ddof=1))
    share = min(_FACTOR, float(np.exp(-_DEVIATIONS * spread)))
    return share * float(np.exp(np.median(logs))), ""
