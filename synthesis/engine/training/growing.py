"""Procedural lesions in crops: drawn, placed in the organ, painted in native HU.

Stage 1 grows them as further labelled lesions, stage 2 as the start of the generator's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from synthesis.engine.arrays import Box, Field, zyx
from synthesis.engine.generators.textural import TexturalGenerator
from synthesis.engine.organs import OrganPrior, prior_for
from synthesis.engine.placement import map_organ
from synthesis.engine.records import HostCrop
from synthesis.engine.shapes import SoftLesion, draw_diameter, draw_radius_field, rasterize
from synthesis.engine.training.config import Data, Organ
from synthesis.engine.training.statistics import LesionStatistics

_PLACES = 20
_SHRINK = 0.8
#: Largest diameter over the crop's shortest side.
_WIDEST = 0.6
#: Share of a lesion that must lie in its organ.
_INSIDE = 0.97


class Grower:
    """Grows lesions that look like the procedural generator's, with the real ones' contrast."""

    def __init__(self, data: Data, statistics: Mapping[str, LesionStatistics]) -> None:
        self._data = data
        self._textural = TexturalGenerator()
        self._priors = [_prior(organ, statistics[organ.name]) for organ in data.organs]

    def host(self, hu: Field, label: NDArray[np.uint8], organ: int) -> HostCrop:
        """A labelled crop (z, y, x) as the host of a lesion of ``organ`` (class order)."""
        z, y, x = hu.shape
        return HostCrop(
            hu=hu,
            organ=(label == 2 * organ + 1) | (label == 2 * organ + 2),
            tumor=(label > 0) & (label % 2 == 0),
            box=Box((0, 0, 0), (z, y, x)),
            spacing_zyx=zyx(self._data.spacing_mm),
            organ_name=self._data.organs[organ].name,
        )

    def place(self, rng: np.random.Generator, host: HostCrop, organ: int) -> SoftLesion | None:
        """A lesion inside the organ and clear of real tumors; None where none fits."""
        data, prior = self._data, self._priors[organ]
        if not host.tissue.any():
            return None
        room = map_organ(host.hu.astype(np.int16), host.organ, host.tumor, data.spacing_mm)
        low, high = data.organs[organ].diameter_mm
        sides = [n * s for n, s in zip(host.hu.shape, host.spacing_zyx, strict=True)]
        high = min(high, _WIDEST * min(sides), 2.5 * room.deepest_mm)
        if high < low:
            return None
        diameter = draw_diameter(rng, low, high)
        for _ in range(_PLACES):
            center = room.draw(rng, 0.5 * diameter)
            if center is not None:
                surface = draw_radius_field(
                    rng,
                    diameter,
                    lobulation=prior.lobulation,
                    spiculation=prior.spiculation,
                    elongation=prior.elongation,
                )
                edge = float(rng.uniform(*prior.edge_mm))
                lesion = rasterize(surface, data.spacing_mm, center, edge_mm=edge)
                if _fits(host, lesion):
                    return lesion
            if diameter <= low:
                return None
            diameter = max(_SHRINK * diameter, low)
        return None

    def paint(
        self, rng: np.random.Generator, host: HostCrop, lesion: SoftLesion, organ: int
    ) -> Field:
        """The procedural change in HU, weighted by the soft edge, within the organ's bound."""
        bound = self._data.organs[organ].bound_hu
        change = self._textural.paint(rng, host, lesion, self._priors[organ], 0.0).change
        out: Field = np.clip(change, -bound, bound).astype(np.float32)
        return out


def _prior(organ: Organ, statistics: LesionStatistics) -> OrganPrior:
    """The engine's prior with the contrast of the real lesions at hand.

    Where the engine's table gives the lesion's own HU (a nodule in air), that holds unless the
    configuration says another contrast.
    """
    prior = prior_for(organ.name)
    center, spread = statistics.contrast_hu, statistics.contrast_sd
    low, high = prior.contrast_range
    return replace(
        prior,
        contrast=center,
        contrast_sd=spread,
        contrast_range=(min(low, center - 2 * spread), max(high, center + 2 * spread)),
        absolute=statistics.absolute,
        level=statistics.contrast_hu + statistics.reference if statistics.absolute else 0.0,
    )


def _fits(host: HostCrop, lesion: SoftLesion) -> bool:
    if lesion.box.clipped(host.hu.shape) != lesion.box:
        return False
    cut = lesion.box.slices
    if bool((host.tumor[cut] & (lesion.coverage > 0)).any()):
        return False
    return float(host.organ[cut][lesion.mask].mean()) >= _INSIDE
