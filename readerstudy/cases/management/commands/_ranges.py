"""Ranges of diameters as they are written on a command line."""

from __future__ import annotations

from readerstudy.cases.errors import CasesError
from readerstudy.cases.services.runs import USUAL_MM

USUAL = f"{USUAL_MM[0]}-{USUAL_MM[1]}"


def diameter_range(text: str) -> tuple[float, float]:
    """``8-30`` as (8.0, 30.0). Raises CasesError when it is no range."""
    try:
        low, high = (float(part) for part in text.split("-"))
    except ValueError:
        raise CasesError(
            f"{text!r} is no range of diameters; write it as LOW-HIGH in mm, such as 8-30."
        ) from None
    return low, high
