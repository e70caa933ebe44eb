"""A small 3-D network that learns to tell the arms apart from the voxels themselves.

Three channels on a grid of 3 x 1.5 x 1.5 mm around the marker: HU relative to the tissue around,
grain in units of the surroundings' noise, and where the marker is. Four convolutions, about
30,000 weights: with some dozen lesions anything larger learns them by heart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

from recognition.engine.arrays import zyx
from recognition.engine.readers.view import View, robust_sd

Values = NDArray[np.floating]


@dataclass(frozen=True)
class Settings:
    """Size of the grid (voxels and mm, z y x) and length of a training."""

    shape: tuple[int, int, int] = (16, 32, 32)
    step_mm: tuple[float, float, float] = (3.0, 1.5, 1.5)
    width: int = 8
    epochs: int = 40
    most_steps: int = 600
    batch: int = 8
    rate: float = 3e-3


@dataclass(frozen=True)
class Network:
    """A trained network; ``__call__`` takes what ``prepare`` gives, stacked."""

    net: nn.Module
    weights: int

    def __call__(self, inputs: Values) -> Values:
        with torch.inference_mode():
            out = [
                torch.sigmoid(self.net(_tensor(inputs[i : i + 8]))[:, 0])
                for i in range(0, len(inputs), 8)
            ]
        scores: Values = torch.cat(out).numpy().astype(np.float64)
        return scores


class Cnn:
    """See the module."""

    name = "cnn"
    title = "Small 3-D network"
    looks_at = (
        "the voxels around the marker, through a small 3-D convolutional network trained from "
        "scratch"
    )
    trained = True

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()

    def prepare(self, view: View) -> Values:
        """(3, z, y, x) around the middle of the marker, float32."""
        own = self.settings
        step = zyx(view.spacing)
        middle = [0.5 * (low + high) - 0.5 for low, high in view.box]
        scale = [a / b for a, b in zip(own.step_mm, step, strict=True)]
        offset = [m - 0.5 * (n - 1) * k for m, n, k in zip(middle, own.shape, scale, strict=True)]

        def sampled(field: NDArray[np.float32]) -> NDArray[np.float32]:
            out: NDArray[np.float32] = ndimage.affine_transform(
                field, np.asarray(scale), offset=offset, output_shape=own.shape, order=1,
                mode="nearest",
            )  # fmt: skip
            return out

        noise = robust_sd(view.grain[view.around]) if view.around.any() else 0.0
        bright = np.clip((sampled(view.hu.astype(np.float32)) - view.level) / 150.0, -2.0, 2.0)
        # Grain does not survive interpolation: its size is averaged instead.
        grain = np.abs(view.grain) / max(noise, 1.0)
        grain = ndimage.uniform_filter(np.minimum(grain, 6.0), 3)
        marked = np.clip(2.0 - sampled(view.radius), -1.0, 1.0)
        return np.stack([bright, sampled(grain.astype(np.float32)), marked]).astype(np.float32)

    def fit(
        self,
        inputs: Values,
        synthetic: NDArray[np.bool_],
        rng: np.random.Generator,
        tell: Callable[[float], None] | None = None,
    ) -> Network:
        """See ``registry.Machine``."""
        own = self.settings
        draw = torch.Generator().manual_seed(int(rng.integers(1 << 62)))
        net = _build(own.width, int(rng.integers(1 << 31)))
        optimizer = torch.optim.AdamW(net.parameters(), lr=own.rate, weight_decay=0.05)
        x, y = _tensor(inputs), torch.from_numpy(synthetic.astype(np.float32))
        share = float(synthetic.mean())
        weight = torch.where(y > 0.5, 0.5 / share, 0.5 / (1.0 - share))
        batches = -(-len(x) // own.batch)
        total = min(own.epochs * batches, own.most_steps)
        plan = torch.optim.lr_scheduler.OneCycleLR(optimizer, own.rate, total_steps=total)
        for step, chosen in enumerate(_batches(len(x), own.batch, total, draw)):
            loss = functional.binary_cross_entropy_with_logits(
                net(_varied(x[chosen], draw))[:, 0], y[chosen], weight=weight[chosen]
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            plan.step()
            if tell is not None:
                tell((step + 1) / total)
        net.eval()
        return Network(net, sum(p.numel() for p in net.parameters()))

    def facts(self, scorer: Network) -> dict[str, object]:
        return {"weights": scorer.weights, "epochs": self.settings.epochs}


def _build(width: int, seed: int) -> nn.Sequential:
    """Layers take no generator for their first weights; the global one is lent and put back."""

    def block(inside: int, out: int, stride: int | tuple[int, int, int]) -> list[nn.Module]:
        return [
            nn.Conv3d(inside, out, 3, stride=stride, padding=1, bias=False),
            nn.GroupNorm(max(1, out // 4), out),
            nn.LeakyReLU(0.1),
        ]

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return nn.Sequential(
            *block(3, width, (1, 2, 2)), *block(width, 2 * width, 2),
            *block(2 * width, 3 * width, 2), *block(3 * width, 3 * width, 1),
            nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(3 * width, 1),
        )  # fmt: skip


def _batches(n: int, size: int, steps: int, draw: torch.Generator) -> Iterator[Tensor]:
    """``steps`` batches from one shuffled round after the other."""
    given = 0
    while given < steps:
        order = torch.randperm(n, generator=draw)
        for start in range(0, n, size):
            if given < steps:
                yield order[start : start + size]
                given += 1


def _varied(x: Tensor, draw: torch.Generator) -> Tensor:
    """Each case mirrored, moved by a voxel or two, its contrast changed a little."""
    out = []
    for one in x:
        axes = [a + 1 for a in range(3) if bool(torch.rand((), generator=draw) < 0.5)]
        moved = torch.flip(one, axes) if axes else one
        shift = torch.randint(-2, 3, (2,), generator=draw).tolist()
        moved = torch.roll(moved, (shift[0], shift[1]), (2, 3))
        factor = 1.0 + 0.1 * float(torch.randn((), generator=draw))
        out.append(torch.cat([moved[:1] * factor, moved[1:]]))
    return torch.stack(out)


def _tensor(inputs: Values) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(inputs, np.float32))
