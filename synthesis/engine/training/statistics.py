"""What real lesions of each organ look like in numbers: the target of the statistics loss."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthesis.engine.organs import PRIORS
from synthesis.engine.training.config import Data, Organ
from synthesis.engine.training.volumes import QUANTILES, Pool, Volume

#: The configured appearance counts as this many lesions beside the measured ones.
_PRIOR_LESIONS = 3.0
#: Spread of HU within a lesion before any was measured: scanner noise and grain.
_PRIOR_SD_WITHIN = 15.0
#: The same on the side of the soft edge, as a share of the contrast.
_EDGE_SHARE = 0.25
_MEDIAN = QUANTILES.index(0.5)
#: No standard deviation is taken for smaller than this, however alike a few lesions are.
_LEAST_SD = 3.0
#: A lesion whose mask has this middle weight shows its inside as well as its edge.
_RESOLVED = 0.8
#: Nothing is taken for more diluted than this.
_LEAST_SHARE = 0.3


@dataclass(frozen=True)
class LesionStatistics:
    """Mean and standard deviation over lesions of each HU quantile, minus the organ's HU.

    A nodule in air has HU of its own, whatever the air around it: there (``absolute``) nothing is
    subtracted, and ``reference`` is the organ's mean HU around such lesions.
    """

    mean: tuple[float, ...]
    sd: tuple[float, ...]
    measured: int
    absolute: bool = False
    reference: float = 0.0

    @property
    def contrast_hu(self) -> float:
        """Mean over lesions of the median contrast."""
        return self.mean[_MEDIAN] - self.reference

    @property
    def contrast_sd(self) -> float:
        return self.sd[_MEDIAN]


def lesion_statistics(
    organ: Organ, tumor_class: int, volumes: Iterable[Volume]
) -> LesionStatistics:
    """Statistics of the real lesions of ``volumes``, drawn to the organ's configured contrast.

    With n lesions the mean is ``(3 prior + n measured) / (3 + n)`` and the variance that of the
    mixture of both, so that a few odd lesions neither take over nor collapse the variety. The
    lesions of phantoms count only where there are no others.
    """
    found = [(v.phantom, x) for v in volumes for x in v.lesions if x.tumor_class == tumor_class]
    kept = [x for phantom, x in found if not phantom] or [x for _, x in found]
    absolute = is_absolute(organ)
    around = PRIORS[organ.name].level - organ.contrast if absolute else 0.0
    center = organ.contrast + around
    rows = np.asarray([x.quantiles for x in kept]).reshape(-1, len(QUANTILES))
    if absolute:
        rows = rows + np.asarray([x.reference for x in kept]).reshape(-1, 1)
    n = len(rows)
    if n == 0:
        mean = center + _spread_within(organ.contrast)
        sd = np.full(len(QUANTILES), organ.spread)
    else:
        w = n / (n + _PRIOR_LESIONS)
        measured = rows.mean(axis=0)
        # How HU spread within a lesion is not in the configuration: that is measured alone.
        prior = center + measured - measured[_MEDIAN]
        mean = (1 - w) * prior + w * measured
        between = w * (1 - w) * (measured - prior) ** 2
        variance = (1 - w) * organ.spread**2 + w * rows.var(axis=0) + between
        sd = np.sqrt(np.minimum(variance, np.maximum(2 * organ.spread, rows.std(axis=0)) ** 2))
        if absolute:
            around = (1 - w) * around + w * float(np.mean([x.reference for x in kept]))
    sd = np.maximum(sd, _LEAST_SD)
    return LesionStatistics(tuple(map(float, mean)), tuple(map(float, sd)), n, absolute, around)


def is_absolute(organ: Organ) -> bool:
    """Whether lesions of the organ have HU of their own: the table says so, and nothing else."""
    return organ.contrast_hu is None and organ.name in PRIORS and PRIORS[organ.name].absolute


def statistics_of(data: Data, pool: Pool) -> dict[str, LesionStatistics]:
    """The statistics of every organ's lesions, by its name, in class order."""
    return {
        organ.name: lesion_statistics(organ, 2 * index + 2, pool.labelled)
        for index, organ in enumerate(data.organs)
    }


def _spread_within(contrast: float) -> NDArray[np.float64]:
    """Quantiles minus the median before any lesion was measured.

    Towards the organ's own HU they reach further, for the soft edge lies on that side.
    """
    z = np.asarray([NormalDist().inv_cdf(q) for q in QUANTILES])
    edge = max(_PRIOR_SD_WITHIN, _EDGE_SHARE * abs(contrast))
    return np.where(z * contrast < 0, z * edge, z * _PRIOR_SD_WITHIN)


def distance_from_real(
    hu: Tensor, mask: Tensor, soft: Tensor, reference: Tensor, real: LesionStatistics
) -> Tensor:
    """How many standard deviations of real lesions each HU quantile of a lesion is off.

    A soft edge dilutes a lesion, a small one all of it: the quantiles are divided by the middle
    weight of the mask, and where that is small the median alone is compared. All arrays are
    (D, H, W); the answer is (quantiles,) or (1,), differentiable in ``hu``.
    """
    share = soft[mask].float().median().clamp(min=_LEAST_SHARE)
    found = lesion_quantiles(hu, mask, reference) / share
    if real.absolute:
        found = found + reference
    kept = slice(None) if float(share) >= _RESOLVED else slice(_MEDIAN, _MEDIAN + 1)
    return (found - found.new_tensor(real.mean))[kept] / found.new_tensor(real.sd)[kept]


def lesion_quantiles(hu: Tensor, mask: Tensor, reference: Tensor) -> Tensor:
    """HU quantiles of one lesion minus ``reference``: hu and mask (D, H, W) -> (quantiles,).

    Differentiable in ``hu``; computed in float32.
    """
    levels = torch.tensor(QUANTILES, dtype=torch.float32, device=hu.device)
    return torch.quantile(hu[mask].float(), levels) - reference
