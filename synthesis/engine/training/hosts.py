"""Crops of stage 2: a host, the lesion to grow in it, and the real lesions it already has."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch.utils.data import Dataset

from synthesis.engine.training.config import Data
from synthesis.engine.training.crops import Crop, Cutter, Item, Schedule, stream
from synthesis.engine.training.growing import Grower
from synthesis.engine.training.statistics import LesionStatistics
from synthesis.engine.training.volumes import reference_hu, stand_ins


class HostCrops(Dataset[Item]):
    """Each item holds, for one crop (arrays are (1, z, y, x) unless said otherwise):

    ``hu``; ``organ`` index; ``soft`` and ``hard`` mask of the lesion to synthesize (all 0 where
    none fits); ``tumor``: voxels of tumors that were there; ``real``: those of them that the
    generator learns from (a phantom's only for want of real ones); ``body``: voxels of the organs
    without tumors;
    ``noise`` (channels, z, y, x); ``reference``: HU of the organ around the lesion; ``has``: 1
    where a lesion is to be synthesized; ``procedural``: the procedural change in HU.
    """

    def __init__(
        self,
        schedule: Schedule,
        data: Data,
        statistics: Mapping[str, LesionStatistics],
        *,
        noise_channels: int,
        procedural_until: int,
        key: tuple[int, int],
        augment: bool = True,
    ) -> None:
        self._schedule = schedule
        self._data = data
        self._noise_channels = noise_channels
        self._procedural_until = procedural_until
        self._key = key
        self._cutter = Cutter(data, augment=augment)
        self._grower = Grower(data, statistics)
        self._stand_ins = stand_ins(schedule.volumes)

    def __getitem__(self, index: int) -> Item:
        turn = self._schedule.turn(index)
        rng = stream(*self._key, index)
        volume = self._schedule.volumes[turn.volume]
        kinds = sorted(c for c in volume.places if (c % 2 == 0) == turn.lesion)
        kinds = kinds or sorted(volume.places) or [1]
        wanted = kinds[int(rng.integers(len(kinds)))]
        crop = self._cutter.cut(rng, volume, wanted)
        return self._item(rng, crop, (wanted - 1) // 2, index)

    def _item(self, rng: np.random.Generator, crop: Crop, organ: int, index: int) -> Item:
        shape, label = crop.hu.shape, crop.label
        host = self._grower.host(crop.hu, label, organ)
        soft = np.zeros(shape, np.float32)
        hard = np.zeros(shape, bool)
        procedural = np.zeros(shape, np.float32)
        reference: float | None = None
        lesion = self._grower.place(rng, host, organ)
        if lesion is not None:
            hard[lesion.box.slices] = lesion.mask
            tissue = label == 2 * organ + 1
            reference = reference_hu(crop.hu, hard, tissue, self._data.spacing_mm)
        if lesion is None or reference is None:
            hard[:] = False
        else:
            soft[lesion.box.slices] = lesion.coverage
            if index < self._procedural_until:
                procedural = self._grower.paint(rng, host, lesion, organ)
        noise = rng.standard_normal((self._noise_channels, *shape), dtype=np.float32)
        real = host.tumor
        if crop.volume.phantom:
            real = real & np.isin(label, list(self._stand_ins))
        return {
            "hu": torch.from_numpy(crop.hu[None]),
            "organ": torch.tensor(organ),
            "soft": torch.from_numpy(soft[None]),
            "hard": torch.from_numpy(hard[None]),
            "tumor": torch.from_numpy(host.tumor[None]),
            "real": torch.from_numpy(real[None]),
            "body": torch.from_numpy(((label % 2 == 1) & ~hard)[None]),
            "noise": torch.from_numpy(noise),
            "reference": torch.tensor(reference or 0.0, dtype=torch.float32),
            "has": torch.tensor(bool(hard.any())),
            "procedural": torch.from_numpy(procedural[None]),
        }
