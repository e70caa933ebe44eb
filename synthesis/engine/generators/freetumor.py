"""The learned FreeTumor generator: a network proposes the change, the engine puts it in the scan.

Three modes, by the checkpoint's architecture:

* ``conditional``, our own network: the change follows from CT, soft mask, noise and organ;
* ``hybrid``, the same network where it was trained to correct a lesion of the ``textural``
  generator: grain and noise stay as that one paints them on the scanner's own grid;
* ``published``, the authors' network with the formula of the released code
  (``interop.recipe``): the change follows from the CT alone, a texture and the blurred mask
  scale it, and the network's channel 0 serves every organ unless ``channel="organ"``.

Only the block around the lesion is resampled to the network's grid; the answer comes back by
cubic interpolation and is weighted on the scanner's own grid, so the host is never resampled.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import numpy as np
from scipy import ndimage

from synthesis.engine.arrays import Box, Field
from synthesis.engine.checkpoints import LoadedNetwork
from synthesis.engine.errors import SynthesisError
from synthesis.engine.generators import Painted
from synthesis.engine.generators.textural import TexturalGenerator
from synthesis.engine.grids import NetworkGrid, grid_around
from synthesis.engine.interop import recipe as published
from synthesis.engine.mass_effect import on_crop, push_aside, pushed_mm
from synthesis.engine.networks import ConditionalUNetConfig, PublishedUNet3dConfig
from synthesis.engine.organs import OrganPrior
from synthesis.engine.precision import Precision, ball_in_tissue, choose
from synthesis.engine.records import HostCrop
from synthesis.engine.shapes import SoftLesion

if TYPE_CHECKING:
    import torch

    from synthesis.engine.networks.conditional import ConditionalUNet

Mode: TypeAlias = Literal["conditional", "hybrid", "published"]

#: Tissue (mm) around the lesion that the network sees at least.
_CONTEXT_MM = 12.0
#: Weights below this are cut to zero, so that a blurred mask ends somewhere.
_FAINTEST = 0.005
_CUBIC = 3
#: Bfloat16 may move the change by this share of the organ's bound: 2 of 150 HU, 13 of 1000.
_BF16_TOLERANCE = 0.013
#: What is recorded of the procedural lesion under a hybrid one.
_KEPT = ("level_hu", "contrast_hu", "core_depth", "grain_mm", "grain_hu", "slow_noise_hu")


class FreeTumorGenerator:
    """Paints lesions with a loaded generator network.

    Args:
        checkpoint: a generator; its architecture decides the mode.
        channel: published mode only: ``first`` as the released code does, ``organ`` as its
            text means.
        window: block the network sees at least, in its voxels (z, y, x); the size it was
            trained on by default.
        precision: see ``precision``; the published network always answers in single precision.

    Raises:
        SynthesisError: the checkpoint holds no generator this class can use.
    """

    name = "freetumor"
    version = "1.0"

    def __init__(
        self,
        checkpoint: LoadedNetwork,
        *,
        channel: published.Channel = "first",
        window: tuple[int, int, int] | None = None,
        precision: Precision = "auto",
    ) -> None:
        if checkpoint.kind != "generator" or not isinstance(
            checkpoint.config, ConditionalUNetConfig | PublishedUNet3dConfig
        ):
            raise SynthesisError(
                f"The checkpoint {checkpoint.name} holds a {checkpoint.kind} "
                f"({checkpoint.config.architecture}); choose one that holds a generator."
            )
        self.checkpoint = checkpoint
        self.channel: published.Channel = channel
        self.mode: Mode
        if isinstance(checkpoint.config, ConditionalUNetConfig):
            self.mode = "hybrid" if checkpoint.config.hybrid else "conditional"
            self._spacing, default = checkpoint.config.spacing_mm, checkpoint.config.window
            self._multiple = checkpoint.config.multiple
        else:
            self.mode = "published"
            recipe = published.recipe_for(checkpoint.config.out_channels)
            self._spacing, default = recipe.spacing_mm, recipe.roi
            self._multiple = 8
        self._window = window or default
        self.inference = choose(
            "fp32" if self.mode == "published" else precision,
            self._device(),
            self._trial_answer,
            _BF16_TOLERANCE,
            f"the generator {checkpoint.name}",
        )

    def _trial_answer(self) -> torch.Tensor:
        """The change in a fixed block for each organ, over the organ's bound."""
        import torch

        config = cast("ConditionalUNetConfig", self.checkpoint.config)
        network = cast("ConditionalUNet", self.checkpoint.network)
        hu, mask = (part.to(self._device()) for part in ball_in_tissue(max(32, self._multiple)))
        noise = (hu - 60.0) / 20.0
        answers = []
        for index, organ in enumerate(config.organs):
            field = network.field(
                hu,
                mask,
                noise.expand(-1, config.noise_channels, -1, -1, -1),
                torch.tensor([index], device=hu.device),
                -40.0 * mask if config.hybrid else None,
            )
            answers.append(field.float() * mask / organ.bound_hu)
        return torch.cat(answers)

    @property
    def context_mm(self) -> float:
        """Tissue (mm) around the lesion that fills the network's window."""
        x, y, z = self._spacing
        return max(0.5 * n * s for n, s in zip(self._window, (z, y, x), strict=True))

    def paint(
        self,
        rng: np.random.Generator,
        host: HostCrop,
        lesion: SoftLesion,
        prior: OrganPrior,
        mass_effect: float,
    ) -> Painted:
        """See ``Generator.paint``. Raises SynthesisError for an organ the network lacks."""
        change = np.zeros(host.hu.shape, np.float32)
        feather = np.zeros(host.hu.shape, np.float32)
        if mass_effect > 0:
            margin = pushed_mm(lesion.diameter_mm) + 1.0
            near = lesion.surroundings(margin, host.spacing_zyx).clipped_to(host.box)
            inner = host.inner(near)
            _, depth = on_crop(inner, lesion)
            cut = near.within(host.box)
            change[cut], feather[cut] = push_aside(inner, lesion, depth, mass_effect)
        grid = self._grid(host, lesion)
        parameters: dict[str, float | str] = {
            "mode": self.mode,
            "checkpoint": self.checkpoint.name,
            "checkpoint_sha256": self.checkpoint.sha256,
            "precision": self.inference.name,
            "edge_mm": round(lesion.edge_mm, 3),
            "mass_effect": float(mass_effect),
        }
        paint = self._published if self.mode == "published" else self._conditional
        region, painted, weight, drawn = paint(rng, host, lesion, prior, grid, host.hu + change)
        cut = region.within(host.box)
        # Under the lesion its own change replaces the push, as much as the lesion fills a voxel.
        change[cut] = (1.0 - weight) * change[cut] + painted
        feather[cut] = np.maximum(feather[cut], weight)
        return Painted(change, feather, parameters | drawn)

    def _grid(self, host: HostCrop, lesion: SoftLesion) -> NetworkGrid:
        x, y, z = self._spacing
        reach = [
            n * s + 2.0 * _CONTEXT_MM
            for n, s in zip(lesion.box.shape, host.spacing_zyx, strict=True)
        ]
        center = tuple(
            (a + b - 1) / 2.0 - start
            for a, b, start in zip(lesion.box.start, lesion.box.stop, host.box.start, strict=True)
        )
        return grid_around(
            host.hu.shape,
            host.spacing_zyx,
            (z, y, x),
            center=(center[0], center[1], center[2]),
            extent_mm=(reach[0], reach[1], reach[2]),
            least=self._window,
            multiple=self._multiple,
        )

    def _device(self) -> torch.device:
        return next(self.checkpoint.network.parameters()).device

    def _conditional(
        self,
        rng: np.random.Generator,
        host: HostCrop,
        lesion: SoftLesion,
        prior: OrganPrior,
        grid: NetworkGrid,
        hu: Field,
    ) -> tuple[Box, Field, Field, dict[str, float | str]]:
        """Region, change in HU and weight there, and what was drawn."""
        import torch

        config = cast("ConditionalUNetConfig", self.checkpoint.config)
        network = cast("ConditionalUNet", self.checkpoint.network)
        organ = config.organ_index(prior.organ)
        bound = np.float32(config.organs[organ].bound_hu)
        start: Field | None = None
        drawn: dict[str, float | str] = {"organ": prior.organ}
        if config.hybrid:
            own = appearance(prior, config.organs[organ].contrast_hu)
            begun = TexturalGenerator().paint(rng, replace(host, hu=hu), lesion, own, 0.0)
            start = np.clip(begun.change, -bound, bound)
            drawn |= {f"procedural_{k}": v for k, v in begun.parameters.items() if k in _KEPT}
        coverage = np.zeros(host.hu.shape, np.float32)
        coverage[lesion.box.within(host.box)] = lesion.coverage
        noise = rng.standard_normal((1, config.noise_channels, *grid.shape), dtype=np.float32)
        device = self._device()
        with self.inference():
            field = network.field(
                torch.from_numpy(grid.to_network(hu))[None, None].to(device),
                torch.from_numpy(grid.to_network(coverage))[None, None].to(device),
                torch.from_numpy(noise).to(device),
                torch.tensor([organ], device=device),
                None
                if start is None
                else torch.from_numpy(grid.to_network(start))[None, None].to(device),
            )
        answer: Field = field[0, 0].float().cpu().numpy()
        region = lesion.box
        local = _local(region, host.box)
        # A cubic curve may overshoot between two voxels; the bound holds on every grid.
        most = bound * np.float32(config.correction)
        native = np.clip(grid.to_native(answer, local, order=_CUBIC), -most, most)
        weight = lesion.coverage
        # Real tumors stay as they are, whatever the shape says.
        weight = np.where(host.tumor[region.within(host.box)], np.float32(0.0), weight)
        painted = weight * native
        if start is not None:
            # The procedural lesion is weighted already; the push under it was part of its host.
            pushed = weight * (hu - host.hu)[region.within(host.box)]
            painted = pushed + np.clip(start[region.within(host.box)] + painted, -bound, bound)
            painted = np.where(weight > 0, painted, np.float32(0.0))
        return region, painted, weight, drawn

    def _published(
        self,
        rng: np.random.Generator,
        host: HostCrop,
        lesion: SoftLesion,
        prior: OrganPrior,
        grid: NetworkGrid,
        hu: Field,
    ) -> tuple[Box, Field, Field, dict[str, float | str]]:
        """Region, change in HU and weight there, and what was drawn."""
        from synthesis.engine.interop.parity import forward

        config = cast("PublishedUNet3dConfig", self.checkpoint.config)
        recipe = published.recipe_for(config.out_channels)
        if prior.organ not in recipe.organs:
            raise SynthesisError(
                f"The published {recipe.name} generator was not made for the organ "
                f"{prior.organ!r}; it knows {', '.join(recipe.organs)}."
            )
        low, high = recipe.window_hu
        image = np.clip((grid.to_network(hu) - low) / (high - low), 0.0, 1.0)
        logits = forward(self.checkpoint.network, image.astype(np.float32))
        index = recipe.organs.index(prior.organ)
        organ = grid.to_network(host.tissue, order=0) >= 0.5
        label = np.where(organ, published.ORGAN_LABELS[index], 0).astype(np.uint8)
        d = published.difference(logits, label, channel=self.channel, recipe=recipe)
        mask = np.zeros(host.hu.shape, bool)
        mask[lesion.box.within(host.box)] = lesion.mask
        sigma = float(rng.uniform(*recipe.edge_sigma))
        soft = published.soft_geometry(grid.mask_to_network(mask), sigma)
        texture = _texture(rng, grid.shape, *recipe.texture)
        field = np.float32(recipe.sign * (high - low)) * d * texture
        margin = 4.0 * sigma * max(recipe.spacing_mm)
        region = lesion.box.grown(margin, host.spacing_zyx).clipped_to(host.box)
        local = _local(region, host.box)
        weight = grid.to_native(soft, local)
        inside = host.tissue[region.within(host.box)]
        weight = np.where(inside & (weight > _FAINTEST), np.minimum(weight, 1.0), 0.0)
        weight = weight.astype(np.float32)
        native = grid.to_native(field, local, order=_CUBIC)
        drawn: dict[str, float | str] = {
            "recipe": recipe.name,
            "channel": self.channel,
            "edge_sigma_voxels": round(sigma, 4),
        }
        return region, weight * native, weight, drawn


def appearance(prior: OrganPrior, contrast: tuple[float, float] | None) -> OrganPrior:
    """The prior with the contrast (mean, standard deviation) that a hybrid was trained with."""
    if contrast is None:
        return prior
    mean, sd = contrast
    return replace(
        prior,
        contrast=mean,
        contrast_sd=sd,
        contrast_range=(mean - 2.0 * sd, mean + 2.0 * sd),
        absolute=False,
    )


def _local(region: Box, outer: Box) -> Box:
    """``region`` counted from the start of ``outer``."""
    start = tuple(a - o for a, o in zip(region.start, outer.start, strict=True))
    stop = tuple(b - o for b, o in zip(region.stop, outer.start, strict=True))
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def _texture(
    rng: np.random.Generator, shape: tuple[int, int, int], mean: float, sd: float
) -> Field:
    """A smooth random field of the published texture's mean and standard deviation.

    The published one is a thresholded noise field, nearly constant after its last smoothing; a
    Gaussian field of the same moments and grain (4 voxels) serves.
    """
    field = ndimage.gaussian_filter(
        rng.standard_normal(shape, dtype=np.float32), 4.0, mode="reflect", output=np.float32
    )
    field = (field - field.mean()) / max(float(field.std()), 1e-6)
    out: Field = np.clip(mean + sd * field, 0.0, 1.0).astype(np.float32)
    return out
