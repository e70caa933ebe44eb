"""Stage 1: the segmentor, on labelled volumes that may each name only some of the organs."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from synthesis.engine.checkpoints import save_checkpoint
from synthesis.engine.networks import (
    SegmentorConfig,
    SwinSegmentorConfig,
    UNetSegmentorConfig,
    build_network,
)
from synthesis.engine.networks.segmentors import windowed
from synthesis.engine.training import monitor as look
from synthesis.engine.training.config import SegmentorStage, TrainingConfig
from synthesis.engine.training.crops import (
    SEGMENTOR as STREAM,
)
from synthesis.engine.training.crops import (
    Item,
    Schedule,
    SegmentorCrops,
    Shards,
    load_crops,
    stream,
)
from synthesis.engine.training.growing import Grower
from synthesis.engine.training.losses import (
    cutmix,
    foreground,
    marginal_cross_entropy,
    marginal_dice,
)
from synthesis.engine.training.run import (
    SEGMENTOR,
    STATE,
    Result,
    Say,
    card_notes,
    describe,
    keep_config,
    load_pool,
    open_folder,
)
from synthesis.engine.training.state import Trained, fingerprint, load_state, save_state
from synthesis.engine.training.statistics import statistics_of
from synthesis.engine.training.team import Team, Updater, autocast, check_precision, to_device
from synthesis.engine.training.volumes import Pool

_SAMPLES = 4


def segmentor_config(config: TrainingConfig) -> SegmentorConfig:
    """The network that a training configuration asks for."""
    data, stage = config.data, config.segmentor
    if stage.architecture == "swin":
        return SwinSegmentorConfig(
            classes=data.classes,
            windows_hu=data.windows,
            feature_size=stage.feature_size,
            spacing_mm=data.spacing_mm,
        )
    return UNetSegmentorConfig(
        classes=data.classes,
        windows_hu=data.windows,
        channels=stage.channels,
        res_units=stage.res_units,
        spacing_mm=data.spacing_mm,
    )


def learning_rate(stage: SegmentorStage, step: int) -> float:
    """Linear warm-up, then a cosine to zero; ``step`` counts from 0."""
    if step < stage.warmup:
        return stage.lr * (step + 1) / stage.warmup
    share = (step - stage.warmup) / max(stage.steps - stage.warmup, 1)
    return stage.lr * 0.5 * (1.0 + math.cos(math.pi * min(share, 1.0)))


class SegmentorTrainer:
    """One segmentor under training: ``step`` is everything that happens to a batch."""

    def __init__(self, config: TrainingConfig, team: Team) -> None:
        self.config, self.stage, self.team = config, config.segmentor, team
        self.architecture = segmentor_config(config)
        self.network = build_network(self.architecture, config.seed).to(team.device).train()
        optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=self.stage.lr, weight_decay=self.stage.weight_decay
        )
        self.updater = Updater(self.network, optimizer, team, self.stage.precision)
        self.trained = Trained({"network": self.updater}, {"network": self.network})

    def step(self, number: int, items: list[Item]) -> dict[str, float]:
        """One update from the step's batches; ``number`` counts from 0."""
        stage, team = self.stage, self.team
        for group in self.updater.optimizer.param_groups:
            group["lr"] = learning_rate(stage, number)
        for item in items:
            self._mix(item)
        batches = to_device(items, team.device)
        counts = torch.tensor(
            [
                float(sum(item["label"].numel() for item in items)),
                float(sum(foreground(item["annotated"]).sum() for item in items)),
            ],
            dtype=torch.float64,
        )
        voxels, pairs = team.add_up(counts).tolist()
        told = torch.zeros(2, dtype=torch.float64)
        self.updater.clear()
        for item in batches:
            with autocast(stage.precision, team.device):
                logits = self.network(windowed(item["hu"], self.config.data.windows))
            label, allowed = item["label"], item["allowed"]
            entropy = marginal_cross_entropy(logits, label, allowed) / voxels
            dice = marginal_dice(logits, label, allowed, item["annotated"]) / max(pairs, 1.0)
            self.updater.backward(entropy + stage.dice * dice)
            told += torch.stack([entropy, dice]).detach().double().cpu()
        self.updater.step()
        entropy_sum, dice_sum = team.add_up(told).tolist()
        total = entropy_sum + stage.dice * dice_sum
        return {"loss": total, "entropy": entropy_sum, "dice_loss": dice_sum}

    def _mix(self, item: Item) -> None:
        rng = stream(self.config.seed, STREAM, 1, int(item["index"][0]))
        if rng.random() < self.stage.cutmix:
            cutmix(item["hu"], item["label"], item["annotated"], rng.random(3).tolist())


def train_segmentor(
    config: TrainingConfig, *, team: Team, say: Say, resume: bool = False
) -> Result:
    """Run stage 1, or go on with it; the result is ``segmentor/segmentor.safetensors``.

    Raises:
        SynthesisError: bad data, a folder in use, or nothing to resume.
    """
    stage = config.segmentor
    check_precision(stage.precision, team.device)
    folder = open_folder(config, SEGMENTOR, resume=resume, team=team)
    pool = load_pool(config, team, say)
    trainer = SegmentorTrainer(config, team)
    print_ = fingerprint(config, SEGMENTOR, team.world)
    start = load_state(folder / STATE, trainer.trained, print_) if resume else 0
    keep_config(config, folder, team)
    schedule = Schedule(
        pool.labelled, (), repeats=1, lesion_share=stage.lesion_share, seed=config.seed
    )
    grower = (
        Grower(config.data, statistics_of(config.data, pool)) if stage.procedural_share else None
    )
    crops = SegmentorCrops(schedule, config.data, stage, config.seed, grower)
    batches = load_crops(
        crops,
        Shards(
            start,
            stage.steps,
            batch=stage.batch,
            accumulate=stage.accumulate,
            rank=team.rank,
            world=team.world,
        ),
        config.data.workers,
    )
    watch = look.Monitor(
        folder,
        SEGMENTOR,
        start=start,
        steps=stage.steps,
        every=stage.log_every,
        team=team,
        say=say,
        tensorboard=config.tensorboard,
    )
    path = folder / "segmentor.safetensors"
    scores: dict[str, float] = {}
    for number in range(start, stage.steps):
        values = trainer.step(number, [next(batches) for _ in range(stage.accumulate)])
        done, last = number + 1, number + 1 == stage.steps
        watch.step(done, values)
        if not team.leads:
            continue
        if last or _due(done, stage.validate_every):
            scores = validate(trainer, pool)
            watch.note(done, scores)
        if last or _due(done, stage.checkpoint_every):
            _save(trainer, path, pool, done, scores)
            save_state(folder / STATE, trainer.trained, done, print_)
        if stage.samples_every and (last or _due(done, stage.samples_every)):
            _sample(trainer, pool, folder / "samples" / f"{done:07d}.png")
    watch.close()
    team.wait()
    return Result(path, scores, stage.steps)


def _due(done: int, every: int) -> bool:
    return every > 0 and done % every == 0


def _save(
    trainer: SegmentorTrainer, path: Path, pool: Pool, done: int, scores: dict[str, float]
) -> None:
    text = describe(trainer.config, trainer.stage, pool, trainer.team, done)
    notes = card_notes(text, scores, held_out=len(pool.validation))
    state = trainer.network.state_dict()
    storage = trainer.stage.storage
    save_checkpoint(path, "segmentor", trainer.architecture, state, notes, storage=storage)


def _validation_crops(trainer: SegmentorTrainer, pool: Pool) -> SegmentorCrops:
    config = trainer.config
    schedule = Schedule(pool.validation, (), repeats=1, lesion_share=0.5, seed=config.seed)
    return SegmentorCrops(schedule, config.data, None, config.seed)


def _predict(network: nn.Module, item: Item, trainer: SegmentorTrainer) -> Tensor:
    hu = item["hu"].to(trainer.team.device)
    with torch.no_grad(), autocast(trainer.stage.precision, trainer.team.device):
        logits = network(windowed(hu, trainer.config.data.windows))
    out: Tensor = logits.float().argmax(dim=1).cpu()
    return out


def validate(trainer: SegmentorTrainer, pool: Pool) -> dict[str, float]:
    """Dice of each class over all held-out crops together, where the labels show the class."""
    stage = trainer.stage
    if not pool.validation or not stage.validation_crops:
        return {}
    crops = _validation_crops(trainer, pool)
    names = trainer.config.data.classes
    overlap, total = np.zeros(len(names)), np.zeros(len(names))
    trainer.network.eval()
    for index in range(stage.validation_crops):
        item: Item = default_collate([crops[index]])
        found, label = _predict(trainer.network, item, trainer), item["label"]
        for kind in range(1, len(names)):
            if bool(item["annotated"][0, kind]):
                both = (found == kind) & (label == kind)
                overlap[kind] += float(both.sum())
                total[kind] += float((found == kind).sum() + (label == kind).sum())
    trainer.network.train()
    return {
        f"dice {names[kind]}": 2.0 * overlap[kind] / total[kind]
        for kind in range(1, len(names))
        if total[kind] > 0
    }


def _sample(trainer: SegmentorTrainer, pool: Pool, path: Path) -> None:
    """CT, reference (green) and found (red) outlines; tumors where there are any."""
    shown = pool if pool.validation else Pool(pool.labelled, (), pool.labelled)
    crops = _validation_crops(trainer, shown)
    rows = []
    trainer.network.eval()
    for index in range(_SAMPLES):
        item: Item = default_collate([crops[index]])
        found = _predict(trainer.network, item, trainer)[0].numpy()
        label, hu = item["label"][0].numpy(), item["hu"][0, 0].numpy()
        tumor = (label > 0) & (label % 2 == 0)
        layer = int((tumor if tumor.any() else label > 0).sum(axis=(1, 2)).argmax())
        plain = look.gray(hu[layer], trainer.config.data.windows[0])
        marked = look.outlined(plain, label[layer] > 0, (40, 120, 40))
        marked = look.outlined(marked, tumor[layer], (60, 255, 60))
        guess = (found[layer] > 0) & (found[layer] % 2 == 0)
        seen = look.outlined(plain, found[layer] > 0, (150, 40, 40))
        rows.append([plain, marked, look.outlined(seen, guess, (255, 60, 60))])
    trainer.network.train()
    look.save_grid(path, rows)
