"""Engine measurements as plain JSON and back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synthesis.engine.measure import LesionMeasure


def as_json(measured: LesionMeasure) -> dict[str, Any]:
    """All measurements; what could not be measured is null."""
    return {
        name: round(value, 3) if isinstance(value, float) and math.isfinite(value) else value
        for name, value in measured.as_dict().items()
        if not (isinstance(value, float) and not math.isfinite(value))
    }


def from_json(stored: dict[str, Any]) -> LesionMeasure | None:
    """The measurements of a candidate; None when they are not complete enough to learn from."""
    from synthesis.engine.measure import LesionMeasure

    names = ("volume_ml", "diameter_mm", "mean_hu", "core_hu", "ring_hu", "contrast_hu")
    if any(name not in stored for name in names):
        return None
    return LesionMeasure(
        **{name: float(stored[name]) for name in names},
        noise_hu=float(stored.get("noise_hu", math.nan)),
        noise_ratio=float(stored.get("noise_ratio", math.nan)),
        center=tuple(stored["center"]),
        bbox=tuple(tuple(span) for span in stored["bbox"]),
    )
