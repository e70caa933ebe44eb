"""Small hosts for the engine's tests: one ball-shaped organ in noisy fat."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from synthesis.engine.records import Scan

GRIDS = {
    "1x1x1": (1.0, 1.0, 1.0),
    "0.7x0.7x5": (0.7, 0.7, 5.0),
    "1.25x1.25x5": (1.25, 1.25, 5.0),
}


def ball_host(
    spacing=(1.0, 1.0, 1.0),
    *,
    radius_mm=32.0,
    organ="liver",
    organ_hu=110.0,
    noise_hu=12.0,
    tumor_radius_mm=0.0,
    seed=0,
) -> Scan:
    """A ball of tissue in fat with band-limited noise; optionally a real tumor in its middle."""
    rng = np.random.default_rng(seed)
    extent = 2 * radius_mm + 16.0
    shape = tuple(int(np.ceil(extent / s)) for s in spacing[::-1])
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing[::-1], strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    distance = np.sqrt(x**2 + y**2 + z**2)
    mask = distance < radius_mm
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), (0.3, 0.8, 0.8))
    noise *= noise_hu / noise.std()
    hu = np.where(mask, organ_hu, -100.0)
    tumor = distance < tumor_radius_mm if tumor_radius_mm else None
    if tumor is not None:
        hu = np.where(tumor, organ_hu - 45.0, hu)
    return Scan(np.rint(hu + noise).astype(np.int16), spacing, organ, mask, tumor)
