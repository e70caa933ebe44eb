"""All writes of the registry of checkpoints: files first, beside; then rows; then the rename."""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from synthesis.cards import PUBLISHED_LIMITS, Card, CardNetwork
from synthesis.engine import shipped
from synthesis.engine.errors import SynthesisError
from synthesis.models import Checkpoint

if TYPE_CHECKING:
    from torch import Tensor

    from synthesis.engine.checkpoints import Kind
    from synthesis.engine.networks import NetworkConfig

_FOLDER = "checkpoints"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,70}[a-z0-9])?")


@dataclass(frozen=True)
class Origin:
    """Where weights come from, as far as it is known."""

    source: str
    revision: str = ""
    licence: str = ""


@dataclass(frozen=True)
class Part:
    """One network to register: what it is, in plain data, and what writes its file."""

    kind: str
    architecture: str
    config: dict[str, Any]
    parameters: int
    write: Callable[[Path], object]


def import_checkpoint(
    file: Path,
    name: str,
    origin: Origin | None = None,
    *,
    replace: bool = False,
    classes: tuple[str, ...] | None = None,
) -> list[Checkpoint]:
    """Register the networks in `file`: a published `.pt`, or a safetensors file of training.

    `classes` names the outputs of a segmentor that are not those of the published ones. For the
    rest see `register`.

    Raises:
        SynthesisError: the file cannot be used or the name is taken; nothing is left behind.
    """
    check_name(name, replace=replace)
    networks, notes = _networks_in(file, classes)
    parts = [_part(network, notes) for network in networks]
    return register(file, name, parts, notes, origin, replace=replace)


def register(
    file: Path,
    name: str,
    parts: Sequence[Part],
    notes: dict[str, str],
    origin: Origin | None = None,
    *,
    replace: bool = False,
) -> list[Checkpoint]:
    """Keep the networks that were read from `file`, whichever engine they belong to.

    The first network takes `name`, others of a bundle `name-discriminator` and
    `name-segmentor`. Files go to `checkpoints/<name>/` under the data directory, with a model
    card as JSON and Markdown.

    Raises:
        SynthesisError: the name is taken; nothing is left behind.
    """
    from synthesis.engine.checkpoints import file_sha256

    check_name(name, replace=replace)
    origin = origin or Origin(source=file.name)
    licence = origin.licence or notes.get("licence", "")
    now = timezone.now()
    target = Path(settings.DATA_DIR) / _FOLDER / name
    with _fresh_folder(target) as beside:
        rows = [_write_part(beside, name, index, part) for index, part in enumerate(parts)]
        card = Card(
            name=name,
            source=origin.source,
            source_sha256=file_sha256(file),
            revision=origin.revision,
            licence=licence,
            imported_at=now.isoformat(timespec="seconds"),
            networks=[
                CardNetwork(row.name, row.kind, row.architecture, row.parameters, row.sha256)
                for row in rows
            ],
            training=notes.get("training", ""),
            limits=notes.get("limits", "" if file.suffix == _OURS else PUBLISHED_LIMITS),
            notes={key: text for key, text in notes.items() if key not in _OWN_SECTION},
        )
        text = card.as_markdown()
        (beside / "card.md").write_text(text, encoding="utf-8")
        (beside / "card.json").write_text(json.dumps(card.as_json(), indent=2) + "\n", "utf-8")
        for row in rows:
            row.source, row.source_sha256 = origin.source, card.source_sha256
            row.revision, row.licence = origin.revision, licence
            row.card, row.created_at = text, now
        with transaction.atomic():
            _forget(name, replace=replace)
            _refuse_shipped([row.name for row in rows])
            _refuse_taken([row.name for row in rows])
            Checkpoint.objects.bulk_create(rows)
            _swap(beside, target)
    return rows


_OURS = ".safetensors"
#: Notes of a trained file that have a place of their own on the card.
_OWN_SECTION = ("training", "limits", "licence")


@dataclass(frozen=True)
class _Network:
    kind: Kind
    config: NetworkConfig
    state: dict[str, Tensor]


def _networks_in(
    file: Path, classes: tuple[str, ...] | None
) -> tuple[list[_Network], dict[str, str]]:
    if file.suffix == _OURS:
        from synthesis.engine.checkpoints import load_checkpoint

        loaded = load_checkpoint(file)
        kind = cast("Kind", loaded.kind)
        return [_Network(kind, loaded.config, loaded.network.state_dict())], dict(loaded.notes)
    from synthesis.engine.interop.weights import read_published

    found = read_published(file, classes)
    return [_Network(one.kind, one.config, one.state) for one in found], {}


def _part(network: _Network, notes: dict[str, str]) -> Part:
    from synthesis.engine.checkpoints import save_checkpoint
    from synthesis.engine.networks import config_to_json

    def write(path: Path) -> None:
        save_checkpoint(path, network.kind, network.config, network.state, notes)

    return Part(
        network.kind,
        network.config.architecture,
        config_to_json(network.config),
        sum(tensor.numel() for tensor in network.state.values()),
        write,
    )


def _write_part(folder: Path, name: str, index: int, part: Part) -> Checkpoint:
    """Write one network into `folder`; the row (not saved) says where it will be."""
    from synthesis.engine.checkpoints import file_sha256

    file = f"{part.kind}{_OURS}"
    part.write(folder / file)
    return Checkpoint(
        name=name if index == 0 else f"{name}-{part.kind}",
        kind=part.kind,
        architecture=part.architecture,
        config=part.config,
        sha256=file_sha256(folder / file),
        parameters=part.parameters,
        path=f"{_FOLDER}/{name}/{file}",
    )


def check_name(name: str, *, replace: bool) -> None:
    """Raises SynthesisError when a name cannot be used or is taken."""
    if not _NAME.fullmatch(name):
        raise SynthesisError(
            f"The name {name!r} cannot be used; take lower-case letters, digits, '.', '_' and '-'."
        )
    _refuse_shipped([name])
    if not replace:
        _refuse_taken([name])


def _refuse_shipped(names: Sequence[str]) -> None:
    for name in names:
        if shipped.shipped_network(name) is not None:
            raise SynthesisError(
                f"{name} is the name of weights that ship with the code; choose another --name."
            )


def _refuse_taken(names: Sequence[str]) -> None:
    taken = Checkpoint.objects.filter(name__in=names).order_by("name").first()
    if taken is not None:
        raise SynthesisError(
            f"There is already a checkpoint named {taken.name}; choose another --name, or add "
            "--replace."
        )


def _forget(name: str, *, replace: bool) -> None:
    if replace:
        Checkpoint.objects.filter(path__startswith=f"{_FOLDER}/{name}/").delete()


@contextmanager
def _fresh_folder(target: Path) -> Iterator[Path]:
    """A new folder beside `target`; gone afterwards unless it was renamed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    beside.mkdir()
    try:
        yield beside
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _swap(beside: Path, target: Path) -> None:
    """Let `beside` take the name; what was there is deleted once the new one stands."""
    old = None
    if target.exists():
        old = target.with_name(f".{target.name}.{uuid.uuid4().hex}.old")
        os.replace(target, old)
    try:
        os.replace(beside, target)
    except OSError:
        if old is not None:
            os.replace(old, target)
        raise
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)
