"""A trained network on disk: safetensors with its description inside, so that no code can hide."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from recognition.engine.errors import RecognitionError
from recognition.engine.networks import NetworkConfig, build

_HEADER = "recognition"
_FORMAT = 1


@dataclass(frozen=True)
class Loaded:
    """A network ready for inference, with what its file says about it."""

    name: str
    config: NetworkConfig
    network: nn.Module
    sha256: str
    notes: dict[str, str]


def file_sha256(path: Path) -> str:
    """SHA-256 of the bytes of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def save_checkpoint(
    path: Path,
    config: NetworkConfig,
    tensors: Mapping[str, Tensor],
    notes: Mapping[str, str] | None = None,
) -> None:
    """Write beside ``path`` and rename."""
    header = {
        "format": _FORMAT,
        "network": config.model_dump(mode="json"),
        "notes": dict(notes or {}),
    }
    save_tensors(path, tensors, {_HEADER: json.dumps(header, sort_keys=True)})


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """A safetensors file, written beside ``path`` and renamed."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    plain = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    try:
        save_file(plain, beside, metadata=metadata)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def load_checkpoint(path: Path, *, device: str | torch.device = "cpu") -> Loaded:
    """The network in a file, in evaluation mode.

    Raises:
        RecognitionError: there is no such file, it is damaged, or holds no network of ours.
    """
    header = _header(path)
    try:
        config = NetworkConfig.model_validate(header["network"])
    except (ValidationError, KeyError) as error:
        raise RecognitionError(
            f"{path} describes a network this version does not know; train it again."
        ) from error
    return load_as(config, path, header.get("notes", {}), device=device)


def load_as(
    config: NetworkConfig,
    path: Path,
    notes: Mapping[str, str],
    *,
    device: str | torch.device = "cpu",
) -> Loaded:
    """The network ``config`` with the tensors of a file that need not say what it holds.

    Raises:
        RecognitionError: the file is damaged, or its tensors are not those of the network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    network = build(config)
    try:
        network.load_state_dict(load_file(path, device=str(device)))
    except (SafetensorError, RuntimeError, OSError) as error:
        raise RecognitionError(
            f"The weights in {path} do not fit the network it describes; copy the file again."
        ) from error
    network.to(device).eval().requires_grad_(requires_grad=False)
    return Loaded(path.stem, config, network, file_sha256(path), dict(notes))


def _header(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise RecognitionError(f"There is no checkpoint {path}; check the path.")
    try:
        with safe_open(path, framework="pt") as stream:
            text = (stream.metadata() or {}).get(_HEADER)
    except (SafetensorError, OSError) as error:
        raise RecognitionError(
            f"{path} is not a safetensors file, or is cut off; copy it again, or convert it with "
            "import_checkpoint."
        ) from error
    if text is None:
        raise RecognitionError(
            f"{path} holds no recognition network; choose a checkpoint of train_recognition."
        )
    header: dict[str, Any] = json.loads(text)
    return header
