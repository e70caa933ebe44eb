"""What real lesions of each organ look like in numbers: the target of the statistics loss."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthesis.engine.training.config import Organ
from synthesis.engine.training.volumes import QUANTILES, Volume

#: The configured appearance counts as this many lesions beside the measured ones.
_PRIOR_LESIONS = 3.0
#: Spread of HU within a lesion before any was measured: scanner noise and grain.
_PRIOR_SD_WITHIN = 15.0
#: The same on the side of the soft edge, as a share of the contrast.
_EDGE_SHARE = 0.25
_MEDIAN = QUANTILES.index(0.5)
#: No standard deviation is taken for smaller than this, however alike a few lesions are.
_LEAST_SD = 3.0


@dataclass(frozen=True)
class LesionStatistics:
    """Mean and standard deviation over lesions of each HU quantile (minus the organ's HU)."""

    mean: tuple[float, ...]
    sd: tuple[float, ...]
    measured: int

    @property
    def contrast_hu(self) -> float:
        """Mean over lesions of the median contrast."""
        return self.mean[_MEDIAN]

    @property
    def contrast_sd(self) -> float:
        return self.sd[_MEDIAN]


def lesion_statistics(
    organ: Organ, tumor_class: int, volumes: Iterable[Volume]
) -> LesionStatistics:
    """Statistics of the real lesions of ``volumes``, drawn to the organ's configured contrast.

    With n lesions the mean is ``(3 prior + n measured) / (3 + n)`` and the variance that of the
    mixture of both, so that a few odd lesions neither take over nor collapse the variety.
    """
    rows = np.asarray(
        [x.quantiles for v in volumes for x in v.lesions if x.tumor_class == tumor_class]
    ).reshape(-1, len(QUANTILES))
    n = len(rows)
    if n == 0:
        mean = organ.contrast + _spread_within(organ.contrast)
        sd = np.full(len(QUANTILES), organ.spread)
    else:
        w = n / (n + _PRIOR_LESIONS)
        measured = rows.mean(axis=0)
        # How HU spread within a lesion is not in the configuration: that is measured alone.
        prior = organ.contrast + measured - measured[_MEDIAN]
        mean = (1 - w) * prior + w * measured
        between = w * (1 - w) * (measured - prior) ** 2
        variance = (1 - w) * organ.spread**2 + w * rows.var(axis=0) + between
        sd = np.sqrt(np.minimum(variance, np.maximum(2 * organ.spread, rows.std(axis=0)) ** 2))
    sd = np.maximum(sd, _LEAST_SD)
    return LesionStatistics(tuple(map(float, mean)), tuple(map(float, sd)), n)


def _spread_within(contrast: float) -> NDArray[np.float64]:
    """Quantiles minus the median before any lesion was measured.

    Towards the organ's own HU they reach further, for the soft edge lies on that side.
    """
    z = np.asarray([NormalDist().inv_cdf(q) for q in QUANTILES])
    edge = max(_PRIOR_SD_WITHIN, _EDGE_SHARE * abs(contrast))
    return np.where(z * contrast < 0, z * edge, z * _PRIOR_SD_WITHIN)


def lesion_quantiles(hu: Tensor, mask: Tensor, reference: Tensor) -> Tensor:
    """HU quantiles of one lesion minus ``reference``: hu and mask (D, H, W) -> (quantiles,).

    Differentiable in ``hu``; computed in float32.
    """
    levels = torch.tensor(QUANTILES, dtype=torch.float32, device=hu.device)
    return torch.quantile(hu[mask].float(), levels) - reference
