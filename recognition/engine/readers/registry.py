"""All machines by name. A new one is a file beside this one and a line in ``_MACHINES``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from recognition.engine.readers.gate import Segmenter
    from recognition.engine.readers.view import View

Values = NDArray[np.floating]


class Machine(Protocol):
    """A reader that is a program.

    ``looks_at`` says in words what it goes by. An untrained one also has ``cuts`` (``rating.Cuts``)
    and ``rule``, the words for them.
    """

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def looks_at(self) -> str: ...

    @property
    def trained(self) -> bool: ...

    def prepare(self, view: View) -> Values:
        """What the machine goes by, an array of one shape for all views."""
        ...

    def fit(
        self,
        inputs: Values,
        synthetic: NDArray[np.bool_],
        rng: np.random.Generator,
        tell: Callable[[float], None] | None = None,
    ) -> Any:
        """Learn from prepared views, stacked, and their arm.

        Args:
            rng: draws everything that is random.
            tell: called with the share done; may raise to stop.

        Returns:
            A callable from stacked inputs to scores that grow with synthetic.
        """
        ...

    def facts(self, scorer: Any) -> dict[str, object]:
        """What is worth knowing of what ``fit`` gave, as plain values."""
        ...


@dataclass(frozen=True)
class Tools:
    """What some machines need and cannot make themselves."""

    segmenter: Segmenter | None = None


def _gate(tools: Tools) -> Machine:
    from recognition.engine.readers.gate import Gate

    if tools.segmenter is None:
        raise ValueError("The gate needs a segmentor.")
    return Gate(tools.segmenter)


def _radiomics(tools: Tools) -> Machine:
    from recognition.engine.readers.radiomics import Radiomics

    return Radiomics()


def _forensic(tools: Tools) -> Machine:
    from recognition.engine.readers.forensic import Forensic

    return Forensic()


def _cnn(tools: Tools) -> Machine:
    from recognition.engine.readers.cnn import Cnn

    return Cnn()


#: Builder, title, and whether it learns from lesions of both arms; known without loading PyTorch.
_MACHINES: dict[str, tuple[Callable[[Tools], Machine], str, bool]] = {
    "gate": (_gate, "Gate of recognition", False),
    "radiomics": (_radiomics, "Radiomics", True),
    "forensic": (_forensic, "Forensic features", True),
    "cnn": (_cnn, "Small 3-D network", True),
}


def machine_names() -> tuple[str, ...]:
    """All machines, in the order in which they read."""
    return tuple(_MACHINES)


def title_of(name: str) -> str:
    """The name for people."""
    return _MACHINES[name][1]


def learns(name: str) -> bool:
    """Whether the machine must be trained on lesions of both arms."""
    return _MACHINES[name][2]


def get_machine(name: str, tools: Tools | None = None) -> Machine:
    """The machine called ``name``. Raises ValueError for an unknown one, or a missing tool."""
    if name not in _MACHINES:
        raise ValueError(f"There is no machine {name!r}; choose {', '.join(_MACHINES)}.")
    return _MACHINES[name][0](tools or Tools())
