"""What a benchmark returns."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """One number that was measured, with the bound it was asked to keep (empty: none)."""

    name: str
    value: float
    unit: str
    target: str = ""
    met: bool | None = None


@dataclass(frozen=True)
class Section:
    title: str
    measures: list[Measure]
    notes: list[str]
