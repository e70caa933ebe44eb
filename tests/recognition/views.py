"""Views of one lesion in noisy tissue, quick to make, with tampering that can be asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from recognition.engine.readers.view import View, around_marker

SPACING = (1.0, 1.0, 2.5)
SHAPE = (22, 64, 64)


def lesion_view(rng: np.random.Generator, tamper: str = "") -> View:
    """A soft-edged lesion of 14 to 22 mm, 45 HU darker; ``tamper``: noise, edge or rounding."""
    z, y, x = np.indices(SHAPE)
    half = rng.uniform(7.0, 11.0, 3)
    middle = [(n - 1) / 2 + rng.uniform(-1, 1) for n in SHAPE]
    steps = SPACING[::-1]
    radius = np.sqrt(
        sum(((a - c) * s / h) ** 2 for a, c, s, h in zip((z, y, x), middle, steps, half))
    )
    softness = 0.02 if tamper == "edge" else 0.12
    lesion = 1.0 / (1.0 + np.exp(np.clip((radius - 1.0) / softness, -50, 50)))
    noise = ndimage.gaussian_filter(rng.standard_normal(SHAPE), (0.2, 0.7, 0.7))
    noise *= rng.uniform(9.0, 15.0) / noise.std()
    if tamper == "noise":
        noise = noise * (1.0 - 0.5 * (radius < 1.0))
    hu = np.rint(110.0 - rng.uniform(35.0, 55.0) * lesion + noise)
    if tamper == "rounding":
        hu = np.where(radius < 1.0, 2 * np.rint(hu / 2), hu)
    marker = []
    for size, center, s, h in zip(SHAPE, middle, steps, half):
        low, high = rng.uniform(3.0, 9.0, 2) + h
        start, stop = int(center - low / s), int(np.ceil(center + high / s)) + 1
        marker.append((max(0, start), min(size, stop)))
    box = (marker[0], marker[1], marker[2])
    cut = around_marker(SHAPE, box, SPACING)
    block = hu.astype(np.int16)[tuple(slice(a, b) for a, b in cut)]
    moved: Any = tuple((a - s, b - s) for (a, b), (s, _) in zip(box, cut))
    return View(block, SPACING, moved)


def arms(seed: int, per_arm: int, tamper: str = "") -> tuple[list[View], np.ndarray, list[str]]:
    """Views of both arms in mixed order, their arm, and their patients (two lesions each)."""
    rng = np.random.default_rng(seed)
    synthetic = rng.permutation(np.repeat([False, True], per_arm))
    views = [lesion_view(rng, tamper if made else "") for made in synthetic]
    return views, synthetic, [f"P{k // 2}" for k in range(2 * per_arm)]


def auc(scores: np.ndarray, synthetic: np.ndarray) -> float:
    """Share of pairs in the right order, ties one half."""
    a, b = scores[synthetic][:, None], scores[~synthetic][None]
    return float((a > b).mean() + 0.5 * (a == b).mean())
