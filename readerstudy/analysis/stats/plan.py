"""What is to be analysed, fixed before anyone looks: the analysis part of a protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from readerstudy.analysis.stats.covariance import Covariance

#: Endpoints that chance fixes at one half whatever the mix of the two classes.
Primary = Literal["auc", "balanced_accuracy"]
PRIMARY: tuple[Primary, ...] = ("auc", "balanced_accuracy")


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

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Plan:
        """The plan as ``results.json`` stores it."""
        bands = tuple(SizeBand(**band) for band in plain["size_bands"])
        return cls(**{**plain, "size_bands": bands})

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
