"""The generators: one interface, one registry.

A new generator is one file with a class that satisfies ``Generator``, and one line in
``_REGISTRY``. Factories are called on demand, so a generator that needs heavy libraries costs
nothing until it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from synthesis.engine.arrays import Field
from synthesis.engine.organs import OrganPrior
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


def _textural() -> Generator:
    from synthesis.engine.generators.textural import TexturalGenerator

    return TexturalGenerator()


_REGISTRY: dict[str, Callable[[], Generator]] = {"textural": _textural}


def generator_names() -> tuple[str, ...]:
    """Names of all generators, the default one first."""
    return tuple(_REGISTRY)


def get_generator(name: str) -> Generator:
    """The generator called ``name``.

    Raises:
        ValueError: there is none; the message names those there are.
    """
    if name not in _REGISTRY:
        raise ValueError(f"There is no generator {name!r}; choose one of: {', '.join(_REGISTRY)}.")
    return _REGISTRY[name]()
