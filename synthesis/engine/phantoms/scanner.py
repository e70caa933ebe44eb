"""What a CT scanner does to a scene: point spread, then band-limited noise."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from synthesis.engine.arrays import Field
from synthesis.engine.phantoms.scene import Scene, smooth_noise


def scan(rng: np.random.Generator, scene: Scene, noise_hu: float) -> Field:
    """Image of ``scene`` in HU, shape (z, y, x).

    The noise has the ring-shaped in-plane spectrum of filtered back-projection (none at zero
    frequency, a peak in the middle, none at the top), is weakly correlated between slices, and
    is stronger in the middle of the body than at its rim, where fewer photons are lost.
    """
    pixel = 0.5 * (scene.step[1] + scene.step[2])
    image = ndimage.gaussian_filter(scene.hu, (0.25, 0.7 / pixel, 0.7 / pixel), truncate=3.0)
    white = rng.standard_normal(scene.shape, dtype=np.float32)
    fine = ndimage.gaussian_filter(white, (0.35, 0.62, 0.62), truncate=3.0)
    noise = fine - 0.85 * ndimage.gaussian_filter(fine, (0.0, 1.5, 1.5), truncate=3.0)
    noise /= float(noise[:: max(1, scene.shape[0] // 8)].std())
    y = scene.axes[1][:, None] / max(float(scene.axes[1][-1]), 1.0)
    x = scene.axes[2][None, :] / max(float(scene.axes[2][-1]), 1.0)
    falloff = (0.7 + 0.45 * np.exp(-2.2 * (x**2 + y**2))).astype(np.float32)
    drift = smooth_noise(rng, scene.shape, (3, 4, 4))
    out: Field = image + noise * (noise_hu * falloff[None]) + 1.2 * drift
    return out
