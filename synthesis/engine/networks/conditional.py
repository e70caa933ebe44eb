"""Our generator: a strided residual U-Net that knows what it is asked for.

It differs from the published one on purpose: it sees the soft mask of the lesion, a noise map
(so that the same crop can hold different lesions) and the organ; it answers with a signed
residual in HU within the organ's bound, or (hybrid) corrects a procedural one; and it normalizes
every sample by itself, so that the answer does not depend on the rest of the batch. Strided
convolutions make it some fifty times cheaper than the published network on the same crop.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from synthesis.engine.networks.configs import ConditionalUNetConfig

#: Voxels that the smoothing of a hybrid's correction reaches.
_REACH = 3


class _Film(nn.Module):
    """Scale and shift of each channel by the organ; starts as the identity for every organ."""

    def __init__(self, embedding: int, channels: int) -> None:
        super().__init__()
        self.project = nn.Linear(embedding, 2 * channels)
        nn.init.normal_(self.project.weight, std=0.02)
        nn.init.zeros_(self.project.bias)

    def forward(self, x: Tensor, organ: Tensor) -> Tensor:
        scale, shift = self.project(organ)[:, :, None, None, None].chunk(2, dim=1)
        out: Tensor = x * (1.0 + scale) + shift
        return out


class _Unit(nn.Module):
    """Two convolutions beside a shortcut, then the organ's FiLM."""

    def __init__(self, inputs: int, outputs: int, embedding: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv3d(inputs, outputs, 3, stride=stride, padding=1)
        self.first_norm = nn.InstanceNorm3d(outputs, affine=True)
        self.second = nn.Conv3d(outputs, outputs, 3, padding=1)
        self.second_norm = nn.InstanceNorm3d(outputs, affine=True)
        self.act = nn.PReLU()
        self.film = _Film(embedding, outputs)
        size, pad = (3, 1) if stride > 1 else (1, 0)
        self.shortcut = nn.Conv3d(inputs, outputs, size, stride=stride, padding=pad)

    def forward(self, x: Tensor, organ: Tensor) -> Tensor:
        y = self.act(self.first_norm(self.first(x)))
        y = self.second_norm(self.second(y))
        out: Tensor = self.act(self.film(y, organ) + self.shortcut(x))
        return out


class _Up(nn.Module):
    """Transposed convolution to the next finer grid; the skip joins before it (as in MONAI)."""

    def __init__(self, inputs: int, outputs: int, embedding: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose3d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)
        self.norm = nn.InstanceNorm3d(outputs, affine=True)
        self.act = nn.PReLU()
        self.refine = nn.Conv3d(outputs, outputs, 3, padding=1)
        self.film = _Film(embedding, outputs)

    def forward(self, x: Tensor, organ: Tensor) -> Tensor:
        y = self.act(self.norm(self.up(x)))
        out: Tensor = y + self.act(self.film(self.refine(y), organ))
        return out


class ConditionalUNet(nn.Module):
    """CT crop, soft mask, noise and organ in; signed residual in HU out."""

    windows: Tensor
    bounds: Tensor

    def __init__(self, config: ConditionalUNetConfig) -> None:
        super().__init__()
        self.config = config
        widths, embedding = config.channels, config.embedding
        self.organ = nn.Embedding(len(config.organs), embedding)
        seen = 2 + config.noise_channels + int(config.hybrid)
        inputs = [seen, *widths[:-1]]
        # The first level keeps the grid half as fine as the input: where the speed comes from.
        self.down = nn.ModuleList(
            _Unit(a, b, embedding, stride=2) for a, b in zip(inputs[:-1], widths[:-1], strict=True)
        )
        self.bottom = _Unit(widths[-2], widths[-1], embedding)
        ups = []
        below = widths[-1]
        for level in range(len(widths) - 2, -1, -1):
            finer = widths[level - 1] if level > 0 else widths[0]
            ups.append(_Up(below + widths[level], finer, embedding))
            below = finer
        self.up = nn.ModuleList(ups)
        # The level below is the bias of the head, one for each organ.
        self.head = nn.Conv3d(below, 1, 3, padding=1, bias=False)
        nn.init.normal_(self.head.weight, std=3e-4)
        # Before training each organ starts at its textbook contrast, not at nothing; a hybrid's
        # procedural lesion has that already.
        self.level = nn.Embedding(len(config.organs), 1)
        start = [
            0.0 if config.hybrid else math.atanh(organ.start_hu / organ.bound_hu)
            for organ in config.organs
        ]
        with torch.no_grad():
            self.level.weight.copy_(torch.tensor(start)[:, None])
        windows = torch.tensor([organ.window_hu for organ in config.organs])
        bounds = torch.tensor([organ.bound_hu for organ in config.organs])
        self.register_buffer("windows", windows, persistent=False)
        self.register_buffer("bounds", bounds, persistent=False)

    def field(
        self,
        hu: Tensor,
        mask: Tensor,
        noise: Tensor,
        organ: Tensor,
        procedural: Tensor | None = None,
    ) -> Tensor:
        """The change in HU as if the lesion filled the crop: (B, 1, D, H, W).

        A hybrid's is the correction alone.

        Args:
            hu: CT crop in HU, (B, 1, D, H, W); sides are multiples of ``config.multiple``.
            mask: soft mask in 0..1, same shape.
            noise: standard normal, (B, noise_channels, D, H, W).
            organ: index into ``config.organs``, (B,).
            procedural: change in HU of the procedural lesion, shape of ``hu``; hybrid only.
        """
        low, high = self.windows[organ][:, :, None, None, None, None].unbind(dim=1)
        image = ((hu - low) / (high - low)).clamp(0.0, 1.0)
        bounds = self.bounds[organ][:, None, None, None, None]
        parts = [image, mask, noise * mask]
        if self.config.hybrid:
            parts.append(_needed(procedural) / bounds)
        x = torch.cat(parts, dim=1)
        code = self.organ(organ)
        skips = []
        for unit in self.down:
            x = unit(x, code)
            skips.append(x)
        x = self.bottom(x, code)
        for unit in self.up:
            x = unit(torch.cat([x, skips.pop()], dim=1), code)
        raw = self.head(x) + self.level(organ)[:, :, None, None, None]
        out: Tensor = self.config.correction * bounds * torch.tanh(raw)
        return _smoothed(out) if self.config.hybrid else out

    def residual(
        self, field: Tensor, mask: Tensor, organ: Tensor, procedural: Tensor | None = None
    ) -> Tensor:
        """The change in HU that ``field`` means, within the bound; arguments as there."""
        change = field * mask
        if not self.config.hybrid:
            return change
        bounds = self.bounds[organ][:, None, None, None, None]
        return torch.clamp(_needed(procedural) + change, -bounds, bounds)

    def forward(
        self,
        hu: Tensor,
        mask: Tensor,
        noise: Tensor,
        organ: Tensor,
        procedural: Tensor | None = None,
    ) -> Tensor:
        """The residual in HU: ``field`` weighted by the soft mask, exactly 0 where that is 0."""
        field = self.field(hu, mask, noise, organ, procedural)
        return self.residual(field, mask, organ, procedural)


def _smoothed(field: Tensor) -> Tensor:
    """``field`` (B, 1, D, H, W) after a Gaussian of one voxel along each axis.

    A correction changes level and edge. Detail of two voxels is what strided networks invent (a
    checkerboard); the grain of a hybrid lesion is the procedural one's.
    """
    offsets = torch.arange(-_REACH, _REACH + 1, dtype=field.dtype, device=field.device)
    weights = torch.exp(-0.5 * offsets**2)
    weights = weights / weights.sum()
    for axis in range(3):
        shape, pad = [1, 1, 1, 1, 1], [0] * 6
        shape[2 + axis] = 2 * _REACH + 1
        pad[2 * (2 - axis)] = pad[2 * (2 - axis) + 1] = _REACH
        padded = functional.pad(field, pad, mode="replicate")
        field = functional.conv3d(padded, weights.view(shape))
    return field


def _needed(procedural: Tensor | None) -> Tensor:
    if procedural is None:
        raise ValueError("A hybrid generator needs the procedural change that it corrects.")
    return procedural
