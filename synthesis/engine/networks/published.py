"""The generator of the published FreeTumor code, tensor for tensor.

A 3-D U-Net of the Models-Genesis kind: two convolutions (3x3x3, batch norm, ReLU) per level,
max pooling down, transposed convolutions up. The names of the modules are those of the released
files, because they are the names of its weights. Batch norm normalizes with the statistics of
the batch at hand, in training *and* in inference, as the released code does: the running
statistics are carried in the files but never read.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from synthesis.engine.networks.configs import PublishedUNet3dConfig


class _BatchStatisticsNorm(nn.BatchNorm3d):
    """Batch norm that never uses, and never moves, its running statistics."""

    def forward(self, input: Tensor) -> Tensor:
        return functional.batch_norm(
            input, None, None, self.weight, self.bias, training=True, momentum=0.0, eps=self.eps
        )


class _Convolution(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(inputs, outputs, kernel_size=3, padding=1)
        self.bn1 = _BatchStatisticsNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn1(self.conv1(x)))


class _Down(nn.Module):
    def __init__(self, inputs: int, middle: int, outputs: int) -> None:
        super().__init__()
        self.ops = nn.Sequential(_Convolution(inputs, middle), _Convolution(middle, outputs))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.ops(x)
        return out


class _Up(nn.Module):
    def __init__(self, inputs: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.up_conv = nn.ConvTranspose3d(inputs, inputs, kernel_size=2, stride=2)
        self.ops = nn.Sequential(
            _Convolution(inputs + skip, outputs), _Convolution(outputs, outputs)
        )

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        out: Tensor = self.ops(torch.cat([self.up_conv(x), skip], dim=1))
        return out


class _Out(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.final_conv = nn.Conv3d(inputs, outputs, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.final_conv(x)
        return out


class PublishedUNet3d(nn.Module):
    """CT crop in, logits out: (B, 1, D, H, W) in 0..1 to (B, out_channels, D, H, W).

    D, H and W must be multiples of 8.
    """

    def __init__(self, config: PublishedUNet3dConfig) -> None:
        super().__init__()
        self.config = config
        w = config.width
        self.down_tr64 = _Down(1, w, 2 * w)
        self.down_tr128 = _Down(2 * w, 2 * w, 4 * w)
        self.down_tr256 = _Down(4 * w, 4 * w, 8 * w)
        self.down_tr512 = _Down(8 * w, 8 * w, 16 * w)
        self.up_tr256 = _Up(16 * w, 8 * w, 8 * w)
        self.up_tr128 = _Up(8 * w, 4 * w, 4 * w)
        self.up_tr64 = _Up(4 * w, 2 * w, 2 * w)
        self.out_tr = _Out(2 * w, config.out_channels)

    def forward(self, image: Tensor) -> Tensor:
        fine = self.down_tr64(image)
        middle = self.down_tr128(functional.max_pool3d(fine, 2))
        coarse = self.down_tr256(functional.max_pool3d(middle, 2))
        deepest = self.down_tr512(functional.max_pool3d(coarse, 2))
        up = self.up_tr256(deepest, coarse)
        up = self.up_tr128(up, middle)
        up = self.up_tr64(up, fine)
        out: Tensor = self.out_tr(up)
        return out
