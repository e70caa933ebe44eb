"""Read the published weight files, safely, and tell which networks they hold.

``TGAN.pt`` bundles ``netG``, ``netD`` and ``netSeg`` in one state dict, sometimes with
``module.`` in the names; the baseline segmentors are a single SwinUNETR, and those of VoCo are too,
wrapped and named in the ways of its training script. Only tensors are read
(``weights_only=True``): a file that wants to run code is refused.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError  # noqa: TID251  to recognize torch's refusal, not to unpickle
from typing import TYPE_CHECKING, Any

from synthesis.engine.checkpoints import Kind, check_state
from synthesis.engine.errors import SynthesisError
from synthesis.engine.networks import (
    NetworkConfig,
    PublishedUNet3dConfig,
    SwinSegmentorConfig,
)
from synthesis.engine.networks.configs import ABDOMEN_CLASSES, ABDOMEN_HU, CHEST_HU

if TYPE_CHECKING:
    from torch import Tensor

#: Part of the bundle -> what it is for.
PARTS: dict[str, Kind] = {"netG": "generator", "netD": "discriminator", "netSeg": "segmentor"}
#: Where training scripts put the state dict when they save more than that.
_WRAPPERS = ("state_dict", "network_weights", "net", "model", "model_state_dict")
_ZIP = b"PK\x03\x04"

_UNET_FIRST = "down_tr64.ops.0.conv1.weight"
_UNET_LAST = "out_tr.final_conv.weight"
_SWIN_FIRST = "swinViT.patch_embed.proj.weight"
_SWIN_LAST = "out.conv.conv.weight"
_DECODER = ("decoder", "out.")
#: Of VoCo: the projections beside the backbone, and an older name of the encoder.
_HEADS = ("student", "teacher")
_RENAMED = {"swin_vit": "swinViT"}


@dataclass(frozen=True)
class PublishedNetwork:
    """One network of a published file: what it is for, what it is, its tensors."""

    kind: Kind
    config: NetworkConfig
    state: dict[str, Tensor]


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a weight file under the names of the networks, whatever they were wrapped in.

    Raises:
        SynthesisError: no such file, truncated, carrying code, or holding other things.
    """
    return _tensors(path, _unwrapped(path, _safe_load(path)))


def is_encoder(state: Mapping[str, Tensor]) -> bool:
    """Whether this is the encoder of a SwinUNETR without its decoder: self-supervised weights."""
    return _SWIN_FIRST in state and not any(name.startswith(_DECODER) for name in state)


def read_published(path: Path, classes: tuple[str, ...] | None = None) -> list[PublishedNetwork]:
    """The networks in a published file, generator first, each complete and checked.

    Args:
        path: the file.
        classes: what the outputs of a segmentor are, background first; as published where None.

    Raises:
        SynthesisError: no such file, truncated, carrying code, or of another architecture; the
            sentence names the file and the remedy.
    """
    state = read_state(path)
    if is_encoder(state):
        raise SynthesisError(
            f"{path} holds the encoder of a SwinUNETR alone, which segments nothing; it can only "
            "start a training (network.start of train_recognition)."
        )
    bundled = {part: _part(state, part) for part in PARTS}
    loose = [name for name in state if name.split(".", 1)[0] not in PARTS]
    if not any(bundled.values()):
        kind, config = _recognized(path, state, None, classes)
        check_state(state, config, str(path))
        return [PublishedNetwork(kind, config, state)]
    if loose:
        raise SynthesisError(
            f"{path}: the tensor {loose[0]} belongs to none of {', '.join(PARTS)}; "
            "only an unchanged published file can be imported."
        )
    found = []
    for part, tensors in bundled.items():
        if tensors:
            kind, config = _recognized(path, tensors, PARTS[part], classes)
            check_state(tensors, config, f"{path} ({part})")
            found.append(PublishedNetwork(kind, config, tensors))
    return found


def _safe_load(path: Path) -> Any:
    import torch

    if not path.is_file():
        raise SynthesisError(f"There is no file {path}; check the path.")
    with path.open("rb") as stream:
        start = stream.read(4)
    if not start:
        raise SynthesisError(f"{path} is empty; copy or download it again.")
    if start == _ZIP and not zipfile.is_zipfile(path):
        raise SynthesisError(f"{path} is truncated; copy or download it again.")
    try:
        with warnings.catch_warnings():
            # Of the pickle's age; what is wrong with the file is said below, in a sentence.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        if start == _ZIP or start[:1] == b"\x80":
            raise SynthesisError(
                f"{path} holds more than tensors and could run code when loaded, so it was not; "
                "ask its author for a file of weights alone, or save its state_dict."
            ) from error
        raise SynthesisError(
            f"{path} is not a PyTorch weight file; give the .pt file of the authors."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise SynthesisError(
            f"{path} is damaged or truncated; copy or download it again."
        ) from error


def _unwrapped(path: Path, content: Any) -> Mapping[Any, Any]:
    if isinstance(content, Mapping):
        for wrapper in _WRAPPERS:
            if isinstance(content.get(wrapper), Mapping):
                inner: Mapping[Any, Any] = content[wrapper]
                return inner
        return content
    raise SynthesisError(
        f"{path} holds a {type(content).__name__} where a state dict is needed; "
        "save the network's state_dict."
    )


def _tensors(path: Path, content: Mapping[Any, Any]) -> dict[str, Tensor]:
    """The state dict without any ``module.`` in its names."""
    import torch

    state: dict[str, Tensor] = {}
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise SynthesisError(
                f"{path}: {name!r} is no tensor; save the network's state_dict and nothing else."
            )
        words = [word for word in name.split(".") if word != "module"]
        if words[0] in _HEADS:
            continue  # of the self-supervised training; no part of any network here
        if words[0] == "backbone":
            words = words[1:]
        plain = ".".join(_RENAMED.get(word, word) for word in words)
        if plain in state:
            raise SynthesisError(
                f"{path}: the tensor {plain} is there twice, with and without a prefix; "
                "only an unchanged published file can be imported."
            )
        state[plain] = value
    if not state:
        raise SynthesisError(f"{path} holds no tensors; give the .pt file of the authors.")
    return state


def _part(state: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    start = f"{part}."
    return {
        name.removeprefix(start): value for name, value in state.items() if name.startswith(start)
    }


def _recognized(
    path: Path,
    state: Mapping[str, Tensor],
    kind: Kind | None,
    classes: tuple[str, ...] | None,
) -> tuple[Kind, NetworkConfig]:
    """Which published network these tensors are, judged by its first and last layer."""
    if _UNET_FIRST in state or _UNET_LAST in state:
        last = state.get(_UNET_LAST)
        outputs = int(last.shape[0]) if last is not None and last.ndim == 5 else 3
        return kind or "generator", PublishedUNet3dConfig(out_channels=outputs)
    if _SWIN_FIRST in state or _SWIN_LAST in state:
        return kind or "segmentor", _swin_config(path, state, classes)
    raise SynthesisError(
        f"{path} holds another architecture (its first tensor is {next(iter(state))}); the "
        "published generator and discriminator (a 3-D U-Net) and segmentor (a SwinUNETR) can be "
        "imported."
    )


def _swin_config(
    path: Path, state: Mapping[str, Tensor], given: tuple[str, ...] | None
) -> SwinSegmentorConfig:
    first, last = state.get(_SWIN_FIRST), state.get(_SWIN_LAST)
    if first is None or last is None or first.ndim != 5 or last.ndim != 5:
        raise SynthesisError(
            f"{path}: the SwinUNETR lacks its first or last layer; only a whole segmentor fits."
        )
    outputs = int(last.shape[0])
    # Seven outputs are the abdominal segmentor; two or three one organ's lesions.
    classes, window = {
        len(ABDOMEN_CLASSES): (ABDOMEN_CLASSES, ABDOMEN_HU),
        2: (("background", "lung tumor"), CHEST_HU),
    }.get(outputs, (None, None))
    if given is not None:
        if len(given) != outputs:
            raise SynthesisError(
                f"{path}: the SwinUNETR has {outputs} outputs, and {len(given)} classes are named; "
                "name each, the background first."
            )
        chest = any(name.startswith("lung") for name in given)
        classes, window = given, CHEST_HU if chest else ABDOMEN_HU
    if classes is None or window is None:
        raise SynthesisError(
            f"{path}: the SwinUNETR has {outputs} outputs; the published segmentors have "
            "7 (abdomen) or 2 (COVID-19). Name those of another one with --classes."
        )
    return SwinSegmentorConfig(
        classes=classes,
        windows_hu=(window,),
        feature_size=int(first.shape[0]),
        use_v2=any(name.startswith("swinViT.layers1c") for name in state),
        spacing_mm=(1.5, 1.5, 1.5) if window == ABDOMEN_HU else (1.25, 1.25, 5.0),
    )
