"""What lesions of each organ look like: the priors table, and fitting it to real lesions.

The table holds textbook appearance on portal-venous (abdomen) and routine (chest) CT. Where
real lesions of the organ are at hand, ``fit_prior`` moves the numbers towards them, because a
contrast that real lesions do not have is the first thing a reader sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

#: The table counts as this many lesions when it is fitted.
_TABLE_WEIGHT = 3.0


class Measured(Protocol):
    """What fitting needs to know of a real lesion: `measure.LesionMeasure` has more."""

    @property
    def contrast_hu(self) -> float: ...

    @property
    def core_hu(self) -> float: ...


@dataclass(frozen=True)
class OrganPrior:
    """Appearance of lesions in one organ.

    Intensities are in HU, lengths in mm. ``contrast`` is lesion minus surrounding organ, signed.
    When ``absolute`` is set, ``level`` is the lesion's own HU and the contrast follows from the
    host: in the lung a solid nodule replaces air by soft tissue, wherever it grows.
    """

    organ: str
    contrast: float
    contrast_sd: float
    contrast_range: tuple[float, float]
    absolute: bool = False
    level: float = 0.0
    level_sd: float = 0.0
    heterogeneity_sd: float = 5.0
    grain_mm: tuple[float, float] = (2.8, 5.5)
    core_depth: float = 0.2
    edge_mm: tuple[float, float] = (0.6, 1.4)
    lobulation: float = 0.12
    spiculation: float = 0.0
    elongation: float = 0.18
    margin_mm: float = 2.0
    diameter_mm: tuple[float, float] = (6.0, 40.0)
    fitted_from: int = 0


_TABLE: tuple[OrganPrior, ...] = (
    OrganPrior("liver", -38.0, 12.0, (-80.0, -15.0), heterogeneity_sd=6.0, core_depth=0.25),
    OrganPrior(
        "kidney",
        -60.0,
        20.0,
        (-130.0, -30.0),
        heterogeneity_sd=9.0,
        edge_mm=(0.5, 1.1),
        lobulation=0.08,
        margin_mm=1.0,
        diameter_mm=(6.0, 40.0),
    ),
    OrganPrior(
        "pancreas",
        -32.0,
        12.0,
        (-75.0, -14.0),
        heterogeneity_sd=6.0,
        edge_mm=(0.9, 1.8),
        lobulation=0.15,
        elongation=0.25,
        margin_mm=0.5,
        diameter_mm=(5.0, 30.0),
    ),
    OrganPrior(
        "lung",
        850.0,
        60.0,
        (250.0, 1050.0),
        absolute=True,
        level=15.0,
        level_sd=18.0,
        heterogeneity_sd=9.0,
        core_depth=0.0,
        edge_mm=(0.45, 0.9),
        lobulation=0.13,
        spiculation=0.06,
        elongation=0.15,
        margin_mm=2.0,
        diameter_mm=(5.0, 40.0),
    ),
    OrganPrior("spleen", -40.0, 14.0, (-90.0, -12.0), heterogeneity_sd=6.0),
    OrganPrior("adrenal", -25.0, 12.0, (-60.0, -8.0), margin_mm=0.0, diameter_mm=(5.0, 25.0)),
    OrganPrior("bone", -140.0, 50.0, (-350.0, -40.0), heterogeneity_sd=20.0, margin_mm=1.0),
)

PRIORS: dict[str, OrganPrior] = {prior.organ: prior for prior in _TABLE}

_ALIASES = {
    "kidneys": "kidney",
    "left kidney": "kidney",
    "right kidney": "kidney",
    "lungs": "lung",
    "left lung": "lung",
    "right lung": "lung",
}


def canonical_organ(label: str) -> str:
    """The engine's name for an organ label: ``Kidneys`` and ``kidney_left`` are ``kidney``."""
    name = " ".join(label.strip().lower().replace("_", " ").replace("-", " ").split())
    if name in _ALIASES:
        return _ALIASES[name]
    for known in PRIORS:
        if known in name.split() or f"{known}s" in name.split():
            return known
    return name


def prior_for(organ: str) -> OrganPrior:
    """The prior of an organ; one not in the table gets the liver's cautious hypodense lesion."""
    name = canonical_organ(organ)
    return PRIORS.get(name) or replace(PRIORS["liver"], organ=name)


def fit_prior(prior: OrganPrior, lesions: Sequence[Measured]) -> OrganPrior:
    """Move ``prior`` towards measured real lesions.

    The table counts as three lesions: with n measured ones the mean is
    ``(3 * table + n * measured) / (3 + n)``, and the spread is that of the mixture of both, so
    that a single odd lesion neither takes over nor collapses the variety.
    """
    usable = [m for m in lesions if np.isfinite(m.contrast_hu) and np.isfinite(m.core_hu)]
    if not usable:
        return prior
    weight = len(usable) / (len(usable) + _TABLE_WEIGHT)
    key = [m.core_hu for m in usable] if prior.absolute else [m.contrast_hu for m in usable]
    mean, sd = (
        (prior.level, prior.level_sd) if prior.absolute else (prior.contrast, prior.contrast_sd)
    )
    measured, spread = float(np.median(key)), float(np.std(key))
    fitted = (1.0 - weight) * mean + weight * measured
    variance = (
        (1.0 - weight) * sd**2
        + weight * spread**2
        + weight * (1.0 - weight) * (measured - mean) ** 2
    )
    fitted_sd = float(np.sqrt(min(variance, (2.0 * sd) ** 2)))
    if prior.absolute:
        return replace(prior, level=fitted, level_sd=fitted_sd, fitted_from=len(usable))
    low, high = prior.contrast_range
    contrasts = [m.contrast_hu for m in usable]
    return replace(
        prior,
        contrast=float(np.clip(fitted, low, high)),
        contrast_sd=fitted_sd,
        contrast_range=(min(low, *contrasts), max(high, *contrasts)),
        fitted_from=len(usable),
    )


def fit_texture(prior: OrganPrior, grains: Sequence[float]) -> OrganPrior:
    """Move the grain of the tissue towards that of real lesions, ``grain.grain_hu`` each.

    As in `fit_prior` the table counts as three lesions; those too small to be read are NaN.
    """
    usable = [grain for grain in grains if np.isfinite(grain)]
    if not usable:
        return prior
    weight = len(usable) / (len(usable) + _TABLE_WEIGHT)
    measured = float(np.median(usable))
    fitted = (1.0 - weight) * prior.heterogeneity_sd + weight * measured
    return replace(prior, heterogeneity_sd=fitted)
