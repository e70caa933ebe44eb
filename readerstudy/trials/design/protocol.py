"""The protocol document: everything that is decided before the first reader signs in.

One versioned document, written as YAML or JSON (docs/reference-protocol.md), checked here, stored
as canonical JSON and named by its SHA-256. A field is in this schema only if something obeys it.
"""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from readerstudy.trials.design.errors import ProtocolError

FORMAT = "readerstudy-protocol/1"
MAX_CASES = 2000


def _plain_newlines(value: Any) -> Any:
    """Text typed in a browser arrives with CRLF: the same text must give the same hash."""
    return value.replace("\r\n", "\n").replace("\r", "\n") if isinstance(value, str) else value


Line = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\r\n]+$"),
]
Label = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=40, pattern=r"^[^\r\n]+$"),
]
Paragraphs = Annotated[
    str,
    BeforeValidator(_plain_newlines),
    StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000),
]
Organ = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, to_lower=True, max_length=40, pattern=r"^[A-Za-z][A-Za-z0-9 _-]*$"
    ),
]
Millimetres = Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=MAX_CASES)]


class Part(BaseModel):
    """A part of the document: unknown keys are refused, values are fixed once read."""

    # Strict: "yes" is no number of cases, and 3 no text.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Endpoint(Part):
    """What the primary analysis estimates, and how far from chance still counts as equal to it."""

    measure: Literal["auc", "balanced_accuracy"] = "auc"
    equivalence_margin: Annotated[float, Field(gt=0, lt=0.5, allow_inf_nan=False)] = 0.1


class Window(Part):
    name: Label
    center: Annotated[float, Field(ge=-2000, le=4000, allow_inf_nan=False)]
    width: Annotated[float, Field(ge=1, le=6000, allow_inf_nan=False)]


class OrganWindows(Part):
    """Window presets of one organ; the first is the one a case opens with."""

    organ: Organ
    presets: Annotated[tuple[Window, ...], Field(min_length=1, max_length=8)]

    @field_validator("presets")
    @classmethod
    def names_differ(cls, presets: tuple[Window, ...]) -> tuple[Window, ...]:
        if len({preset.name.lower() for preset in presets}) < len(presets):
            raise ValueError("two windows of one organ have the same name; rename one")
        return presets


class Marker(Part):
    """How the lesion is pointed out: the same rule for both arms."""

    kind: Literal["box", "none"] = "box"
    margin_mm: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = 6.0
    jitter_mm: Annotated[float, Field(ge=0, le=50, allow_inf_nan=False)] = 3.0


class StartSlice(Part):
    """The slice a case opens at: at the lesion, off by up to `jitter_slices`, or at the middle."""

    rule: Literal["lesion", "middle"] = "lesion"
    jitter_slices: Annotated[int, Field(ge=0, le=50)] = 3


class Tools(Part):
    """Tools beyond scroll, window, zoom, pan, invert and reset, which every reader has."""

    three_plane: bool = True
    length: bool = True


class Cues(Part):
    """What readers may tick after the answer to say what led them to it."""

    ask: bool = True
    tags: Annotated[tuple[Label, ...], Field(max_length=16)] = (
        "Margin",
        "Texture or noise",
        "Shape",
        "Location",
        "Mass effect or vessels",
        "Context elsewhere",
        "Image processing",
        "Other",
    )

    @model_validator(mode="after")
    def tags_when_asked(self) -> Cues:
        if self.ask and not self.tags:
            raise ValueError("asks for cues but lists none; add tags or set ask to false")
        if len({tag.lower() for tag in self.tags}) < len(self.tags):
            raise ValueError("lists a tag twice; remove one")
        return self


class PerArm(Part):
    real: Count
    synthetic: Count

    def needed(self, arm: str) -> int:
        return self.real if arm == "real" else self.synthetic


class Practice(PerArm):
    """Practice cases, read first, from cases that are not in the main part."""

    real: Count = 2
    synthetic: Count = 2
    feedback: Literal["none"] = "none"


class Repeats(Part):
    """Cases each reader meets twice, for agreement with themselves; not in the primary analysis."""

    count: Count = 6
    minimum_gap: Annotated[int, Field(ge=2, le=MAX_CASES)] = 30


class Sessions(Part):
    """When readers are reminded to rest, and what reading time they are told."""

    cases_per_session: Annotated[int, Field(ge=2, le=200)] = 20
    break_minutes: Annotated[int, Field(ge=0, le=240)] = 10
    minutes_per_case: Annotated[float, Field(gt=0, le=60, allow_inf_nan=False)] = 3.0


class Wording(Part):
    """The exact words that readers are shown. Plain text; an empty line starts a paragraph."""

    prevalence: Paragraphs
    instructions: Paragraphs
    consent: Paragraphs


class Rendition(Part):
    """The one rule by which both arms become the images that readers get."""

    matrix: Literal[128, 256, 384, 512, 768, 1024] = 512
    max_slices: Annotated[int, Field(ge=8, le=600)] = 150


class SizeBand(Part):
    """Diameters from `from_mm` up to, not including, `to_mm` (sphere of equal volume)."""

    name: Annotated[
        str,
        StringConstraints(
            strip_whitespace=True, min_length=1, max_length=20, pattern=r"^[^\r\n]+$"
        ),
    ]
    from_mm: Millimetres
    to_mm: Millimetres

    @model_validator(mode="after")
    def ascends(self) -> SizeBand:
        if self.to_mm <= self.from_mm:
            raise ValueError(f"ends at {self.to_mm:g} mm, not above its start; raise to_mm")
        return self


class Stratum(PerArm):
    organ: Organ
    size_band: Label


class Design(Part):
    """Arms and strata: how many real and synthetic cases of each organ and size band."""

    size_bands: Annotated[tuple[SizeBand, ...], Field(min_length=1, max_length=8)]
    strata: Annotated[tuple[Stratum, ...], Field(min_length=1, max_length=100)]
    # A tight limit tells a reader what comes next; a long run by chance unsettles nobody.
    longest_run: Annotated[int, Field(ge=5, le=50)] = 8

    @model_validator(mode="after")
    def consistent(self) -> Design:
        names = [band.name for band in self.size_bands]
        if len(set(names)) < len(names):
            raise ValueError("two size bands have the same name; rename one")
        ordered = sorted(self.size_bands, key=lambda band: band.from_mm)
        for before, after in pairwise(ordered):
            if after.from_mm < before.to_mm:
                raise ValueError(
                    f"size bands {before.name} and {after.name} overlap; let {after.name} start "
                    f"at {before.to_mm:g} mm"
                )
        seen: set[tuple[str, str]] = set()
        for row in self.strata:
            if row.size_band not in names:
                raise ValueError(
                    f"stratum {row.organ}, {row.size_band} names no size band; use one of "
                    f"{', '.join(names)}"
                )
            if (row.organ, row.size_band) in seen:
                raise ValueError(f"stratum {row.organ}, {row.size_band} stands twice; merge them")
            seen.add((row.organ, row.size_band))
        for arm in ("real", "synthetic"):
            if not sum(row.needed(arm) for row in self.strata):
                raise ValueError(f"no stratum has a {arm} case; a trial needs both arms")
        if self.cases > MAX_CASES:
            raise ValueError(f"{self.cases} cases are more than {MAX_CASES}; lower the numbers")
        return self

    @property
    def cases(self) -> int:
        return sum(row.real + row.synthetic for row in self.strata)

    @property
    def organs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.organ for row in self.strata))


SCALE = (
    "Definitely real",
    "Probably real",
    "Possibly real",
    "Possibly synthetic",
    "Probably synthetic",
    "Definitely synthetic",
)


class Protocol(Part):
    """The whole document. `read` makes one from untrusted data."""

    format: Literal["readerstudy-protocol/1"] = "readerstudy-protocol/1"
    title: Line
    question: Line = "Is the marked tumor real or synthetic?"
    # No default: the literature disagrees on which class is positive, so somebody must choose.
    positive_class: Literal["synthetic", "real"]
    endpoint: Endpoint = Endpoint()
    # Six positions from surely real to surely synthetic; the wording may change, the sides not.
    rating_labels: Annotated[tuple[Label, ...], Field(min_length=6, max_length=6)] = SCALE
    windows: Annotated[tuple[OrganWindows, ...], Field(min_length=1, max_length=40)]
    marker: Marker = Marker()
    start_slice: StartSlice = StartSlice()
    tools: Tools = Tools()
    rendering: Literal["auto", "cpu", "gpu"] = "auto"
    cues: Cues = Cues()
    comments: bool = True
    going_back: Literal[False] = False
    practice: Practice = Practice()
    repeats: Repeats = Repeats()
    sessions: Sessions = Sessions()
    wording: Wording
    rendition: Rendition = Rendition()
    design: Design

    @field_validator("rating_labels")
    @classmethod
    def labels_differ(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if len({label.lower() for label in labels}) < len(labels):
            raise ValueError("two ratings have the same label; rename one")
        return labels

    @model_validator(mode="after")
    def fits_together(self) -> Protocol:
        organs = [row.organ for row in self.windows]
        if len(set(organs)) < len(organs):
            raise ValueError("windows list an organ twice; put its presets together")
        lacking = [name for name in self.design.organs if name not in organs]
        if lacking and "default" not in organs:
            raise ValueError(
                f"windows has no presets for {', '.join(lacking)}; add them, or an entry for the "
                "organ `default`"
            )
        if self.repeats.count > self.design.cases:
            raise ValueError(
                f"repeats asks for {self.repeats.count} of {self.design.cases} main cases; lower "
                "the count"
            )
        # A case read at position p comes back at p + gap or later, so only the first
        # cases - gap + 1 of the main part can be repeated.
        room = self.design.cases - self.repeats.minimum_gap + 1
        if self.repeats.count and self.repeats.count > room:
            raise ValueError(
                f"repeats: {self.repeats.count} repeats at least {self.repeats.minimum_gap} "
                f"positions apart do not fit {self.design.cases} main cases; lower minimum_gap to "
                f"{max(2, self.design.cases + 1 - self.repeats.count)} or less, or lower the count"
            )
        return self

    # ------------------------------------------------------------------------------- derived
    def windows_for(self, organ: str) -> tuple[Window, ...]:
        """The presets of an organ, or of `default`; a case opens with the first."""
        by_organ = {row.organ: row.presets for row in self.windows}
        presets = by_organ.get(organ) or by_organ.get("default")
        return presets or self.windows[0].presets

    @property
    def total_positions(self) -> int:
        """Cases each reader sees: practice, main and repeats."""
        practice = self.practice.real + self.practice.synthetic
        return practice + self.design.cases + self.repeats.count

    @property
    def hours_per_reader(self) -> float:
        return self.total_positions * self.sessions.minutes_per_case / 60

    def document(self) -> dict[str, Any]:
        """Plain JSON values, every field written out."""
        return self.model_dump(mode="json")

    def canonical(self) -> bytes:
        """The bytes that are hashed."""
        return canonical_json(self.document())

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.canonical()).hexdigest()


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys, no spaces, UTF-8: equal values give equal bytes."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def read(data: Any) -> Protocol:
    """Check untrusted data. Raises ProtocolError with a sentence for each bad value."""
    from readerstudy.trials.design import messages

    if not isinstance(data, dict):
        raise ProtocolError(
            "The protocol is not a list of `key: value` pairs; download the template and edit it."
        )
    try:
        return Protocol.model_validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        fields = messages.sentences(error, Protocol, data)
        raise ProtocolError(next(iter(fields.values())), fields) from None
    except RecursionError:
        raise ProtocolError(
            "The protocol is nested too deeply; use the template's shape."
        ) from None
