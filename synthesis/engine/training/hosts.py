"""Crops of stage 2: a host, the lesion to grow in it, and the real lesions it already has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch.utils.data import Dataset

from synthesis.engine.arrays import Box, Field, zyx
from synthesis.engine.generators.textural import TexturalGenerator
from synthesis.engine.organs import OrganPrior, prior_for
from synthesis.engine.placement import map_organ
from synthesis.engine.records import HostCrop
from synthesis.engine.shapes import SoftLesion, draw_diameter, draw_radius_field, rasterize
from synthesis.engine.training.config import Data
from synthesis.engine.training.crops import Crop, Cutter, Item, Schedule, stream
from synthesis.engine.training.statistics import LesionStatistics
from synthesis.engine.training.volumes import reference_hu

_PLACES = 20
_SHRINK = 0.8
#: Largest diameter over the crop's shortest side.
_WIDEST = 0.6
#: Share of a lesion that must lie in its organ.
_INSIDE = 0.97


class HostCrops(Dataset[Item]):
    """Each item holds, for one crop (arrays are (1, z, y, x) unless said otherwise):

    ``hu``; ``organ`` index; ``soft`` and ``hard`` mask of the lesion to synthesize (all 0 where
    none fits); ``real``: voxels of real tumors; ``body``: voxels of the organs without tumors;
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
        self._textural = TexturalGenerator()
        self._priors = {o.name: _prior(o.name, statistics[o.name]) for o in data.organs}

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
        data = self._data
        shape = crop.hu.shape
        tumor = (crop.label > 0) & (crop.label % 2 == 0)
        tissue = crop.label == 2 * organ + 1
        host = HostCrop(
            hu=crop.hu,
            organ=tissue | (crop.label == 2 * organ + 2),
            tumor=tumor,
            box=Box((0, 0, 0), (shape[0], shape[1], shape[2])),
            spacing_zyx=zyx(data.spacing_mm),
            organ_name=data.organs[organ].name,
        )
        soft = np.zeros(shape, np.float32)
        hard = np.zeros(shape, bool)
        procedural = np.zeros(shape, np.float32)
        reference: float | None = None
        lesion = self._place(rng, host, organ)
        if lesion is not None:
            hard[lesion.box.slices] = lesion.mask
            reference = reference_hu(crop.hu, hard, tissue, data.spacing_mm)
        if lesion is None or reference is None:
            hard[:] = False
        else:
            soft[lesion.box.slices] = lesion.coverage
            if index < self._procedural_until:
                procedural = self._procedural(rng, host, lesion, organ)
        noise = rng.standard_normal((self._noise_channels, *shape), dtype=np.float32)
        return {
            "hu": torch.from_numpy(crop.hu[None]),
            "organ": torch.tensor(organ),
            "soft": torch.from_numpy(soft[None]),
            "hard": torch.from_numpy(hard[None]),
            "real": torch.from_numpy(tumor[None]),
            "body": torch.from_numpy(((crop.label % 2 == 1) & ~hard)[None]),
            "noise": torch.from_numpy(noise),
            "reference": torch.tensor(reference or 0.0, dtype=torch.float32),
            "has": torch.tensor(bool(hard.any())),
            "procedural": torch.from_numpy(procedural[None]),
        }

    def _place(self, rng: np.random.Generator, host: HostCrop, organ: int) -> SoftLesion | None:
        """A lesion inside the organ and clear of real tumors; None where none fits."""
        data = self._data
        if not host.tissue.any():
            return None
        room = map_organ(host.hu.astype(np.int16), host.organ, host.tumor, data.spacing_mm)
        prior = self._priors[host.organ_name]
        low, high = data.organs[organ].diameter_mm
        sides = [n * s for n, s in zip(host.hu.shape, host.spacing_zyx, strict=True)]
        high = min(high, _WIDEST * min(sides), 2.5 * room.deepest_mm)
        if high < low:
            return None
        diameter = draw_diameter(rng, low, high)
        for _ in range(_PLACES):
            center = room.draw(rng, 0.5 * diameter)
            if center is not None:
                surface = draw_radius_field(
                    rng,
                    diameter,
                    lobulation=prior.lobulation,
                    spiculation=prior.spiculation,
                    elongation=prior.elongation,
                )
                edge = float(rng.uniform(*prior.edge_mm))
                lesion = rasterize(surface, data.spacing_mm, center, edge_mm=edge)
                if _fits(host, lesion):
                    return lesion
            if diameter <= low:
                return None
            diameter = max(_SHRINK * diameter, low)
        return None

    def _procedural(
        self, rng: np.random.Generator, host: HostCrop, lesion: SoftLesion, organ: int
    ) -> Field:
        bound = self._data.organs[organ].bound_hu
        prior = self._priors[host.organ_name]
        change = self._textural.paint(rng, host, lesion, prior, 0.0).change
        out: Field = np.clip(change, -bound, bound).astype(np.float32)
        return out


def _prior(organ: str, statistics: LesionStatistics) -> OrganPrior:
    """The engine's prior with the contrast of the real lesions at hand."""
    prior = prior_for(organ)
    center, spread = statistics.contrast_hu, statistics.contrast_sd
    low, high = prior.contrast_range
    return replace(
        prior,
        contrast=center,
        contrast_sd=spread,
        contrast_range=(min(low, center - 2 * spread), max(high, center + 2 * spread)),
        absolute=False,
    )


def _fits(host: HostCrop, lesion: SoftLesion) -> bool:
    if lesion.box.clipped(host.hu.shape) != lesion.box:
        return False
    cut = lesion.box.slices
    if bool((host.tumor[cut] & (lesion.coverage > 0)).any()):
        return False
    return float(host.organ[cut][lesion.mask].mean()) >= _INSIDE
