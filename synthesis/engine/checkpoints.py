"""Weights on disk: a safetensors file that says by itself which network it belongs to.

The header of the file carries the kind of network, its architecture and its configuration, so
that a file moved elsewhere still loads. Nothing in it can run code. Files of other making are
the business of ``interop``.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from synthesis.engine.errors import SynthesisError
from synthesis.engine.networks import (
    NetworkConfig,
    build_network,
    config_from_json,
    config_to_json,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

Kind: TypeAlias = Literal["generator", "segmentor", "discriminator"]
Storage: TypeAlias = Literal["fp32", "fp16"]
KINDS: tuple[str, ...] = get_args(Kind)
#: The entry of the file's metadata that holds our header.
_HEADER = "synthesis.checkpoint"
_CHUNK = 4 * 1024 * 1024


@dataclass(frozen=True)
class Header:
    """What a file says about itself without its tensors being read."""

    kind: str
    config: NetworkConfig
    notes: dict[str, str]
    shapes: dict[str, tuple[int, ...]]

    @property
    def parameters(self) -> int:
        """Number of stored values."""
        total = 0
        for shape in self.shapes.values():
            size = 1
            for n in shape:
                size *= n
            total += size
        return total


@dataclass(frozen=True)
class LoadedNetwork:
    """A network with its weights, in eval mode and without gradients."""

    kind: str
    config: NetworkConfig
    network: nn.Module
    sha256: str
    name: str
    notes: dict[str, str]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def save_checkpoint(
    path: Path,
    kind: Kind,
    config: NetworkConfig,
    state: Mapping[str, Tensor],
    notes: Mapping[str, str] | None = None,
    *,
    storage: Storage = "fp32",
) -> str:
    """Write weights beside ``path`` and rename; the same weights always give the same bytes.

    Args:
        path: where to; the folder is made.
        kind: what the network is for.
        config: what it is.
        state: its ``state_dict``; must fit ``config``.
        notes: texts to keep with it (steps, data, source).
        storage: ``fp16`` keeps floating-point numbers in half the bytes; loading widens them
            again, exactly, so that what is rounded is rounded here once.

    Returns:
        The SHA-256 of the file.

    Raises:
        SynthesisError: tensors missing, too many, of another shape, or not finite.
    """
    from safetensors.torch import save_file

    if storage == "fp16":
        state = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    check_state(state, config, str(path))
    header = {
        "kind": kind,
        "architecture": config.architecture,
        "config": config_to_json(config),
        "notes": dict(notes or {}),
    }
    # One entry: safetensors writes several of them in no fixed order.
    metadata = {_HEADER: json.dumps(header, sort_keys=True)}
    tensors = {name: state[name].detach().cpu().contiguous().clone() for name in sorted(state)}
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        save_file(tensors, beside, metadata=metadata)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return file_sha256(path)


def read_header(path: Path) -> Header:
    """What the file at ``path`` holds, without reading its tensors.

    Raises:
        SynthesisError: no such file, damaged, or not one of ours.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise SynthesisError(f"There is no checkpoint file {path}; check the path.")
    try:
        with safe_open(path, framework="numpy") as stream:
            metadata = stream.metadata() or {}
            shapes = {
                name: tuple(stream.get_slice(name).get_shape()) for name in sorted(stream.keys())
            }
    except (SafetensorError, OSError) as error:
        raise SynthesisError(
            f"{path} is not a whole safetensors file ({error}); copy or download it again."
        ) from error
    try:
        header = json.loads(metadata[_HEADER])
        config = config_from_json(header["architecture"], header["config"])
        notes = {str(k): str(v) for k, v in header["notes"].items()}
        kind = str(header["kind"])
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise SynthesisError(
            f"{path} does not say which network it holds; "
            "only files written by training or by import_checkpoint can be used."
        ) from error
    except SynthesisError as error:
        raise SynthesisError(f"{path} cannot be used: {error}") from error
    if kind not in KINDS:
        raise SynthesisError(f"{path} holds a {kind!r}; known are {', '.join(KINDS)}.")
    return Header(kind, config, notes, shapes)


def load_checkpoint(
    path: Path,
    *,
    kind: Kind | None = None,
    device: str = "cpu",
    sha256: str | None = None,
    name: str | None = None,
) -> LoadedNetwork:
    """Build the network of the file and give it its weights.

    Args:
        path: the safetensors file.
        kind: what it must be, None for anything.
        device: torch device to load onto.
        sha256: what the file must hash to (the registry's record), None to only report it.
        name: what to call it in records; the file's stem by default.

    Raises:
        SynthesisError: names the file and the remedy.
    """
    from safetensors.torch import load_file

    header = read_header(path)
    if kind is not None and header.kind != kind:
        raise SynthesisError(f"{path} holds a {header.kind}, not a {kind}; choose another file.")
    digest = file_sha256(path)
    if sha256 is not None and digest != sha256:
        raise SynthesisError(
            f"{path} has changed since it was registered (its SHA-256 differs); import it again."
        )
    state = load_file(path)
    network = build_network(header.config)
    check_state(state, header.config, str(path), network)
    network.load_state_dict(state, strict=True)
    network.requires_grad_(False)
    return LoadedNetwork(
        kind=header.kind,
        config=header.config,
        network=network.eval().to(device),
        sha256=digest,
        name=name or path.stem,
        notes=header.notes,
    )


def check_state(
    state: Mapping[str, Any],
    config: NetworkConfig,
    where: str,
    network: nn.Module | None = None,
) -> None:
    """Refuse weights that are not exactly those of ``config``.

    Raises:
        SynthesisError: missing, extra or misshapen tensors, whole numbers, or values that are
            not finite.
    """
    import torch

    wanted = {
        name: (tuple(tensor.shape), tensor.is_floating_point())
        for name, tensor in (network or build_network(config)).state_dict().items()
    }
    remedy = f"only complete {config.architecture} weights fit"
    for name in sorted(set(wanted) - set(state)):
        raise SynthesisError(f"{where}: the tensor {name} is missing; {remedy}.")
    for name in sorted(set(state) - set(wanted)):
        raise SynthesisError(f"{where}: the tensor {name} does not belong there; {remedy}.")
    for name, (shape, fractions) in wanted.items():
        tensor = state[name]
        if not isinstance(tensor, torch.Tensor):
            raise SynthesisError(f"{where}: {name} is no tensor; {remedy}.")
        if tuple(tensor.shape) != shape:
            found = "x".join(str(n) for n in tensor.shape) or "a single value"
            expected = "x".join(str(n) for n in shape) or "a single value"
            raise SynthesisError(
                f"{where}: the tensor {name} is {found} where {expected} is needed; {remedy}."
            )
        if fractions and not tensor.is_floating_point():
            raise SynthesisError(
                f"{where}: the tensor {name} holds no fractions ({tensor.dtype}); {remedy}."
            )
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise SynthesisError(
                f"{where}: the tensor {name} holds values that are not numbers; "
                "take an earlier checkpoint or download the file again."
            )
