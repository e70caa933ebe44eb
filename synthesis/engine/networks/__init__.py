"""The networks, each built from a small typed configuration (see ``configs``).

``build_network`` imports torch when it is called: reading a configuration costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from synthesis.engine.networks.configs import (
    CONFIGS,
    ConditionalUNetConfig,
    NetworkConfig,
    OrganChannel,
    PublishedUNet3dConfig,
    SegmentorConfig,
    SwinSegmentorConfig,
    UNetSegmentorConfig,
    config_from_json,
    config_to_json,
    tumor_classes,
)

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "CONFIGS",
    "ConditionalUNetConfig",
    "NetworkConfig",
    "OrganChannel",
    "PublishedUNet3dConfig",
    "SegmentorConfig",
    "SwinSegmentorConfig",
    "UNetSegmentorConfig",
    "build_network",
    "config_from_json",
    "config_to_json",
    "tumor_classes",
]


def build_network(config: NetworkConfig, seed: int = 0) -> nn.Module:
    """A network with fresh weights, in eval mode, on the CPU.

    The weights follow from ``seed`` alone; torch's global random state is left as it was.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return _construct(config).eval()


def _construct(config: NetworkConfig) -> nn.Module:
    if isinstance(config, PublishedUNet3dConfig):
        from synthesis.engine.networks.published import PublishedUNet3d

        return PublishedUNet3d(config)
    if isinstance(config, ConditionalUNetConfig):
        from synthesis.engine.networks.conditional import ConditionalUNet

        return ConditionalUNet(config)
    from synthesis.engine.networks.segmentors import build_segmentor

    return build_segmentor(config)
