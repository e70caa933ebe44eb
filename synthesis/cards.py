"""Model cards: what one ought to know about weights before using them, as JSON and Markdown."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

#: Said of every set of weights, wherever it comes from.
USE = (
    "Makes synthetic tumors for research: reader studies, augmentation, tests of software. "
    "Not a medical device; no diagnosis may rest on its output, and nothing it makes may be "
    "passed off as a real patient's finding."
)
PUBLISHED_LIMITS = (
    "The published generator normalizes with the statistics of the crop at hand, so its answer "
    "depends on the crop; the released code uses its channel 0 for every organ; it was trained "
    "with one HU window and knows no finer intensities than that. See the paper "
    "(doi 10.1038/s41467-025-66071-6) for data and results."
)


@dataclass(frozen=True)
class CardNetwork:
    """One network of the card."""

    name: str
    kind: str
    architecture: str
    parameters: int
    sha256: str


@dataclass(frozen=True)
class Card:
    """A model card. `training` and `limits` are plain words."""

    name: str
    source: str
    source_sha256: str
    revision: str
    licence: str
    imported_at: str
    networks: list[CardNetwork]
    training: str = ""
    limits: str = ""
    use: str = USE
    notes: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def as_markdown(self) -> str:
        """The card for people."""
        rows = [
            f"| {one.name} | {one.kind} | {one.architecture} | {one.parameters:,} "
            f"| `{one.sha256}` |"
            for one in self.networks
        ]
        facts = [
            ("Source", self.source),
            ("SHA-256 of the source file", f"`{self.source_sha256}`"),
            ("Revision", self.revision or "not stated"),
            ("Licence", self.licence or "not stated: ask the authors before passing it on"),
            ("Registered", self.imported_at),
            *((key.replace("_", " ").capitalize(), text) for key, text in self.notes.items()),
        ]
        parts = [
            f"# {self.name}",
            "\n".join(f"- {key}: {text}" for key, text in facts),
            "## Networks",
            "\n".join(
                [
                    "| name | kind | architecture | parameters | SHA-256 |",
                    "|---|---|---|---|---|",
                    *rows,
                ]
            ),
            "## Use",
            self.use,
        ]
        if self.training:
            parts += ["## Training", self.training]
        if self.limits:
            parts += ["## Limits", self.limits]
        return "\n\n".join(parts) + "\n"
