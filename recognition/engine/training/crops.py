"""Crops to learn from: every one follows from its number alone, so a run resumes exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from recognition.engine.arrays import Field, MaskArray, Spacing
from recognition.engine.training.config import TrainingConfig
from recognition.engine.training.volumes import Volume, Volumes

_AIR_HU = -1024
#: An organ shows enough of itself for a lesion.
_LEAST_ORGAN_VOXELS = 200


@dataclass(frozen=True)
class Inserted:
    """A crop with a synthetic lesion: HU and the lesion's mask, (z, y, x)."""

    hu: Field
    mask: MaskArray


class Synthesizer(Protocol):
    """Whoever can put a lesion into a tumor-free crop, and judges it before handing it over."""

    name: str

    def insert(
        self,
        hu: Field,
        organ: MaskArray,
        organ_name: str,
        spacing: Spacing,
        rng: np.random.Generator,
    ) -> Inserted | None:
        """The crop with a lesion; None when none could be placed or the gate rejected it."""
        ...


class Crops(Dataset[dict[str, Tensor]]):
    """Crop ``n`` of a run, whoever asks and in whatever order.

    An item holds ``hu`` (1, D, H, W) in HU, ``label`` (D, H, W), ``annotated`` (C,), and
    ``synthetic``: 1 for an inserted lesion, -1 for a rejected one, 0 for none tried.
    """

    def __init__(
        self,
        config: TrainingConfig,
        labelled: Volumes,
        unlabelled: Volumes,
        synthesizer: Synthesizer | None = None,
    ) -> None:
        self._config = config
        self._labelled, self._unlabelled = labelled, unlabelled
        self._synthesizer = synthesizer
        self._organs = config.data.organs

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        config = self._config
        rng = np.random.default_rng([config.seed, 1, number])
        volume, labelled = self._draw(rng)
        tumors = labelled or any(volume.annotated[2::2])  # known ones: real, or made elsewhere
        tumor = tumors and rng.random() < config.sampling.tumor_share
        if not tumor and rng.random() < config.sampling.anywhere_share:
            center = rng.integers(0, volume.hu.shape)
        else:
            center = _center(rng, volume, tumor=tumor)
        hu, label = cut(volume, center, config.data.crop)
        hu, label, synthetic = self._synthesize(rng, hu, label)
        hu, label = self._augment(rng, hu, label)
        annotated = list(volume.annotated)
        if not tumors and config.data.unlabelled_tumors == "none":
            for tumor_class in range(2, len(annotated), 2):
                annotated[tumor_class] |= annotated[tumor_class - 1]
        return {
            "hu": torch.from_numpy(np.ascontiguousarray(hu, np.float32))[None],
            "label": torch.from_numpy(np.ascontiguousarray(label)).long(),
            "annotated": torch.tensor(annotated),
            "synthetic": torch.tensor(synthetic),
        }

    def _draw(self, rng: np.random.Generator) -> tuple[Volume, bool]:
        share = self._config.sampling.labelled_share if len(self._unlabelled) else 1.0
        labelled = len(self._labelled) > 0 and rng.random() < share
        source = self._labelled if labelled else self._unlabelled
        return source[int(rng.integers(len(source)))], labelled

    def _synthesize(
        self, rng: np.random.Generator, hu: Field, label: NDArray[np.uint8]
    ) -> tuple[Field, NDArray[np.uint8], int]:
        """A lesion in one organ of a crop that shows no tumor of it (published: stage 3)."""
        if self._synthesizer is None or rng.random() >= self._config.sampling.synthesis_share:
            return hu, label, 0
        usable = [
            k
            for k in range(len(self._organs))
            if not (label == 2 * k + 2).any() and (label == 2 * k + 1).sum() >= _LEAST_ORGAN_VOXELS
        ]
        if not usable:
            return hu, label, 0
        k = usable[int(rng.integers(len(usable)))]
        made = self._synthesizer.insert(
            hu, label == 2 * k + 1, self._organs[k], self._config.data.spacing_mm, rng
        )
        if made is None:
            return hu, label, -1
        label = label.copy()
        label[made.mask] = 2 * k + 2
        return made.hu, label, 1

    def _augment(
        self, rng: np.random.Generator, hu: Field, label: NDArray[np.uint8]
    ) -> tuple[Field, NDArray[np.uint8]]:
        sampling = self._config.sampling
        for axis in range(3):
            if rng.random() < sampling.flips:
                hu, label = np.flip(hu, axis), np.flip(label, axis)
        if rng.random() < sampling.rotations and hu.shape[1] == hu.shape[2]:
            turns = int(rng.integers(1, 4))
            hu, label = np.rot90(hu, turns, (1, 2)), np.rot90(label, turns, (1, 2))
        scale = 1.0 + sampling.scale * rng.uniform(-1, 1)
        shift = sampling.shift_hu * rng.uniform(-1, 1)
        return (hu * np.float32(scale) + np.float32(shift)), label


def _center(rng: np.random.Generator, volume: Volume, *, tumor: bool) -> NDArray[np.int64]:
    """A voxel of a tumor, else of an organ, else of anything."""
    tumors = [c for c in volume.places if c % 2 == 0]
    wanted = tumors if tumor and tumors else [c for c in volume.places if c % 2 == 1]
    if not wanted:
        wanted = list(volume.places)
    if not wanted:
        return rng.integers(0, volume.hu.shape)
    places = volume.places[wanted[int(rng.integers(len(wanted)))]]
    center: NDArray[np.int64] = places[int(rng.integers(len(places)))].astype(np.int64)
    return center


def cut(
    volume: Volume, center: NDArray[np.int64], size: tuple[int, int, int]
) -> tuple[Field, NDArray[np.uint8]]:
    """HU and label of a block around ``center``, kept inside the volume; air where it ends."""
    hu = np.full(size, _AIR_HU, np.float32)
    label = np.zeros(size, np.uint8)
    source, target = [], []
    for c, n, whole in zip(center.tolist(), size, volume.hu.shape, strict=True):
        start = min(max(c - n // 2, 0), max(whole - n, 0))
        stop = min(start + n, whole)
        source.append(slice(start, stop))
        target.append(slice(0, stop - start))
    hu[tuple(target)] = volume.hu[tuple(source)]
    label[tuple(target)] = volume.label[tuple(source)]
    return hu, label


def cutmix(batch: dict[str, Any], rng: np.random.Generator, chance: float) -> None:
    """Neighbors of a batch swap a half along one axis, HU and label at the same cut, in place.

    Only where both annotate the same classes: a half of another kind would teach that tumors
    nobody looked for are healthy organ.
    """
    hu, label, annotated = batch["hu"], batch["label"], batch["annotated"]
    for a in range(0, len(label) - 1, 2):
        swap, axis, share = rng.random() < chance, int(rng.integers(3)), rng.beta(0.2, 0.2)
        if not swap or not torch.equal(annotated[a], annotated[a + 1]):
            continue
        at = slice(0, round(share * label.shape[1 + axis]))
        where = (slice(None),) * axis + (at,)
        for tensor, index in ((hu, (slice(None), *where)), (label, where)):
            first = tensor[a][index].clone()
            tensor[a][index] = tensor[a + 1][index]
            tensor[a + 1][index] = first
