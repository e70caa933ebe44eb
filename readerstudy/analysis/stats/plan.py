"""What is to be analysed, fixed before anyone looks: the analysis part of a protocol."""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import pairwise
from math import inf
from typing import Any, Literal

from readerstudy.analysis.stats.covariance import Covariance

#: Endpoints that chance fixes at one half whatever the mix of the two classes.
Primary = Literal["auc", "balanced_accuracy"]
PRIMARY: tuple[Primary, ...] = ("auc", "balanced_accuracy")
LEAST_REPLICATES, MOST_REPLICATES = 100, 1_000_000


@dataclass(frozen=True)
class SizeBand:
    """Lesions of ``low`` mm up to, not including, ``high`` mm; None = open end."""

    label: str
    low: float | None
    high: float | None

    def holds(self, size_mm: float) -> bool:
        above = self.low is None or size_mm >= self.low
        return above and (self.high is None or size_mm < self.high)


DEFAULT_BANDS = (
    SizeBand("under 20 mm", None, 20.0),
    SizeBand("20 to 40 mm", 20.0, 40.0),
    SizeBand("40 mm and more", 40.0, None),
)


@dataclass(frozen=True)
class Plan:
    """Settings of one analysis.

    Attributes:
        positive, negative: names of the classes in the ``truth`` and ``verdict`` columns.
        primary: the endpoint the verdict is about.
        margin: half-width of the equivalence range around 0.5.
        unit: what the jackknife leaves out; "auto" = the patient when any has several cases.
        min_cases, min_readers: a subgroup with fewer cases per class, or readers, is not tested.
        replicates, seed: of the bootstrap and the permutation test.
    """

    positive: str = "synthetic"
    negative: str = "real"
    primary: Primary = "auc"
    margin: float = 0.10
    covariance: Covariance = "jackknife"
    unit: Literal["auto", "case", "patient"] = "auto"
    size_bands: tuple[SizeBand, ...] = DEFAULT_BANDS
    min_cases: int = 5
    min_readers: int = 3
    replicates: int = 2000
    seed: int = 1

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Plan:
        """The plan as ``results.json`` stores it, or as a person wrote it: every key may be absent.

        Raises:
            ValueError: an unknown key, or a value of the wrong kind; one sentence.
        """
        kinds = {f.name: _kind(f.default) for f in fields(cls)}
        for key, value in plain.items():
            if key not in kinds:
                raise ValueError(f"unknown key {key!r}; the keys are {', '.join(kinds)}")
            wanted, name = kinds[key]
            if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
                raise ValueError(f"{key} must be {name}, not {value!r}")
        if "size_bands" in plain:
            plain = {**plain, "size_bands": tuple(_size_band(b) for b in plain["size_bands"])}
        return cls(**plain)

    def __post_init__(self) -> None:
        if self.primary not in PRIMARY:
            raise ValueError(f"the primary endpoint is one of {', '.join(PRIMARY)}")
        if not 0 < self.margin < 0.5:
            raise ValueError("the equivalence margin lies between 0 and 0.5")
        if self.positive == self.negative:
            raise ValueError("the two classes need two names")
        if self.covariance not in ("jackknife", "delong", "unbiased"):
            raise ValueError("the covariance is one of jackknife, delong, unbiased")
        if self.unit not in ("auto", "case", "patient"):
            raise ValueError("the unit is one of auto, case, patient")
        if not LEAST_REPLICATES <= self.replicates <= MOST_REPLICATES:
            raise ValueError(
                f"replicates lie between {LEAST_REPLICATES} and {MOST_REPLICATES}, not "
                f"{self.replicates}"
            )
        if self.seed < 0:
            raise ValueError("the seed is 0 or more")
        if self.min_cases < 2 or self.min_readers < 2:
            raise ValueError("min_cases and min_readers are 2 or more")
        if len({band.label for band in self.size_bands}) < len(self.size_bands):
            raise ValueError("two size bands have the same label")
        ordered = sorted(self.size_bands, key=lambda band: -inf if band.low is None else band.low)
        for one, other in pairwise(ordered):
            if (inf if one.high is None else one.high) > (-inf if other.low is None else other.low):
                raise ValueError(f"size bands {one.label!r} and {other.label!r} overlap")


def _kind(default: Any) -> tuple[Any, str]:
    """(accepted types, their name) of a setting, told from its default."""
    if isinstance(default, tuple):
        return (list, tuple), "a list of {label, low, high}"
    if isinstance(default, float):
        return (int, float), "a number"
    return (int, "a whole number") if isinstance(default, int) else (str, "text")


def _size_band(plain: Any) -> SizeBand:
    """A band as written: a label and two ends in mm, either of which may be open."""
    if not isinstance(plain, dict) or not {"label"} <= set(plain) <= {"label", "low", "high"}:
        raise ValueError(f"a size band has the keys label, low and high, not {plain!r}")
    low, high = plain.get("low"), plain.get("high")
    for end in (low, high):
        if end is not None and (isinstance(end, bool) or not isinstance(end, (int, float))):
            raise ValueError(f"the ends of size band {plain['label']!r} are numbers in mm")
    if low is not None and high is not None and low >= high:
        raise ValueError(f"size band {plain['label']!r} ends below its start")
    return SizeBand(str(plain["label"]), low, high)
