"""Segmentation networks of MONAI behind one registry, and what describes one.

A new network is one function and one line in ``_REGISTRY``. ``width`` is the number of channels
of its first level, the one number that sets its size and cost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, cast

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor, nn

Pair = tuple[float, float]
Axes = Literal["LPS", "RAS"]


class NetworkConfig(BaseModel):
    """Everything needed to build a network again and to feed it.

    ``classes`` starts with the background and names tumors ``ORGAN tumor``; ``windows_hu`` become
    the input channels, each 0 to 1; ``spacing_mm`` is (x, y, z). ``axes`` is how the network lies
    in the patient: ``LPS``, arrays (z, y, x) that grow to the head, the back and the left, as
    trained here; ``RAS``, arrays (x, y, z) that grow to the right, the front and the head, as
    published.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str
    width: int = Field(default=16, ge=4)
    classes: tuple[str, ...] = Field(min_length=2)
    windows_hu: tuple[Pair, ...] = ((-175.0, 250.0),)
    spacing_mm: tuple[float, float, float] = (1.5, 1.5, 1.5)
    axes: Axes = "LPS"

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in _REGISTRY:
            raise ValueError(f"there is no network {value!r}; choose {', '.join(_REGISTRY)}")
        return value

    @property
    def multiple(self) -> int:
        """Every side of an input is a multiple of this."""
        return _REGISTRY[self.name][1]

    @property
    def tumors(self) -> dict[int, str]:
        """Class to organ, for the classes that are tumors."""
        return {
            number: name.removesuffix(" tumor")
            for number, name in enumerate(self.classes)
            if name.endswith(" tumor")
        }


def _unet(config: NetworkConfig) -> Any:
    from monai.networks.nets import UNet

    return UNet(
        spatial_dims=3,
        in_channels=len(config.windows_hu),
        out_channels=len(config.classes),
        channels=tuple(config.width * 2**level for level in range(5)),
        strides=(2, 2, 2, 2),
        num_res_units=2,
        norm=("instance", {"affine": True}),
    )


def _segresnet(config: NetworkConfig) -> Any:
    from monai.networks.nets import SegResNet

    return SegResNet(
        spatial_dims=3,
        init_filters=config.width,
        in_channels=len(config.windows_hu),
        out_channels=len(config.classes),
        norm=("instance", {"affine": True}),
    )


def _dynunet(config: NetworkConfig) -> Any:
    from monai.networks.nets import DynUNet

    return DynUNet(
        spatial_dims=3,
        in_channels=len(config.windows_hu),
        out_channels=len(config.classes),
        kernel_size=(3,) * 5,
        strides=(1, 2, 2, 2, 2),
        upsample_kernel_size=(2,) * 4,
        filters=tuple(config.width * 2**level for level in range(5)),
        norm_name=("instance", {"affine": True}),
        res_block=True,
    )


def _swinunetr(config: NetworkConfig) -> Any:
    from monai.networks.nets import SwinUNETR

    return SwinUNETR(
        in_channels=len(config.windows_hu),
        out_channels=len(config.classes),
        feature_size=max(12, round(config.width / 12) * 12),
        use_v2=True,
    )


#: Builder, and what every side must be a multiple of.
_REGISTRY: dict[str, tuple[Callable[[NetworkConfig], Any], int]] = {
    "unet": (_unet, 16),
    "segresnet": (_segresnet, 8),
    "dynunet": (_dynunet, 16),
    "swinunetr": (_swinunetr, 32),
}


def network_names() -> tuple[str, ...]:
    """All networks, the default one first."""
    return tuple(_REGISTRY)


def build(config: NetworkConfig, seed: int = 0) -> nn.Module:
    """(B, windows, D, H, W) in 0..1 to class logits (B, classes, D, H, W).

    MONAI's layers take no generator for their first weights; the global one is lent to them and
    put back.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return cast("nn.Module", _REGISTRY[config.name][0](config))


def windowed(hu: Tensor, windows: tuple[Pair, ...]) -> Tensor:
    """HU (B, 1, D, H, W) to one channel in 0..1 per window: (B, windows, D, H, W)."""
    return torch.cat([((hu - a) / (b - a)).clamp(0.0, 1.0) for a, b in windows], dim=1)


def faced(block: Tensor, axes: Axes) -> Tensor:
    """A block (B, C, z, y, x) on LPS axes as a network of ``axes`` wants it."""
    # left and back become right and front, and the order of the axes is reversed
    return block if axes == "LPS" else block.flip(3, 4).transpose(2, 4)


def unfaced(block: Tensor, axes: Axes) -> Tensor:
    """The answer of a network of ``axes`` on LPS axes: undoes `faced`."""
    return block if axes == "LPS" else block.transpose(2, 4).flip(3, 4)
