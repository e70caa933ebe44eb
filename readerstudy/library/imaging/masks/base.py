"""What all mask formats have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from readerstudy.library.imaging.errors import ImagingError
from readerstudy.library.imaging.geometry import Geometry

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Segment:
    """One thing a mask file marks: ``key`` is its number there, ``name`` what it is called."""

    key: int
    name: str

    def __post_init__(self) -> None:
        # from a file: no control characters may reach a terminal, a page or the database
        shown = "".join(c if c.isprintable() else " " for c in self.name)
        object.__setattr__(self, "name", " ".join(shown.split())[:80])


class MaskReader(Protocol):
    """An opened mask file."""

    format: str
    frame_uid: str
    synthetic: bool
    segments: list[Segment]

    def read(self, keys: Sequence[int], target: Geometry) -> BoolArray:
        """Union of the segments on the grid of ``target``, shape (z, y, x).

        Raises:
            GridMismatch: the file was not drawn on that grid.
            ImagingError: its data is broken.
        """
        ...

    def fits(self, target: Geometry) -> bool:
        """Whether the file lies on the grid of ``target``, as far as its header tells."""
        ...


def choose(segments: Sequence[Segment], wanted: str | None) -> list[int]:
    """Keys of the segments ``wanted``: numbers or names joined by ``+``, ``all``, or the only one.

    Raises:
        ImagingError: nothing is marked, nothing matches, or a choice is needed.
    """
    if not segments:
        raise ImagingError("it marks nothing; give another one or none")
    if wanted is None or not wanted.strip():
        if len(segments) > 1:
            raise ImagingError(
                f"it marks {len(segments)} things ({listed(segments)}); "
                "say which with #NUMBER, #NAME, #1+2 or #all"
            )
        return [segments[0].key]
    if wanted.strip().lower() == "all":
        return [segment.key for segment in segments]
    keys = []
    for word in (part.strip() for part in wanted.split("+")):
        match = [
            segment.key
            for segment in segments
            if word == str(segment.key) or word.casefold() == segment.name.casefold()
        ]
        if len(match) != 1:
            raise ImagingError(f"it has no part {word!r}; it marks {listed(segments)}")
        keys.append(match[0])
    return keys


def listed(segments: Sequence[Segment], limit: int = 12) -> str:
    names = [segment.name or f"number {segment.key}" for segment in segments[:limit]]
    if all(name.startswith("label ") for name in names):
        names = [names[0], *(name.removeprefix("label ") for name in names[1:])]
    more = len(segments) - limit
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")
