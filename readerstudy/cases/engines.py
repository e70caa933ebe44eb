"""What paints and what judges the lesions of a run: chosen by name, loaded in the worker.

The first half runs on the web path and reads the registry alone; `load` needs PyTorch where a
network is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synthesis import selectors as registry
from synthesis.engine import shipped
from synthesis.engine.errors import SynthesisError
from synthesis.engine.generators import generator_names, needs_weights
from synthesis.engine.organs import canonical_organ

from .errors import CasesError

if TYPE_CHECKING:
    from synthesis.engine.generators import Generator
    from synthesis.engine.organs import OrganPrior
    from synthesis.engine.quality import Fault, Gate
    from synthesis.engine.records import HostCrop, Lesion, Scores
    from synthesis.engine.segmenters import NetworkSegmenter
    from synthesis.models import Checkpoint

#: No network is asked: size, contrast and noise are measured.
MEASURES = "measures"
POLICIES = (MEASURES, "default", "paper")


@dataclass(frozen=True)
class Choice:
    """What a run is asked to use, by names of the registry.

    A learned generator, or a gate that asks a segmentor, takes the weights that ship where none
    are named.
    """

    generator: str = "textural"
    checkpoint: str = ""
    policy: str = MEASURES
    segmentor: str = ""


@dataclass(frozen=True)
class Weights:
    """A registered network and the organs it was made for."""

    name: str
    sha256: str
    organs: tuple[str, ...]


def generators() -> list[Weights]:
    """Registered weights of the learned generator, by name."""
    return [_weights(row) for row in registry.checkpoints("generator")]


def segmentors() -> list[Weights]:
    """Registered segmentors that know a tumor, by name."""
    found = [_weights(row) for row in registry.checkpoints("segmentor")]
    return [weights for weights in found if weights.organs]


def learned() -> str:
    """The name of the generator that works from weights."""
    return next(name for name in generator_names() if needs_weights(name))


def _weights(row: Checkpoint) -> Weights:
    return Weights(row.name, row.sha256, registry.organs_of(row))


def check(choice: Choice, organs: Sequence[str]) -> dict[str, Any]:
    """The record of what will be used, with the SHA-256 of each network.

    Raises:
        CasesError: a name that is not there, weights that are missing or not wanted, or an organ
            that a network was not made for.
    """
    return {"checkpoint": check_generator(choice, organs), "gate": check_gate(choice, organs)}


def check_generator(choice: Choice, organs: Sequence[str]) -> dict[str, str] | None:
    """Name and SHA-256 of the generator's weights; None where it needs none. Raises as `check`."""
    names = generator_names()
    if choice.generator not in names:
        raise CasesError(
            f"There is no generator {choice.generator!r}; choose one of: {', '.join(names)}."
        )
    if not needs_weights(choice.generator):
        if choice.checkpoint:
            raise CasesError(
                f"The generator {choice.generator} has no weights; leave the checkpoint out."
            )
        return None
    found = _registered(choice.checkpoint or shipped.GENERATOR, "generator")
    if missing := unknown_organs(found, organs):
        raise CasesError(
            f"{found.name} was not made for the {missing[0]}; it knows {', '.join(found.organs)}. "
            f"Leave the {missing[0]} out or choose another generator."
        )
    return {"name": found.name, "sha256": found.sha256}


def check_gate(choice: Choice, organs: Sequence[str]) -> dict[str, str]:
    """The record of the gate. Raises as `check`."""
    if choice.policy not in POLICIES:
        raise CasesError(
            f"There is no gate {choice.policy!r}; choose one of: {', '.join(POLICIES)}."
        )
    if choice.policy == MEASURES:
        if choice.segmentor:
            raise CasesError(
                "A segmentor is chosen, but the gate that measures alone asks none; choose "
                "default or paper, or leave the segmentor out."
            )
        return {"policy": MEASURES}
    found = _registered(choice.segmentor or shipped.SEGMENTOR, "segmentor")
    # The published gate takes a tumor of any organ for an answer, ours only one of its own.
    missing = unknown_organs(found, organs) if choice.policy == "default" else []
    if missing:
        raise CasesError(
            f"The segmentor {found.name} knows no tumor of the {missing[0]}, only of "
            f"{', '.join(found.organs)}, so every lesion would fail; choose another gate."
        )
    return {"policy": choice.policy, "segmentor": found.name, "sha256": found.sha256}


def unknown_organs(weights: Weights, organs: Iterable[str]) -> list[str]:
    """Labels that a network was not made for."""
    return [organ for organ in organs if canonical_organ(organ) not in weights.organs]


def _registered(name: str, kind: str) -> Weights:
    try:
        return _weights(registry.checkpoint(name, kind))
    except SynthesisError as error:
        raise CasesError(str(error)) from None


# -- in the worker -------------------------------------------------------------------------------


def load(generator: str, record: dict[str, Any]) -> tuple[Generator, Gate]:
    """The generator and the gate of a run, exactly those that its record names.

    Raises:
        CasesError: weights are gone, or others than those the run was started with.
    """
    from synthesis.engine.generators import get_generator

    try:
        weights = None
        if checkpoint := record.get("checkpoint"):
            weights = registry.generator_weights(checkpoint["name"])
            _same(checkpoint, weights.sha256)
        return get_generator(generator, weights), _gate(record.get("gate") or {})
    except (ValueError, SynthesisError) as error:
        raise CasesError(str(error)) from None


def _gate(record: dict[str, str]) -> Gate:
    from synthesis.engine.quality import judge, make_gate

    policy = record.get("policy", MEASURES)
    if policy == MEASURES:
        return judge
    from synthesis.engine.segmenters import NetworkSegmenter

    loaded = registry.load_registered(record["segmentor"], "segmentor")
    _same({"name": record["segmentor"], "sha256": record["sha256"]}, loaded.sha256)
    gate = make_gate(policy, NetworkSegmenter(loaded))
    return MeasuredToo(gate) if policy == "paper" else gate


def _same(record: dict[str, str], sha256: str | None) -> None:
    if sha256 != record["sha256"]:
        raise CasesError(
            f"The checkpoint {record['name']} is not the one this run was started with (its "
            "SHA-256 differs), so its lesions would be of two kinds; start a new run."
        )


@dataclass(frozen=True)
class MeasuredToo:
    """A gate whose verdict stands, with the measurements that it does not take itself."""

    gate: Gate

    @property
    def context_mm(self) -> float:
        from synthesis.engine.generators import context_of

        return context_of(self.gate)

    def __call__(
        self, host: HostCrop, lesion: Lesion, prior: OrganPrior
    ) -> tuple[Fault | None, Scores]:
        from synthesis.engine.quality import judge

        fault, scores = self.gate(host, lesion, prior)
        _, measured = judge(host, lesion, prior)
        return fault, measured | scores


def tumor_eye(name: str = "") -> tuple[NetworkSegmenter, dict[str, str]]:
    """A registered segmentor (the shipped one where none is named), and its record.

    Raises:
        CasesError: there is none of that name, or its weights are gone.
    """
    from synthesis.engine.segmenters import NetworkSegmenter

    try:
        loaded = registry.load_registered(name or shipped.SEGMENTOR, "segmentor")
        return NetworkSegmenter(loaded), segmentor_record(name)
    except SynthesisError as error:
        raise CasesError(str(error)) from None


def segmentor_record(name: str = "") -> dict[str, str]:
    """Name, SHA-256 and source of a registered segmentor; loads nothing. Raises as `tumor_eye`."""
    try:
        row = registry.checkpoint(name or shipped.SEGMENTOR, "segmentor")
    except SynthesisError as error:
        raise CasesError(str(error)) from None
    return {"name": row.name, "sha256": row.sha256, "source": row.source}
