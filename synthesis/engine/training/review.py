"""How the generator does: its lesions on held-out crops, in numbers and in pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from synthesis.engine.measure import measure_lesion
from synthesis.engine.networks.segmentors import windowed
from synthesis.engine.training import monitor as look
from synthesis.engine.training.crops import VALIDATION, Item, Schedule
from synthesis.engine.training.hosts import HostCrops
from synthesis.engine.training.losses import Counts, recognition_loss
from synthesis.engine.training.statistics import distance_from_real, lesion_quantiles
from synthesis.engine.training.team import autocast, to_device
from synthesis.engine.training.volumes import QUANTILES, Pool

if TYPE_CHECKING:
    from synthesis.engine.training.generator import GeneratorTrainer

_SAMPLES = 4
_MEDIAN = QUANTILES.index(0.5)
#: The published gate: strictly more than this share of the lesion is called a tumor.
_GATE = 0.7
#: A contrast within this many standard deviations of the real mean counts as like real ones.
_LIKE_REAL_SD = 2.0


def contrast_sum(image: Tensor, item: Item) -> float:
    """Sum over the batch's lesions of their median HU minus the organ's."""
    total = 0.0
    for row in torch.nonzero(item["has"])[:, 0].tolist():
        inside = image[row, 0][item["hard"][row, 0]]
        total += float(inside.median() - item["reference"][row])
    return total


def _painted_hosts(
    trainer: GeneratorTrainer, pool: Pool, count: int
) -> Iterator[tuple[Item, Tensor]]:
    """Held-out crops one by one, with the moving average's lesions in them."""
    config, stage = trainer.config, trainer.stage
    crops = HostCrops(
        Schedule(pool.validation, (), repeats=1, lesion_share=0.0, seed=config.seed),
        config.data,
        {o.name: s for o, s in zip(config.data.organs, trainer.statistics, strict=True)},
        noise_channels=stage.noise_channels,
        procedural_until=count if trainer.architecture.hybrid else 0,
        key=(config.seed, VALIDATION),
        augment=False,
    )
    for index in range(count):
        (item,) = to_device([default_collate([crops[index]])], trainer.team.device)
        with torch.no_grad(), autocast(stage.precision, trainer.team.device):
            change = trainer.average(
                item["hu"], item["soft"], item["noise"], item["organ"], item["procedural"]
            )
        yield item, item["hu"] + change.float()


@dataclass
class _Seen:
    """Sums over the lesions of one organ."""

    made: int = 0
    passed: float = 0.0
    like: float = 0.0
    contrast: float = 0.0
    unseen: float = 0.0
    noise: list[float] = field(default_factory=list)


def validate(trainer: GeneratorTrainer, pool: Pool) -> dict[str, float]:
    """Of held-out crops: mean recognition loss (lower is better), share of lesions that pass the
    published gate, mean contrast, share of contrasts like real ones, and the median ratio of
    noise inside to noise around; contrast and gate also for each organ where there are several.
    """
    if not pool.validation or not trainer.stage.validation_crops:
        return {}
    organs = trainer.config.data.organs
    seen = [_Seen() for _ in organs]
    for item, image in _painted_hosts(trainer, pool, trainer.stage.validation_crops):
        if bool(item["has"][0]):
            _look(trainer, item, image, seen[int(item["organ"][0])])
    made = sum(one.made for one in seen)
    if not made:
        return {}
    scores = {
        "recognition loss": sum(one.unseen for one in seen) / made,
        "passed the gate": sum(one.passed for one in seen) / made,
        "mean contrast HU": sum(one.contrast for one in seen) / made,
        "contrast like real lesions": sum(one.like for one in seen) / made,
    }
    if noise := [ratio for one in seen for ratio in one.noise]:
        scores["noise ratio"] = float(np.median(noise))
    for organ, one in zip(organs, seen, strict=True):
        if len(organs) > 1 and one.made:
            scores[f"passed the gate in the {organ.name}"] = one.passed / one.made
            scores[f"mean contrast HU in the {organ.name}"] = one.contrast / one.made
    return scores


def _look(trainer: GeneratorTrainer, item: Item, image: Tensor, seen: _Seen) -> None:
    """Add the lesion of one crop to its organ's sums."""
    hard, organ = item["hard"][0, 0], int(item["organ"][0])
    with torch.no_grad():
        logits = trainer.critic.network(windowed(image, trainer.critic.windows))
    counts = Counts.from_tensor(Counts.of([item]))
    rule = trainer.stage.loss
    seen.made += 1
    seen.unseen += float(recognition_loss(logits, item, trainer.critic.tumors, counts, rule))
    called = logits[0].argmax(dim=0)
    tumors = torch.tensor(trainer.critic.tumors, device=called.device)
    seen.passed += float(torch.isin(called, tumors)[hard].float().mean()) > _GATE
    reference = item["reference"][0]
    seen.contrast += float(lesion_quantiles(image[0, 0], hard, reference)[_MEDIAN])
    off = distance_from_real(
        image[0, 0], hard, item["soft"][0, 0], reference, trainer.statistics[organ]
    )
    seen.like += float(off[len(off) // 2].abs()) <= _LIKE_REAL_SD
    measured = measure_lesion(
        image[0, 0].cpu().numpy(),
        hard.cpu().numpy(),
        trainer.config.data.spacing_mm,
        organ=(item["body"][0, 0] | item["hard"][0, 0]).cpu().numpy(),
    )
    if math.isfinite(measured.noise_ratio):
        seen.noise.append(measured.noise_ratio)


def save_samples(trainer: GeneratorTrainer, pool: Pool, path: Path) -> None:
    """Rows of: before, where the lesion is to be, after, and the change."""
    shown = pool if pool.validation else Pool(pool.labelled, (), pool.labelled)
    rows: list[list[look.Pixels]] = []
    for item, image in _painted_hosts(trainer, shown, 4 * _SAMPLES):
        if len(rows) == _SAMPLES:
            break
        hard = item["hard"][0, 0].cpu().numpy()
        if not hard.any():
            continue
        organ = trainer.config.data.organs[int(item["organ"][0])]
        layer = int(hard.sum(axis=(1, 2)).argmax())
        before, after = (array[0, 0, layer].cpu().numpy() for array in (item["hu"], image))
        plain = look.gray(before, organ.window_hu)
        rows.append(
            [
                plain,
                look.outlined(plain, hard[layer], (255, 200, 0)),
                look.gray(after, organ.window_hu),
                look.signed(after - before, organ.bound_hu),
            ]
        )
    look.save_grid(path, rows)
