"""Masks whose lesions are known by construction."""

from __future__ import annotations

import numpy as np


def ball(shape, center, radius_mm, spacing) -> np.ndarray:
    """A ball (z, y, x) at an index ``center``; ``spacing`` is (x, y, z) in mm."""
    axes = np.ogrid[tuple(slice(0, n) for n in shape)]
    mm = (spacing[2], spacing[1], spacing[0])
    away = sum(((a - c) * s) ** 2 for a, c, s in zip(axes, center, mm, strict=True))
    return away <= radius_mm**2
