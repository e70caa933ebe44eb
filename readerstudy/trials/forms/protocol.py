"""The protocol as a form: one document, one schema, errors beside the fields."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from django import forms
from pydantic import BaseModel

from readerstudy.trials.design import template
from readerstudy.trials.design.errors import ProtocolError
from readerstudy.trials.design.protocol import Design, Protocol, read

from .rows import Column, Rows

BANDS = (
    Column("name", "Name"),
    Column("from_mm", "From (mm)", "number"),
    Column("to_mm", "Up to, not including (mm)", "number"),
)
STRATA = (
    Column("organ", "Organ", suggestions="organs"),
    Column("size_band", "Size band", suggestions="bands"),
    Column("real", "Real", "count"),
    Column("synthetic", "Synthetic", "count"),
)
WINDOWS = (
    Column("organ", "Organ", suggestions="organs"),
    Column("name", "Name"),
    Column("center", "Center (HU)", "number"),
    Column("width", "Width (HU)", "number"),
)
LABELS = [f"rating_labels__{index}" for index in range(6)]


@dataclass(frozen=True)
class Group:
    """A titled group of fields or tables on the page."""

    key: str
    title: str
    intro: str
    fields: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()


GROUPS = (
    Group(
        "question",
        "Question and endpoint",
        "What is asked, and what the primary analysis will say about it.",
        (
            "title",
            "question",
            "positive_class",
            "endpoint__measure",
            "endpoint__equivalence_margin",
        ),
    ),
    Group(
        "design",
        "Arms and strata",
        "How many real and synthetic cases of each organ and size. Diameters are those of a sphere "
        "of the lesion's volume. Arms that are not exactly equal keep readers from counting.",
        ("design__longest_run",),
        ("bands", "strata"),
    ),
    Group(
        "order",
        "Practice, repeats and sessions",
        "Practice cases come first and are not counted. Repeats measure how well readers agree "
        "with themselves and stay out of the primary analysis.",
        (
            "practice__real",
            "practice__synthetic",
            "repeats__count",
            "repeats__minimum_gap",
            "sessions__cases_per_session",
            "sessions__break_minutes",
            "sessions__minutes_per_case",
        ),
    ),
    Group(
        "words",
        "What readers are told",
        "Shown word for word and stored with each consent. An empty line starts a paragraph.",
        ("wording__prevalence", "wording__instructions", "wording__consent"),
    ),
    Group(
        "answer",
        "The answer",
        "Six positions from surely real to surely synthetic, without a middle: every answer takes "
        "a side. The words may change, the sides not.",
        (*LABELS, "comments", "cues__ask", "cues__tags"),
    ),
    Group(
        "view",
        "The view",
        "The same rules for both arms. The first window of an organ is the one a case opens with; "
        "the organ “default” serves organs that are not listed.",
        (
            "marker__kind",
            "marker__margin_mm",
            "marker__jitter_mm",
            "start_slice__rule",
            "start_slice__jitter_slices",
            "rendition__matrix",
            "rendition__max_slices",
            "rendering",
            "tools__three_plane",
            "tools__length",
        ),
        ("windows",),
    ),
)


def _number(label: str, help_text: str = "", **attrs: Any) -> forms.FloatField:
    return forms.FloatField(
        label=label,
        help_text=help_text,
        required=False,
        widget=forms.NumberInput(attrs={"step": "any", **attrs}),
        error_messages={"invalid": "Give a number."},
    )


def _count(label: str, help_text: str = "", **attrs: Any) -> forms.IntegerField:
    return forms.IntegerField(
        label=label,
        help_text=help_text,
        required=False,
        widget=forms.NumberInput(attrs={"min": 0, **attrs}),
        error_messages={"invalid": "Give a whole number."},
    )


def _line(label: str, help_text: str = "") -> forms.CharField:
    return forms.CharField(label=label, help_text=help_text, required=False)


def _text(label: str, rows: int, help_text: str = "") -> forms.CharField:
    return forms.CharField(
        label=label,
        help_text=help_text,
        required=False,
        widget=forms.Textarea(attrs={"rows": rows}),
    )


def _choice(label: str, choices: list[tuple[str, str]], help_text: str = "") -> forms.ChoiceField:
    return forms.ChoiceField(label=label, choices=choices, help_text=help_text, required=False)


def _tick(label: str, help_text: str = "") -> forms.BooleanField:
    return forms.BooleanField(label=label, help_text=help_text, required=False)


class ProtocolForm(forms.Form):
    """Scalar fields are named by their path in the document, joined by two underscores."""

    title = _line("Title", "Seen by readers. Do not say in it which method or data set is tested.")
    question = _line("Question", "Stands above every case.")
    positive_class = forms.ChoiceField(
        label="Positive class",
        choices=[
            ("synthetic", "Synthetic: sensitivity is the share of synthetic tumors found out"),
            ("real", "Real: sensitivity is the share of real tumors recognized"),
        ],
        widget=forms.RadioSelect,
        required=False,
        help_text="Published trials differ, so there is no default; it is printed on every table.",
    )
    endpoint__measure = _choice(
        "Primary endpoint",
        [("auc", "Area under the curve (AUC)"), ("balanced_accuracy", "Balanced accuracy")],
        "0.5 means that readers cannot tell the arms apart.",
    )
    endpoint__equivalence_margin = _number(
        "Equivalence margin",
        "How far from 0.5 still counts as indistinguishable, fixed before anyone reads: 0.1 means "
        "0.4 to 0.6.",
    )
    design__longest_run = _count(
        "Longest run of one arm",
        "Avoided where possible; 5 or more. A tight limit would tell readers what comes next.",
        min=5,
    )
    practice__real = _count("Practice cases, real")
    practice__synthetic = _count("Practice cases, synthetic")
    repeats__count = _count("Repeated cases", "8 to 10 % of the cases is usual.")
    repeats__minimum_gap = _count("Positions between a case and its repeat, at least")
    sessions__cases_per_session = _count("Cases until a break is proposed")
    sessions__break_minutes = _count("Length of the break (minutes)", "0: no break is proposed.")
    sessions__minutes_per_case = _number(
        "Minutes per case", "For the estimate of reading time; there is no time limit."
    )
    wording__prevalence = _text(
        "On how many are synthetic",
        2,
        "The exact sentence shown. What readers are told changes what they answer.",
    )
    wording__instructions = _text("Instructions", 12)
    wording__consent = _text("Consent", 9)
    comments = _tick("Readers may add a comment")
    cues__ask = _tick("Ask for cues after the answer", "What led the reader to it; optional ticks.")
    cues__tags = _text("Cues, one per line", 8)
    marker__kind = _choice(
        "Marker", [("box", "A box around the tumor"), ("none", "No marker: readers search")]
    )
    marker__margin_mm = _number("Margin of the box (mm)")
    marker__jitter_mm = _number(
        "Jitter of the box (mm)", "Each side moves by up to this, so that the box is no outline."
    )
    start_slice__rule = _choice(
        "A case opens at",
        [("lesion", "the slice through the tumor"), ("middle", "the middle of the volume")],
    )
    start_slice__jitter_slices = _count("Start off by up to (slices)")
    tools__three_plane = _tick("Three planes", "Axial, coronal and sagittal views.")
    tools__length = _tick("Length measurement")
    rendering = _choice(
        "Rendering",
        [
            ("auto", "Graphics card if there is one"),
            ("cpu", "Processor for all readers"),
            ("gpu", "Graphics card for all readers"),
        ],
    )
    rendition__matrix = forms.TypedChoiceField(
        label="Image matrix",
        choices=[(size, f"{size} × {size}") for size in (128, 256, 384, 512, 768, 1024)],
        coerce=int,
        required=False,
        help_text="All images are cropped or padded to this; nothing is resampled.",
    )
    rendition__max_slices = _count("Slices at most", "Longer scans are cut by one rule.")

    def __init__(self, data: Any = None, *, protocol: dict[str, Any] | None = None) -> None:
        """`protocol` is a document to show; it may lack keys, as the template does."""
        filled = _defaults(protocol or {})
        super().__init__(data, initial=_flat(filled))
        for index, name in enumerate(LABELS):
            side = "real" if index < 3 else "synthetic"
            self.fields[name] = _line(f"{index + 1} ({side})")
        design = filled["design"]
        self.bands = self._rows("bands", BANDS, "Add a size band", "", design["size_bands"])
        self.strata = self._rows("strata", STRATA, "Add a stratum", "", design["strata"])
        presets = [
            {"organ": row["organ"], **preset}
            for row in filled["windows"]
            for preset in row["presets"]
        ]
        self.windows = self._rows("windows", WINDOWS, "Add a window", "Window presets", presets)
        self.protocol: Protocol | None = None

    def _rows(
        self,
        prefix: str,
        columns: tuple[Column, ...],
        add: str,
        title: str,
        values: list[dict[str, Any]],
    ) -> Rows:
        if self.is_bound:
            return Rows.posted(prefix, columns, add, title, self.data)
        return Rows.filled(prefix, columns, add, title, values)

    def groups(self) -> list[dict[str, Any]]:
        """What the template draws: groups with their bound fields and tables."""
        return [
            {
                "key": group.key,
                "title": group.title,
                "intro": group.intro,
                "fields": [self[name] for name in group.fields],
                "tables": [getattr(self, name) for name in group.tables],
            }
            for group in GROUPS
        ]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if self.errors:
            return data
        document, windows = self._document(data)
        try:
            self.protocol = read(document)
        except ProtocolError as error:
            if not error.fields:
                self.add_error(None, str(error))
            for path, sentence in error.fields.items():
                self._place(path, sentence, windows)
        return data

    def _document(self, data: dict[str, Any]) -> tuple[dict[str, Any], list[list[int]]]:
        """The document as typed, and for each organ's presets the row each came from."""
        document: dict[str, Any] = {"format": "readerstudy-protocol/1"}
        for name, value in data.items():
            if name in LABELS:
                continue
            target = document
            *parents, last = name.split("__")
            for parent in parents:
                target = target.setdefault(parent, {})
            target[last] = value
        document["cues"]["tags"] = [
            line.strip() for line in data["cues__tags"].splitlines() if line.strip()
        ]
        document["rating_labels"] = [data[name] for name in LABELS]
        if not document["positive_class"]:
            del document["positive_class"]
        document["design"]["size_bands"] = self.bands.values()
        document["design"]["strata"] = self.strata.values()
        by_organ: dict[str, list[dict[str, Any]]] = {}
        rows: dict[str, list[int]] = {}
        for index, row in enumerate(self.windows.values()):
            organ = row.pop("organ").lower()
            by_organ.setdefault(organ, []).append(row)
            rows.setdefault(organ, []).append(index)
        document["windows"] = [
            {"organ": organ, "presets": presets} for organ, presets in by_organ.items()
        ]
        return document, list(rows.values())

    def _place(self, path: tuple[str | int, ...], sentence: str, windows: list[list[int]]) -> None:
        """Put a sentence beside the field or cell that it is about."""
        sentence = _without_key(sentence)
        if path == ("positive_class",):
            sentence = "Choose which class counts as positive."
        if path[:2] in (("design", "size_bands"), ("design", "strata")):
            rows = self.bands if path[1] == "size_bands" else self.strata
            row = path[2] if len(path) > 2 and isinstance(path[2], int) else None
            rows.add_error(row, str(path[3]) if len(path) > 3 else None, sentence)
            self.add_error(None, _ERROR_BELOW)
        elif path[:1] == ("windows",):
            row, column = None, None
            if len(path) > 2 and isinstance(path[1], int):
                group = windows[path[1]]
                at = path[3] if len(path) > 3 and isinstance(path[3], int) else 0
                row = group[at] if at < len(group) else None
                column = "organ" if path[2] == "organ" else str(path[-1])
            self.windows.add_error(row, column, sentence)
            self.add_error(None, _ERROR_BELOW)
        elif path[:2] == ("cues", "tags") or path == ("cues",):
            self.add_error("cues__tags", sentence)
        else:
            name = "__".join(str(part) for part in path)
            if name in self.fields:
                self.add_error(name, sentence)
            elif path == ("design",):
                self.strata.add_error(None, None, sentence)
                self.add_error(None, _ERROR_BELOW)
            else:
                self.add_error(None, sentence)


_ERROR_BELOW = "One of the tables below has something to correct."


def _without_key(sentence: str) -> str:
    """The sentence without the key it names: on the page it stands beside the field."""
    match = re.match(r"`[^`]+`(:?) (.*)$", sentence, re.DOTALL)
    if match is None:
        return sentence
    rest = match.group(2)
    return rest[0].upper() + rest[1:] if match.group(1) else f"This {rest}"


def _defaults(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the schema's defaults where it is silent, without checking it."""
    base = template.vtt_ct_1() | document
    filled: dict[str, Any] = {}
    for name, schema in Protocol.model_fields.items():
        default = schema.default
        if isinstance(default, BaseModel):
            default = default.model_dump(mode="json")
        value = base.get(name, None if schema.is_required() else default)
        both = isinstance(value, dict) and isinstance(default, dict)
        filled[name] = {**default, **value} if both else value
    longest_run = Design.model_fields["longest_run"].default
    filled["design"] = {"longest_run": longest_run} | filled["design"]
    return filled


def _flat(document: dict[str, Any]) -> dict[str, Any]:
    """Initial values of the scalar fields."""
    flat: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, dict):
            flat |= {
                f"{key}__{inner}": item
                for inner, item in value.items()
                if not isinstance(item, dict)
            }
        else:
            flat[key] = value
    flat["cues__tags"] = "\n".join(document["cues"]["tags"])
    for index, name in enumerate(LABELS):
        flat[name] = document["rating_labels"][index]
    return flat


class ProtocolUploadForm(forms.Form):
    file = forms.FileField(
        label="Protocol file",
        help_text="YAML or JSON, as downloaded here; it replaces the whole protocol.",
        widget=forms.ClearableFileInput(attrs={"accept": ".yaml,.yml,.json"}),
        error_messages={"required": "Choose a file first.", "empty": "The file is empty."},
    )
