"""Crops, each of which follows from its index alone: no state, so nothing to lose in a kill.

Crop ``i`` of a run is the same whoever cuts it. Step ``t`` of ``world`` processes uses the
crops ``t * n`` to ``(t + 1) * n - 1`` with ``n = world * accumulate * batch``, so two processes
see together what one would see with the doubled batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from synthesis.engine.arrays import HU_MIN, Field
from synthesis.engine.training.config import Data, SegmentorStage
from synthesis.engine.training.growing import Grower
from synthesis.engine.training.volumes import Volume, stand_ins

Item = dict[str, Tensor]

#: Streams of randomness: one for each use, so that no two ever share numbers.
ORDER, SEGMENTOR, GENERATOR, VALIDATION = 1, 2, 3, 4


def stream(*key: int) -> np.random.Generator:
    """The generator of one use; the same key gives the same numbers."""
    return np.random.default_rng(np.random.SeedSequence(key))


@dataclass(frozen=True)
class Turn:
    """Which volume crop ``index`` comes from, and whether it centers on a real lesion."""

    volume: int
    lesion: bool


class Schedule:
    """Whose turn it is: every volume once per round, real lesions in a fixed share of crops.

    Rounds go over labelled (``repeats`` times each) and unlabelled volumes together, in a new
    order each; crops around real lesions go over the volumes that have some, with ``real_first``
    over phantoms only for lesions that nothing else shows.
    """

    def __init__(
        self,
        labelled: tuple[Volume, ...],
        unlabelled: tuple[Volume, ...],
        *,
        repeats: int,
        lesion_share: float,
        seed: int,
        real_first: bool = False,
    ) -> None:
        self.volumes = (*labelled, *unlabelled)
        first = len(labelled)
        self._hosts = [*list(range(first)) * repeats, *range(first, len(self.volumes))]
        wanted = stand_ins(labelled) if real_first else frozenset()
        self._with_lesion = [
            number
            for number, v in enumerate(labelled)
            if any(c in wanted if real_first and v.phantom else c % 2 == 0 for c in v.places)
        ]
        share = Fraction(lesion_share).limit_denominator(1000)
        self._share = share if self._with_lesion else Fraction(0)
        self._seed = seed

    @property
    def round_length(self) -> int:
        """Crops in which every host volume comes once (not counting lesion crops)."""
        return len(self._hosts)

    def turn(self, index: int) -> Turn:
        """The turn of crop ``index``; any n neighbors hold at least floor(n share) lesions."""
        before, until = int(index * self._share), int((index + 1) * self._share)
        if until > before:
            return Turn(self._pick(self._with_lesion, before, 1), lesion=True)
        return Turn(self._pick(self._hosts, index - before, 0), lesion=False)

    def _pick(self, among: list[int], count: int, kind: int) -> int:
        lap, place = divmod(count, len(among))
        order = stream(self._seed, ORDER, kind, lap).permutation(len(among))
        return among[int(order[place])]


@dataclass(frozen=True)
class Crop:
    """A crop of a volume: HU (float32) and labels, (z, y, x)."""

    hu: Field
    label: NDArray[np.uint8]
    volume: Volume


class Cutter:
    """Cuts crops of one size around chosen voxels, with flips and quarter turns by MONAI."""

    def __init__(self, data: Data, *, augment: bool) -> None:
        from monai.transforms import Compose, RandFlipd, RandRotate90d

        self._shape = data.crop
        keys = ("hu", "label")
        steps: list[Any] = []
        if augment:
            steps += [RandFlipd(keys, prob=data.flips, spatial_axis=axis) for axis in range(3)]
            x, y, _ = data.spacing_mm
            if data.crop[1] == data.crop[2] and x == y:
                steps.append(RandRotate90d(keys, prob=data.rotations, spatial_axes=(1, 2)))
        self._transform = Compose(steps)

    def cut(self, rng: np.random.Generator, volume: Volume, wanted: int) -> Crop:
        """A crop near a voxel of the class ``wanted`` (anywhere where there is none)."""
        places = volume.places.get(wanted)
        if places is None or not len(places):
            center = rng.integers(0, volume.hu.shape)
        else:
            center = places[rng.integers(len(places))]
        shape = np.asarray(self._shape)
        jitter = rng.integers(-(shape // 4), shape // 4 + 1)
        room = np.asarray(volume.hu.shape) - shape
        start = np.where(
            room > 0, np.clip(center + jitter - shape // 2, 0, np.maximum(room, 0)), room // 2
        )
        seed = int(rng.integers(2**31))
        self._transform.set_random_state(seed=seed)
        done = self._transform(
            {
                "hu": torch.from_numpy(_window(volume.hu, start, shape, HU_MIN)[None]),
                "label": torch.from_numpy(_window(volume.label, start, shape, 0)[None]),
            }
        )
        hu, label = (np.ascontiguousarray(np.asarray(done[k])[0]) for k in ("hu", "label"))
        return Crop(hu.astype(np.float32), label.astype(np.uint8), volume)


def _window(
    array: NDArray[Any], start: NDArray[np.int64], shape: NDArray[np.int64], outside: int
) -> NDArray[Any]:
    """``array[start : start + shape]``, with ``outside`` where that leaves the array."""
    out = np.full(tuple(shape), outside, array.dtype)
    low = np.maximum(start, 0)
    high = np.minimum(start + shape, array.shape)
    source = tuple(slice(a, b) for a, b in zip(low, high))
    target = tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start))
    out[target] = array[source]
    return out


def allowed_classes(annotated: tuple[bool, ...]) -> NDArray[np.bool_]:
    """(label, class): which classes a voxel of each label may really be.

    A class that a volume does not annotate hides in another label: an organ in the background,
    a tumor in its organ (in the background where the organ is not annotated either).
    """
    count = len(annotated)
    out = np.eye(count, dtype=bool)
    for index in range(1, count):
        if annotated[index]:
            continue
        organ = index - 1 if index % 2 == 0 else 0
        out[organ if organ and annotated[organ] else 0, index] = True
    return out


class SegmentorCrops(Dataset[Item]):
    """Crops of stage 1: ``hu`` (1, z, y, x), ``label`` (z, y, x), ``allowed``, ``annotated``."""

    def __init__(
        self,
        schedule: Schedule,
        data: Data,
        stage: SegmentorStage | None,
        seed: int,
        grower: Grower | None = None,
    ) -> None:
        self._grower = grower
        self._schedule = schedule
        self._cutter = Cutter(data, augment=stage is not None)
        self._stage = stage
        self._key = (seed, SEGMENTOR if stage is not None else VALIDATION)

    def __getitem__(self, index: int) -> Item:
        turn = self._schedule.turn(index)
        rng = stream(*self._key, index)
        volume = self._schedule.volumes[turn.volume]
        kinds = sorted(c for c in volume.places if (c % 2 == 0) == turn.lesion)
        kinds = kinds or sorted(volume.places) or [0]
        crop = self._cutter.cut(rng, volume, kinds[int(rng.integers(len(kinds)))])
        hu, label = crop.hu, crop.label
        if self._stage is not None:
            if not turn.lesion and rng.random() < self._stage.procedural_share:
                hu, label = self._grown(rng, crop)
            factor = 1.0 + self._stage.scale * rng.uniform(-1.0, 1.0)
            offset = self._stage.shift_hu * rng.uniform(-1.0, 1.0)
            hu = (hu * np.float32(factor) + np.float32(offset)).astype(np.float32)
            if self._stage.noise_hu > 0:
                sd = np.float32(self._stage.noise_hu * rng.random())
                hu += sd * rng.standard_normal(hu.shape, dtype=np.float32)
        return {
            "hu": torch.from_numpy(hu[None]),
            "label": torch.from_numpy(label.astype(np.int64)),
            "allowed": torch.from_numpy(allowed_classes(volume.annotated)),
            "annotated": torch.tensor(volume.annotated),
            "index": torch.tensor(index),
        }

    def _grown(self, rng: np.random.Generator, crop: Crop) -> tuple[Field, NDArray[np.uint8]]:
        """The crop with a procedural lesion in it, labelled; as it was where none fits."""
        organs = [int(c) // 2 for c in np.unique(crop.label) if c % 2 == 1]
        if self._grower is None or not organs:
            return crop.hu, crop.label
        organ = organs[int(rng.integers(len(organs)))]
        host = self._grower.host(crop.hu, crop.label, organ)
        lesion = self._grower.place(rng, host, organ)
        if lesion is None:
            return crop.hu, crop.label
        label = crop.label.copy()
        label[lesion.box.slices][lesion.mask] = 2 * organ + 2
        return crop.hu + self._grower.paint(rng, host, lesion, organ), label


class Shards(Sampler[list[int]]):
    """The crop indices of one process, one list for each forward pass, from step ``start`` on."""

    def __init__(
        self, start: int, stop: int, *, batch: int, accumulate: int, rank: int, world: int
    ) -> None:
        self.start, self.stop = start, stop
        self.batch, self.accumulate = batch, accumulate
        self.rank, self.world = rank, world

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.start, self.stop):
            for part in range(self.accumulate):
                block = (step * self.accumulate + part) * self.world + self.rank
                yield list(range(block * self.batch, (block + 1) * self.batch))

    def __len__(self) -> int:
        return (self.stop - self.start) * self.accumulate


def load_crops(crops: Dataset[Item], shards: Shards, workers: int) -> Iterator[Item]:
    """Batches of crops, cut by ``workers`` processes; no global random state is touched."""
    loader = DataLoader(
        crops,
        batch_sampler=shards,
        num_workers=workers,
        generator=torch.Generator(),
        persistent_workers=False,
    )
    return iter(loader)
