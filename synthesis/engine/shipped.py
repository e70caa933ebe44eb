"""The small weights that ship with the code: part of every installation, known by name.

Each folder of ``synthesis/weights`` holds safetensors files, ``card.md`` and ``networks.json``,
which names each network and the SHA-256 that its file must have. No torch here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
#: What the learned generator and the gate take where nobody names weights.
GENERATOR = "freetumor-small"
SEGMENTOR = "freetumor-small-segmentor"


@dataclass(frozen=True)
class Shipped:
    """One network that ships: what the registry says of others, without a database."""

    name: str
    kind: str
    architecture: str
    config: dict[str, Any]
    parameters: int
    sha256: str
    made_at: str
    licence: str
    path: Path

    @property
    def card(self) -> str:
        """The model card, Markdown."""
        return (self.path.parent / "card.md").read_text(encoding="utf-8")


@cache
def shipped() -> tuple[Shipped, ...]:
    """Every network that ships, by name."""
    found = [one for listed in WEIGHTS.glob("*/networks.json") for one in _listed_in(listed)]
    return tuple(sorted(found, key=lambda one: one.name))


def _listed_in(path: Path) -> list[Shipped]:
    document = json.loads(path.read_text(encoding="utf-8"))
    return [
        Shipped(
            name=network["name"],
            kind=network["kind"],
            architecture=network["architecture"],
            config=network["config"],
            parameters=network["parameters"],
            sha256=network["sha256"],
            made_at=document["made_at"],
            licence=document["licence"],
            path=path.parent / network["file"],
        )
        for network in document["networks"]
    ]


def shipped_network(name: str) -> Shipped | None:
    """The network that ships under ``name``; None where there is none."""
    return next((one for one in shipped() if one.name == name), None)
