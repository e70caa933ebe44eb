"""The rectangle every method works on: readers x cases, with gaps where nothing was read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from readerstudy.analysis.stats.types import BoolArray, FloatArray, IntArray, deceiving


@dataclass(frozen=True, eq=False)
class Readings:
    """First readings of J readers on K cases.

    Attributes:
        readers: J reader codes.
        cases: K case ids.
        positive, negative: names of the two classes; ``is_positive`` refers to ``positive``.
        is_positive: (K,) truth.
        unit: (K,) codes 0..U-1 of the independent sampling unit (the case or its patient).
        score: (J, K) signed confidence, higher = more positive; NaN = not read.
        call: (J, K) 1 = called positive, 0 = called negative; NaN = not read, or, in a study that
            asked for ratings alone, no verdict.
        unit_name: "case" or "patient".
    """

    readers: tuple[str, ...]
    cases: tuple[str, ...]
    positive: str
    negative: str
    is_positive: BoolArray
    unit: IntArray
    score: FloatArray
    call: FloatArray
    unit_name: str = "case"

    @property
    def read(self) -> BoolArray:
        """(J, K) True where the reader read the case."""
        return ~np.isnan(self.score)

    @property
    def has_verdicts(self) -> bool:
        """Whether every reading carries a verdict: without, only the ratings can be analysed."""
        return not bool(np.isnan(self.call[self.read]).any())

    @property
    def n_readers(self) -> int:
        return len(self.readers)

    @property
    def n_cases(self) -> int:
        return len(self.cases)

    @property
    def n_positive(self) -> int:
        return int(self.is_positive.sum())

    @property
    def n_negative(self) -> int:
        return self.n_cases - self.n_positive

    @property
    def n_units(self) -> int:
        return len(np.unique(self.unit))

    @property
    def fully_crossed(self) -> bool:
        return bool(self.read.all())

    def of_cases(self, keep: BoolArray) -> Readings:
        """The same readers on a subset of the cases."""
        _, unit = np.unique(self.unit[keep], return_inverse=True)
        return Readings(
            self.readers,
            tuple(np.asarray(self.cases, dtype=object)[keep].tolist()),
            self.positive,
            self.negative,
            self.is_positive[keep],
            unit.astype(np.int64),
            self.score[:, keep],
            self.call[:, keep],
            self.unit_name,
        )

    def of_readers(self, keep: BoolArray) -> Readings:
        """A subset of the readers on the same cases."""
        return Readings(
            tuple(np.asarray(self.readers, dtype=object)[keep].tolist()),
            self.cases,
            self.positive,
            self.negative,
            self.is_positive,
            self.unit,
            self.score[keep],
            self.call[keep],
            self.unit_name,
        )

    def of_deceiving(self) -> Readings:
        """The same readings with the deceiving class (synthetic) as the positive one."""
        own = deceiving(self.positive, self.negative) == self.positive
        return self if own else self.swapped()

    def swapped(self) -> Readings:
        """The same readings with the other class called positive."""
        return Readings(
            self.readers,
            self.cases,
            self.negative,
            self.positive,
            ~self.is_positive,
            self.unit,
            -self.score,
            1 - self.call,
            self.unit_name,
        )


def ordered(names: Iterable[str]) -> list[str]:
    """Names without repeats: by number where all of them are numbers, else as text."""
    found = sorted(set(names))
    try:
        return sorted(found, key=float)
    except ValueError:
        return found
