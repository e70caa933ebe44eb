"""Weights from elsewhere as the start of a training: whole networks, and encoders alone.

The SwinUNETR of the published models (FreeTumor, VoCo) is MONAI's, so their tensors have the names
of ours. VoCo's self-supervised weights hold its encoder only: the transformer and the convolutions
of the skip connections.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from recognition.engine.checkpoints import save_tensors
from recognition.engine.errors import RecognitionError
from recognition.engine.networks import NetworkConfig, build

_HEADER = "recognition.encoder"
_FIRST = "swinViT.patch_embed.proj.weight"
_ENCODER = ("swinViT.", "encoder")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Encoder:
    """The encoder of a SwinUNETR of ``width`` for ``windows`` input channels."""

    width: int
    windows: int
    state: dict[str, Tensor]

    def as_json(self) -> dict[str, Any]:
        return {"name": "swinunetr", "width": self.width, "windows": self.windows, "axes": "RAS"}


def encoder_of(state: Mapping[str, Tensor], where: str) -> Encoder:
    """The encoder in a state dict, complete and checked.

    Raises:
        RecognitionError: tensors that are missing, of another shape, or not finite.
    """
    first = state.get(_FIRST)
    if first is None or first.ndim != 5 or first.shape[0] % 12:
        raise RecognitionError(f"{where} holds no encoder of a SwinUNETR; choose another file.")
    width, windows = int(first.shape[0]), int(first.shape[1])
    config = NetworkConfig(
        name="swinunetr",
        width=width,
        classes=("background", "tumor"),
        windows_hu=((0.0, 1.0),) * windows,
    )
    wanted = build(config).state_dict()
    kept = {}
    for name, tensor in wanted.items():
        if not name.startswith(_ENCODER):
            continue
        found = state.get(name)
        if found is None or found.shape != tensor.shape:
            raise RecognitionError(
                f"{where}: the tensor {name} is missing or of another shape; only the encoder of a "
                "SwinUNETR of the second version fits."
            )
        if found.is_floating_point() and not torch.isfinite(found).all():
            raise RecognitionError(f"{where}: the tensor {name} holds values that are no numbers.")
        kept[name] = found
    return Encoder(width, windows, kept)


def save_encoder(path: Path, encoder: Encoder) -> None:
    """Write beside ``path`` and rename."""
    save_tensors(path, encoder.state, {_HEADER: json.dumps(encoder.as_json(), sort_keys=True)})


def start_from(path: Path, network: nn.Module, config: NetworkConfig, say: Say) -> None:
    """Give ``network`` the weights of a file before its training.

    What the classes alone decide (the last layer) stays as it is where the file knows other
    classes; an encoder leaves the whole decoder as it is.

    Raises:
        RecognitionError: the file is damaged, or of another network than ``config``.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise RecognitionError(f"There is no checkpoint {path}; check network.start.")
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise RecognitionError(
            f"{path} is not a safetensors file, or is cut off; copy it again, or convert it with "
            "import_checkpoint."
        ) from error
    own = network.state_dict()
    head = _head(config)
    fitting = {k: v for k, v in state.items() if k in own and v.shape == own[k].shape}
    encoder = all(name.startswith(_ENCODER) for name in state)
    strange = sorted(set(state) - set(fitting) - head)
    absent = sorted(
        name for name in set(own) - set(fitting) - head if not encoder or name.startswith(_ENCODER)
    )
    if not fitting or strange or absent:
        raise RecognitionError(
            f"{path} holds another network than the configuration asks for (see "
            f"{(strange or absent or ['its tensors'])[0]}); set network.name, network.width and "
            "data.windows_hu to what it was trained with."
        )
    network.load_state_dict({**own, **fitting})
    rest = sum(1 for name in own if name not in fitting)
    new = "the decoder is new" if encoder else "the last layer is new" if rest else "all of them"
    say(f"Started from {path.name}: {len(fitting)} of {len(own)} tensors, {new}")


def _head(config: NetworkConfig) -> set[str]:
    """Names of the tensors whose shape depends on the number of classes."""
    more = config.model_copy(update={"classes": (*config.classes, "one more")})
    one, other = build(config).state_dict(), build(more).state_dict()
    return {name for name, tensor in one.items() if tensor.shape != other[name].shape}
