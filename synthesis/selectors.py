"""All reads of the registry of checkpoints: those of the database, and those that ship.

What ships needs no row: its entries are made on the spot and are never saved.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.db.utils import OperationalError, ProgrammingError

from synthesis.engine import shipped
from synthesis.engine.errors import SynthesisError
from synthesis.models import Checkpoint

if TYPE_CHECKING:
    from synthesis.engine.checkpoints import LoadedNetwork
    from synthesis.engine.generators import Weights

SHIPPED_SOURCE = "shipped with the code"


def checkpoints(kind: str | None = None) -> list[Checkpoint]:
    """All weights that can be used by name, or those of one kind; in the order of their names."""
    rows = Checkpoint.objects.all()
    known = [*(rows.filter(kind=kind) if kind else rows), *_shipped(kind)]
    return sorted(known, key=lambda row: row.name)


def _shipped(kind: str | None = None) -> list[Checkpoint]:
    return [_entry(one) for one in shipped.shipped() if kind in (None, one.kind)]


def _entry(one: shipped.Shipped) -> Checkpoint:
    """The entry of a network that ships; it has no primary key."""
    return Checkpoint(
        name=one.name,
        kind=one.kind,
        architecture=one.architecture,
        config=one.config,
        sha256=one.sha256,
        parameters=one.parameters,
        path=str(one.path),
        source=SHIPPED_SOURCE,
        licence=one.licence,
        card=one.card,
        created_at=datetime.fromisoformat(one.made_at).replace(tzinfo=UTC),
    )


def checkpoint(name: str, kind: str | None = None) -> Checkpoint:
    """The checkpoint called `name`.

    Raises:
        SynthesisError: there is none, naming those there are; or there is no database yet.
    """
    wanted = kind or "checkpoint"
    ships = shipped.shipped_network(name)
    try:
        row = _entry(ships) if ships else Checkpoint.objects.filter(name=name).first()
    except (OperationalError, ProgrammingError) as error:
        raise SynthesisError(
            f"The {wanted} {name!r} is not known: there is no registry that can be read; give a "
            "file that exists, or set up the installation first (manage.py migrate)."
        ) from error
    if row is None:
        known = ", ".join(row.name for row in checkpoints(kind)) or "none yet"
        raise SynthesisError(
            f"There is no {wanted} {name!r}; registered are: {known} (import_checkpoint adds one)."
        )
    if kind is not None and row.kind != kind:
        raise SynthesisError(f"The checkpoint {name} is a {row.kind}; a {kind} is needed.")
    return row


def ships(row: Checkpoint) -> bool:
    """Whether the weights came with the code rather than into this installation."""
    return row.source == SHIPPED_SOURCE


def checkpoint_file(row: Checkpoint) -> Path:
    """Where the weights lie."""
    # What ships has a whole path, which replaces the data directory.
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
