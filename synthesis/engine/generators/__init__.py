"""The generators: one interface, one registry.

A new generator is one file with a class that satisfies ``Generator``, and one line in
``_REGISTRY``. Factories are called on demand, so a generator that needs heavy libraries costs
nothing until it is asked for, and a page may list the names. A learned generator takes a
checkpoint file, or else the one that ships; one that needs none refuses it, so that nobody
believes to have used it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from synthesis.engine.shipped import GENERATOR, shipped_network

if TYPE_CHECKING:
    import numpy as np

    from synthesis.engine.arrays import Field
    from synthesis.engine.organs import OrganPrior
    from synthesis.engine.precision import Precision
    from synthesis.engine.records import HostCrop
    from synthesis.engine.shapes import SoftLesion


@dataclass(frozen=True)
class Painted:
    """A generator's answer on the grid of the host crop.

    ``change`` is in HU and already weighted by the soft edge; ``feather`` in 0..1 marks the
    voxels that may change; ``parameters`` are the drawn numbers, for the record.
    """

    change: Field
    feather: Field
    parameters: dict[str, float | str]


class Generator(Protocol):
    """Paints one lesion into a host crop."""

    name: str
    version: str

    def paint(
        self,
        rng: np.random.Generator,
        host: HostCrop,
        lesion: SoftLesion,
        prior: OrganPrior,
        mass_effect: float,
    ) -> Painted:
        """Propose the change that makes ``lesion`` visible in ``host``.

        The same ``rng`` state and inputs must give the same bytes on one machine.
        """
        ...


@dataclass(frozen=True)
class Weights:
    """The checkpoint file a learned generator is to use.

    ``sha256`` is what the file must hash to (None: not checked); ``name`` goes into records;
    ``precision`` is auto, fp32 or bf16 (see ``precision``).
    """

    path: Path
    name: str = ""
    sha256: str | None = None
    device: str = "cpu"
    precision: Precision = "auto"


def _textural(weights: Weights | None) -> Generator:
    from synthesis.engine.generators.textural import TexturalGenerator

    if weights is not None:
        raise ValueError("The generator 'textural' has no weights; leave the checkpoint out.")
    return TexturalGenerator()


def _that_ship() -> Weights:
    found = shipped_network(GENERATOR)
    if found is None:
        raise ValueError(
            "The generator 'freetumor' needs a checkpoint, and the one that ships is missing here: "
            "restore synthesis/weights, or import weights with import_checkpoint."
        )
    return Weights(found.path, name=found.name, sha256=found.sha256)


def _freetumor(weights: Weights | None) -> Generator:
    from synthesis.engine.checkpoints import load_checkpoint
    from synthesis.engine.generators.freetumor import FreeTumorGenerator

    if weights is None:
        weights = _that_ship()
    loaded = load_checkpoint(
        weights.path,
        kind="generator",
        device=weights.device,
        sha256=weights.sha256,
        name=weights.name or None,
    )
    return FreeTumorGenerator(loaded, precision=weights.precision)


_REGISTRY: dict[str, Callable[[Weights | None], Generator]] = {
    "textural": _textural,
    "freetumor": _freetumor,
}
#: Those that work from a checkpoint.
_LEARNED = frozenset({"freetumor"})


def generator_names() -> tuple[str, ...]:
    """Names of all generators, the default one first."""
    return tuple(_REGISTRY)


def needs_weights(name: str) -> bool:
    """Whether the generator called ``name`` works from a checkpoint."""
    return name in _LEARNED


def get_generator(name: str, weights: Weights | None = None) -> Generator:
    """The generator called ``name``.

    Raises:
        ValueError: there is none, it needs a checkpoint, or it takes none; the message says so.
        SynthesisError: the checkpoint cannot be used.
    """
    if name not in _REGISTRY:
        raise ValueError(f"There is no generator {name!r}; choose one of: {', '.join(_REGISTRY)}.")
    return _REGISTRY[name](weights)


def context_of(part: object) -> float:
    """Tissue in mm a generator or gate wants around the lesion; 0: the pipeline's is enough."""
    return float(getattr(part, "context_mm", 0.0))
