"""All reads of the registry of checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.db.models import QuerySet
from django.db.utils import OperationalError, ProgrammingError

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
    """The checkpoint called `name`.

    Raises:
        SynthesisError: there is none, naming those there are; or there is no database yet.
    """
    wanted = kind or "checkpoint"
    try:
        row = Checkpoint.objects.filter(name=name).first()
    except (OperationalError, ProgrammingError) as error:
        raise SynthesisError(
            f"The {wanted} {name!r} is not known: there is no registry that can be read; give a "
            "file that exists, or set up the installation first (manage.py migrate)."
        ) from error
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


def organs_of(row: Checkpoint) -> tuple[str, ...]:
    """The organs a network was made for: those it paints, or whose tumors it finds."""
    from synthesis.engine.networks import (
        ConditionalUNetConfig,
        PublishedUNet3dConfig,
        config_from_json,
        tumor_classes,
    )

    config = config_from_json(row.architecture, row.config)
    if isinstance(config, ConditionalUNetConfig):
        return tuple(organ.name for organ in config.organs)
    if isinstance(config, PublishedUNet3dConfig):
        from synthesis.engine.interop.recipe import recipe_for

        return recipe_for(config.out_channels).organs
    return tuple(tumor_classes(config.classes).values())


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
