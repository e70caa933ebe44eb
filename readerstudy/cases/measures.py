"""Engine measurements as plain JSON."""

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
