"""How the generator does: its lesions on held-out crops, in numbers and in pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.data import default_collate

from synthesis.engine.networks.segmentors import windowed
from synthesis.engine.training import monitor as look
from synthesis.engine.training.crops import VALIDATION, Item, Schedule
from synthesis.engine.training.hosts import HostCrops
from synthesis.engine.training.losses import Counts, recognition_loss
from synthesis.engine.training.statistics import lesion_quantiles
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
        procedural_until=0,
        key=(config.seed, VALIDATION),
        augment=False,
    )
    for index in range(count):
        (item,) = to_device([default_collate([crops[index]])], trainer.team.device)
        with torch.no_grad(), autocast(stage.precision, trainer.team.device):
            change = trainer.average(item["hu"], item["soft"], item["noise"], item["organ"])
        yield item, item["hu"] + change.float()


def validate(trainer: GeneratorTrainer, pool: Pool) -> dict[str, float]:
    """Of held-out crops: mean recognition loss (lower is better), share of lesions that pass the
    published gate, mean contrast, and share of contrasts like real ones."""
    if not pool.validation or not trainer.stage.validation_crops:
        return {}
    made = passed = like = 0
    contrast = unseen = 0.0
    for item, image in _painted_hosts(trainer, pool, trainer.stage.validation_crops):
        if not bool(item["has"][0]):
            continue
        made += 1
        hard = item["hard"][0, 0]
        with torch.no_grad():
            seen = trainer.critic.network(windowed(image, trainer.critic.windows))
        counts = Counts.from_tensor(Counts.of([item]))
        rule = trainer.stage.loss
        unseen += float(recognition_loss(seen, item, trainer.critic.tumors, counts, rule))
        called = seen[0].argmax(dim=0)
        tumors = torch.tensor(trainer.critic.tumors, device=called.device)
        passed += float(torch.isin(called, tumors)[hard].float().mean()) > _GATE
        found = lesion_quantiles(image[0, 0], hard, item["reference"][0])
        real = trainer.statistics[int(item["organ"][0])]
        middle = float(found[_MEDIAN])
        contrast += middle
        like += abs(middle - real.contrast_hu) <= _LIKE_REAL_SD * real.contrast_sd
    if not made:
        return {}
    return {
        "recognition loss": unseen / made,
        "passed the gate": passed / made,
        "mean contrast HU": contrast / made,
        "contrast like real lesions": like / made,
    }


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
