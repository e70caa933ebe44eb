"""Segmentation networks from MONAI: the critic in training and the eye of the quality gate."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from synthesis.engine.networks.configs import (
    SegmentorConfig,
    SwinSegmentorConfig,
    UNetSegmentorConfig,
    Window,
)


def build_segmentor(config: SegmentorConfig) -> nn.Module:
    """(B, windows, D, H, W) in 0..1 to class logits (B, classes, D, H, W).

    Sides must be multiples of ``config.multiple``.
    """
    if isinstance(config, SwinSegmentorConfig):
        return _swin(config)
    return _unet(config)


def _unet(config: UNetSegmentorConfig) -> nn.Module:
    from monai.networks.nets import UNet

    network = UNet(
        spatial_dims=3,
        in_channels=len(config.windows_hu),
        out_channels=len(config.classes),
        channels=config.channels,
        strides=(2,) * (len(config.channels) - 1),
        num_res_units=config.res_units,
        norm=("instance", {"affine": True}),
    )
    return cast("nn.Module", network)


def _swin(config: SwinSegmentorConfig) -> nn.Module:
    from monai.networks.nets import SwinUNETR

    network = SwinUNETR(
        in_channels=len(config.windows_hu),
        out_channels=len(config.classes),
        feature_size=config.feature_size,
        use_v2=config.use_v2,
        use_checkpoint=False,
    )
    return cast("nn.Module", network)


def windowed(hu: Tensor, windows: tuple[Window, ...]) -> Tensor:
    """HU (B, 1, D, H, W) to one channel in 0..1 per window: (B, windows, D, H, W)."""
    return torch.cat([((hu - a) / (b - a)).clamp(0.0, 1.0) for a, b in windows], dim=1)
