"""All reads of the registry of checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.db.models import QuerySet

from synthesis.engine.errors import SynthesisError
from synthesis.models import Checkpoint

if TYPE_CHECKING:
    from synthesis.engine.checkpoints import LoadedNetwork
    from synthesis.engine.generators import Weights


def checkpoints(kind: str | None = None) -> QuerySet[Checkpoint]:
    """All registered weights by name, or those of one kind."""
    rows = Checkpoint.objects.order_by("name")
    return rows.filter(kind=kind) if kind else rows


def checkpoint(name: str, kind: str | None = None) -> Checkpoint:
    """The checkpoint called `name`. Raises SynthesisError naming those there are."""
    row = Checkpoint.objects.filter(name=name).first()
    wanted = kind or "checkpoint"
    if row is None:
        known = ", ".join(checkpoints(kind).values_list("name", flat=True)) or "none yet"
        raise SynthesisError(
            f"There is no {wanted} {name!r}; registered are: {known} (import_checkpoint adds one)."
        )
    if kind is not None and row.kind != kind:
        raise SynthesisError(f"The checkpoint {name} is a {row.kind}; a {kind} is needed.")
    return row


def checkpoint_file(row: Checkpoint) -> Path:
    """Where the weights lie."""
    return Path(settings.DATA_DIR) / row.path


def generator_weights(name: str, device: str = "cpu") -> Weights:
    """What `get_generator("freetumor", ...)` takes, for the registered generator `name`."""
    from synthesis.engine.generators import Weights

    row = checkpoint(name, Checkpoint.Kind.GENERATOR)
    return Weights(checkpoint_file(row), name=row.name, sha256=row.sha256, device=device)


def load_registered(name: str, kind: str, device: str = "cpu") -> LoadedNetwork:
    """The network of the registered checkpoint `name`, its file checked against the record."""
    from synthesis.engine.checkpoints import load_checkpoint

    row = checkpoint(name, kind)
    return load_checkpoint(checkpoint_file(row), device=device, sha256=row.sha256, name=row.name)
