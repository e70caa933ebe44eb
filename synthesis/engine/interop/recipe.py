"""The published synthesis formula and gate, on the published grid and intensities.

With x the crop in 0..1, O the organ, M the lesion mask, g a Gaussian of ``edge_sigma`` voxels,
k the 7x7x7 Gaussian of sigma 1, T the texture and c the generator's channel:

    d  = k * (tanh(G(x)_c) on O)              abdomen;  the chest has a sigmoid in place of tanh
    x' = x - g(M) d T   on O, x elsewhere     abdomen;  the chest adds instead

The released code means to choose the channel by organ but always takes channel 0
(``channel="first"``); ``channel="organ"`` is what its text says. The gate accepts a crop when
strictly more than 0.7 of the inserted voxels are called a tumor of any organ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from synthesis.engine.arrays import Field, MaskArray
from synthesis.engine.networks.configs import ABDOMEN_HU, CHEST_HU, Spacing, Window

Channel: TypeAlias = Literal["first", "organ"]
Labels: TypeAlias = NDArray[np.uint8]

#: Labels inside the published formula: background, organ, real tumor, inserted tumor.
ORGAN, REAL, INSERTED = 1, 2, 3
#: Published organ labels in channel order: liver, pancreas, kidney.
ORGAN_LABELS = (1, 3, 5)
GATE_RECALL = 0.7
#: The published gate divides by the count plus this, so an empty mask scores 0.
_EPSILON = 1e-6
_KERNEL_RADIUS = 3


@dataclass(frozen=True)
class Recipe:
    """Numbers that go with a published generator.

    ``organs`` in channel order; ``sign`` is -1 where the formula subtracts; ``edge_sigma`` in
    voxels; ``texture`` is mean and standard deviation of the procedural texture.
    """

    name: str
    organs: tuple[str, ...]
    window_hu: Window
    spacing_mm: Spacing
    roi: tuple[int, int, int]
    activation: Literal["tanh", "sigmoid"]
    sign: float
    edge_sigma: tuple[float, float] = (1.0, 2.0)
    texture: tuple[float, float] = (0.543, 0.039)


#: roi is (z, y, x) in voxels here, spacing (x, y, z) in mm.
ABDOMEN = Recipe(
    "abdomen",
    ("liver", "pancreas", "kidney"),
    ABDOMEN_HU,
    (1.5, 1.5, 1.5),
    (96, 96, 96),
    "tanh",
    -1.0,
)
CHEST = Recipe("chest", ("lung",), CHEST_HU, (1.25, 1.25, 5.0), (32, 192, 192), "sigmoid", 1.0)


def recipe_for(out_channels: int) -> Recipe:
    """The recipe of a generator by its number of outputs: three in the abdomen, one in the chest.

    Raises:
        ValueError: another number.
    """
    if out_channels == len(ABDOMEN.organs):
        return ABDOMEN
    if out_channels == len(CHEST.organs):
        return CHEST
    raise ValueError(f"No published generator has {out_channels} outputs; they have 3 or 1.")


def collapse(label: Labels) -> Labels:
    """Published labels 0..6 to background, organ and real tumor: odd is an organ."""
    out: Labels = np.where(label == 0, 0, np.where(label % 2 == 1, ORGAN, REAL)).astype(np.uint8)
    return out


def smooth_difference(activated: Field) -> Field:
    """``k``: the 7-voxel Gaussian of sigma 1 along each axis, zero beyond the crop."""
    offsets = np.arange(-_KERNEL_RADIUS, _KERNEL_RADIUS + 1)
    kernel = np.exp(-0.5 * offsets.astype(np.float64) ** 2)
    kernel /= kernel.sum()
    out = activated.astype(np.float32)
    for axis in range(3):
        out = ndimage.correlate1d(out, kernel, axis=axis, mode="constant", output=np.float32)
    return out


def difference(
    logits: Field,
    label: Labels,
    *,
    channel: Channel = "first",
    recipe: Recipe = ABDOMEN,
) -> Field:
    """``d``: smoothed activation of the generator's output on organ voxels.

    Args:
        logits: (channels, z, y, x).
        label: published labels, (z, y, x); organ c has the label ``2 c + 1``.
        channel: ``first`` for channel 0 in every organ, ``organ`` for each organ's own.
        recipe: chooses the activation.
    """
    out = np.zeros(label.shape, np.float32)
    for index, organ_label in enumerate(ORGAN_LABELS[: len(recipe.organs)]):
        raw = logits[0 if channel == "first" else index]
        active = np.tanh(raw) if recipe.activation == "tanh" else 1.0 / (1.0 + np.exp(-raw))
        out = np.where(label == organ_label, active.astype(np.float32), out)
    return smooth_difference(out)


def soft_geometry(geometry: NDArray[np.uint8] | MaskArray, edge_sigma: float) -> Field:
    """``g(M)``: the lesion mask blurred by ``edge_sigma`` voxels."""
    out: Field = ndimage.gaussian_filter(geometry.astype(np.float32), edge_sigma, output=np.float32)
    return out


@dataclass(frozen=True)
class PublishedResult:
    """Image in 0..1 (not clipped, as published), label with 3 = inserted, published label."""

    image: Field
    label_3class: Labels
    label: Labels


def synthesize_published(
    image: Field,
    label: Labels,
    geometry: NDArray[np.uint8] | MaskArray,
    d: Field,
    texture: Field,
    edge_sigma: float,
    recipe: Recipe = ABDOMEN,
) -> PublishedResult:
    """The published composition of one crop; all arrays (z, y, x).

    Args:
        image: crop in 0..1.
        label: published labels 0..6.
        geometry: the drawn lesion mask.
        d: see ``difference``.
        texture: T.
        edge_sigma: blur of the mask in voxels.
        recipe: chooses the sign.
    """
    small = collapse(label)
    organ = small == ORGAN
    change = np.float32(recipe.sign) * soft_geometry(geometry, edge_sigma) * d * texture
    made = np.where(organ, image + change, image).astype(np.float32)
    inserted = (geometry > 0) & organ
    label_3class = np.where(inserted, INSERTED, small).astype(np.uint8)
    return PublishedResult(made, label_3class, np.where(inserted, label + 1, label))


@dataclass(frozen=True)
class PublishedVerdict:
    """Share of the inserted voxels that the segmentor calls a tumor, and what follows."""

    fraction: float
    accepted: bool


def published_gate(predicted: Labels, label_3class: Labels) -> PublishedVerdict:
    """The published gate on one crop: any tumor class counts; an empty mask is rejected.

    Args:
        predicted: the segmentor's labels 0..6, (z, y, x).
        label_3class: labels with 3 = inserted.
    """
    inserted = label_3class == INSERTED
    called = (predicted > 0) & (predicted % 2 == 0)
    return gate_of_counts(int((called & inserted).sum()), int(inserted.sum()))


def gate_of_counts(found: int, inserted: int) -> PublishedVerdict:
    """``found`` of ``inserted`` voxels were called tumor: accepted strictly above 0.7."""
    fraction = found / (inserted + _EPSILON)
    return PublishedVerdict(fraction, fraction > GATE_RECALL)
