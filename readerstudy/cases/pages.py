"""What the pages of runs and candidates show, worked out here in words and numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from . import selectors
from .engines import MEASURES
from .models import Candidate, SynthesisRun
from .priors import Appearance, library_priors

#: Scores in the order of the page: key, words, format.
_SCORES = (
    ("diameter_mm", "Diameter", "{:.1f} mm"),
    ("diameter_error", "Off the size asked for", "{:+.0%}"),
    ("volume_ml", "Volume", "{:.2f} ml"),
    ("voxels", "Voxels", "{:,}"),
    ("changed_voxels", "Voxels changed", "{:,}"),
    ("mean_change_hu", "Mean change", "{:+.0f} HU"),
    ("contrast_hu", "Contrast", "{:+.0f} HU"),
    ("noise_hu", "Noise of the organ", "{:.0f} HU"),
    ("noise_ratio", "Noise inside over outside", "{:.2f}"),
    ("recall_organ", "Recall, its organ", "{:.0%}"),
    ("recall_any", "Recall, any organ", "{:.0%}"),
    ("false_in_ring", "False around it", "{:.0%}"),
)
#: Those small enough in number for a tile: key, words, format.
_SHORT = (
    ("noise_ratio", "noise", "{:.2f}"),
    ("recall_organ", "recall", "{:.0%}"),
    ("recall_any", "recall", "{:.0%}"),
    ("false_in_ring", "false around", "{:.0%}"),
)
GATES = {
    MEASURES: "Measurements: size, contrast, noise",
    "default": "Default: measurements and a segmentor",
    "paper": "Paper: recall of a segmentor above 70 %",
}


@dataclass(frozen=True)
class Tile:
    """A lesion in the gallery of its run."""

    row: Candidate
    scores: list[tuple[str, str]]


class RunPage:
    """A run: k of n, why the others failed, and one of its two galleries."""

    def __init__(self, run: SynthesisRun, *, show: str, size: int) -> None:
        self.show = "rejected" if show == "rejected" else "passed"
        self.imported = bool(run.parameters.get("imported"))
        self.outcome = selectors.outcome(run)
        rows = run.candidates.select_related("volume").order_by("lesion_index", "attempt")
        self.passed_count = rows.filter(by_gate=False).count()
        self.pending = rows.filter(state=Candidate.State.PENDING).count()
        shown = rows.filter(by_gate=self.show == "rejected")
        self.tiles = [Tile(row, short_scores(row)) for row in shown[:size]]
        self.shown_count = self.passed_count if self.show == "passed" else self.outcome.rejected
        self.appearances = [
            Appearance.from_json(values) for values in run.parameters.get("priors", {}).values()
        ]
        gate = run.parameters.get("gate") or {"policy": MEASURES}
        self.gate = GATES.get(gate["policy"], gate["policy"])
        self.segmentor = _network(gate.get("segmentor", ""), gate.get("sha256", ""))
        weights = run.parameters.get("checkpoint") or {}
        self.weights = _network(weights.get("name", ""), weights.get("sha256", ""))

    @property
    def more(self) -> int:
        """Lesions that the gallery has no room for."""
        return self.shown_count - len(self.tiles)


@dataclass(frozen=True)
class Network:
    name: str
    sha256: str

    @property
    def short(self) -> str:
        return self.sha256[:12]


def _network(name: str, sha256: str) -> Network | None:
    return Network(name, sha256) if name else None


def short_scores(row: Candidate) -> list[tuple[str, str]]:
    """The few scores that tell most, each word once."""
    scores = row.verdict.get("scores") or {}
    found: dict[str, str] = {}
    for key, words, form in _SHORT:
        if key in scores and words not in found:
            found[words] = _written(form, scores[key])
    return list(found.items())


def scores(row: Candidate) -> list[tuple[str, str]]:
    """Every score of the verdict: those with words first, others by their own names."""
    left = dict(row.verdict.get("scores") or {})
    found = [(words, _written(form, left.pop(key))) for key, words, form in _SCORES if key in left]
    return found + [(key.replace("_", " "), str(value)) for key, value in sorted(left.items())]


def _written(form: str, value: Any) -> str:
    text = form.format(value)
    # a number that rounds to zero has no sign
    return text[1:] if text[:1] in "+-" and not any(c in "123456789" for c in text) else text


def origin(row: Candidate) -> list[tuple[str, str]]:
    """How a made lesion came about, for its page."""
    stored = row.provenance
    parameters = stored.get("parameters") or {}
    gate = stored.get("gate") or {}
    prior = stored.get("prior") or {}
    policy = gate.get("policy", "")
    found = [
        ("Generator", f"{stored.get('generator', '')} {parameters.get('generator_version', '')}"),
        ("Weights", _named(stored.get("checkpoint", ""), stored.get("checkpoint_sha256", ""))),
        ("Gate", GATES.get(policy, policy)),
        ("Segmentor", _named(gate.get("segmentor", ""), gate.get("sha256", ""))),
        ("Appearance", _appearance(prior)),
        ("Attempt", _attempt(row, stored)),
        ("Seed", str(row.seed if row.seed is not None else "")),
        ("Packages", ", ".join(f"{k} {v}" for k, v in (stored.get("packages") or {}).items())),
    ]
    return [(words, value.strip()) for words, value in found if value.strip()]


def _named(name: str, sha256: str) -> str:
    return f"{name}, SHA-256 {sha256}" if name else ""


def _appearance(prior: dict[str, Any]) -> str:
    if not prior:
        return ""
    if prior.get("source") == "library":
        return f"fitted to {prior.get('lesions')} real lesions of the library"
    return f"table; the library had {prior.get('lesions', 0)} real lesions of the organ"


def _attempt(row: Candidate, stored: dict[str, Any]) -> str:
    most = stored.get("max_attempts")
    return f"{row.attempt} of at most {most}" if most else str(row.attempt)


def appearances(organs: Iterable[str]) -> list[Appearance]:
    """What the lesions of a new run would look like, organ by organ."""
    return list(library_priors(organs).values())
