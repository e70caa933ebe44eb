"""The same readers under several conditions: generators, or the modalities of a classic study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from readerstudy.analysis.stats.readings import Readings, ordered
from readerstudy.analysis.stats.types import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Conditions:
    """Readings of J readers on one list of K cases, once per condition.

    ``each`` holds one :class:`Readings` per name, all with the same readers, cases, truth and
    units; what was not read in a condition is NaN there.
    """

    names: tuple[str, ...]
    each: tuple[Readings, ...]

    @property
    def n_conditions(self) -> int:
        return len(self.names)

    @property
    def readers(self) -> tuple[str, ...]:
        return self.each[0].readers

    @property
    def n_readers(self) -> int:
        return len(self.readers)

    @property
    def fully_crossed(self) -> bool:
        return all(own.fully_crossed for own in self.each)

    @classmethod
    def of(cls, named: Mapping[str, Readings]) -> Conditions:
        """Line several readings up by reader and case id; gaps where a case was not read.

        Raises:
            ValueError: no condition, classes with other names, or a case whose truth changes.
        """
        parts = list(named.values())
        if not parts:
            raise ValueError("there is no condition to compare")
        first = parts[0]
        if any((p.positive, p.negative) != (first.positive, first.negative) for p in parts):
            raise ValueError("the conditions call their classes by different names")
        readers = tuple(ordered(r for p in parts for r in p.readers))
        cases = tuple(sorted({c for p in parts for c in p.cases}))
        column = {name: k for k, name in enumerate(cases)}
        truth = np.zeros(len(cases), dtype=bool)
        seen: dict[str, bool] = {}
        for part in parts:
            for name, positive in zip(part.cases, part.is_positive):
                if seen.setdefault(name, bool(positive)) != bool(positive):
                    raise ValueError(f"the truth of case {name} changes between conditions")
                truth[column[name]] = positive
        unit = _shared_units(parts, column)
        each = tuple(_lined_up(part, readers, cases, truth, unit) for part in parts)
        return cls(tuple(named), each)

    @classmethod
    def by_generator(cls, readings: Readings, labels: Sequence[str]) -> Conditions:
        """One condition per label of the deceiving cases; all share the cases of the other class.

        Args:
            labels: one per case; those of the other class are not looked at. Cases of the
                deceiving class without a label belong to no condition.

        Raises:
            ValueError: no case of the deceiving class has a label.
        """
        given = np.asarray(labels, dtype=object)
        made = readings.is_positive
        if readings.of_deceiving() is not readings:
            made = ~made
        names = sorted({str(label) for label in given[made]} - {""})
        if not names:
            raise ValueError("no case names the generator that made it")
        each = tuple(_only(readings, ~made | (given == name)) for name in names)
        return cls(tuple(names), each)

    def of_readers(self, keep: BoolArray) -> Conditions:
        """A subset of the readers in every condition."""
        return Conditions(self.names, tuple(own.of_readers(keep) for own in self.each))

    def stacked(self) -> Readings:
        """All conditions below one another, as if each (condition, reader) were a reader.

        Row ``i * J + j`` is reader j in condition i. The error covariance of these rows holds
        every covariance of the Obuchowski-Rockette model.
        """
        first = self.each[0]
        rows = tuple(f"{name}/{reader}" for name in self.names for reader in self.readers)
        return replace(
            first,
            readers=rows,
            score=np.concatenate([own.score for own in self.each]),
            call=np.concatenate([own.call for own in self.each]),
        )


def _only(readings: Readings, keep: BoolArray) -> Readings:
    """The same rectangle with every reading outside ``keep`` taken out."""
    return replace(
        readings,
        score=np.where(keep[None, :], readings.score, np.nan),
        call=np.where(keep[None, :], readings.call, np.nan),
    )


def _shared_units(parts: Sequence[Readings], column: Mapping[str, int]) -> IntArray:
    """Units over all conditions: cases that share a unit in any of them share one here."""
    one, other = [], []
    for part in parts:
        place = np.array([column[name] for name in part.cases], dtype=np.int64)
        leader = np.full(int(part.unit.max(initial=-1)) + 1, -1, dtype=np.int64)
        leader[part.unit[::-1]] = place[::-1]
        one.append(place)
        other.append(leader[part.unit])
    rows, columns = np.concatenate(one), np.concatenate(other)
    links = coo_array((np.ones(len(rows)), (rows, columns)), shape=(len(column), len(column)))
    labels: IntArray = connected_components(links, directed=False)[1].astype(np.int64)
    return labels


def _lined_up(
    part: Readings, readers: tuple[str, ...], cases: tuple[str, ...], truth: BoolArray,
    unit: IntArray,
) -> Readings:  # fmt: skip
    row = [readers.index(name) for name in part.readers]
    column = {name: k for k, name in enumerate(cases)}
    at = np.ix_(row, [column[name] for name in part.cases])

    def spread(values: FloatArray) -> FloatArray:
        out = np.full((len(readers), len(cases)), np.nan)
        out[at] = values
        return out

    return Readings(
        readers, cases, part.positive, part.negative, truth, unit, spread(part.score),
        spread(part.call), part.unit_name,
    )  # fmt: skip
