"""Small networks with fresh weights, for tests of what is around them."""

from __future__ import annotations

import dataclasses

import torch

from synthesis.engine.checkpoints import LoadedNetwork
from synthesis.engine.generators.freetumor import FreeTumorGenerator
from synthesis.engine.networks import (
    ConditionalUNetConfig,
    PublishedUNet3dConfig,
    UNetSegmentorConfig,
    build_network,
)

SMALL_CONDITIONAL = ConditionalUNetConfig(channels=(4, 8, 8), embedding=4, window=(24, 24, 24))
SMALL_HYBRID = dataclasses.replace(SMALL_CONDITIONAL, parametrization="hybrid", correction=0.3)
SMALL_SEGMENTOR = UNetSegmentorConfig(channels=(4, 8, 8), res_units=1)


def loaded(config, kind="generator", seed=0) -> LoadedNetwork:
    network = build_network(config, seed).requires_grad_(False)
    return LoadedNetwork(kind, config, network, "0" * 64, "test", {})


def conditional(seed=0) -> FreeTumorGenerator:
    """Fresh weights: each organ gets its textbook contrast, and a little more from the network."""
    return FreeTumorGenerator(loaded(SMALL_CONDITIONAL, seed=seed))


def hybrid(seed=0) -> FreeTumorGenerator:
    """Fresh weights that correct a procedural lesion, visibly: by some HU all over it."""
    checkpoint = loaded(SMALL_HYBRID, seed=seed)
    with torch.no_grad():
        checkpoint.network.level.weight.fill_(-0.1)
    return FreeTumorGenerator(checkpoint)


def published(channel="first", outputs=3) -> FreeTumorGenerator:
    """A narrow published network whose head answers with a change a liver lesion could have."""
    checkpoint = loaded(PublishedUNet3dConfig(out_channels=outputs, width=4))
    head = checkpoint.network.out_tr.final_conv
    with torch.no_grad():
        head.weight.mul_(0.02)
        head.bias.copy_(torch.tensor([0.2, -0.2, 0.0][:outputs]))
    return FreeTumorGenerator(checkpoint, channel=channel, window=(24, 24, 24))
