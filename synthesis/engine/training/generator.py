"""Stage 2: the generator, against the frozen segmentor and a small voxel discriminator."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from synthesis.engine.checkpoints import LoadedNetwork, load_checkpoint, save_checkpoint
from synthesis.engine.errors import SynthesisError
from synthesis.engine.networks import (
    ConditionalUNetConfig,
    NetworkConfig,
    OrganChannel,
    PublishedUNet3dConfig,
    SwinSegmentorConfig,
    UNetSegmentorConfig,
    build_network,
)
from synthesis.engine.networks.conditional import ConditionalUNet
from synthesis.engine.networks.segmentors import windowed
from synthesis.engine.training import losses, review
from synthesis.engine.training import monitor as look
from synthesis.engine.training.config import TrainingConfig
from synthesis.engine.training.crops import GENERATOR as STREAM
from synthesis.engine.training.crops import Item, Schedule, Shards, load_crops
from synthesis.engine.training.hosts import HostCrops
from synthesis.engine.training.losses import Counts
from synthesis.engine.training.run import (
    GENERATOR,
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
from synthesis.engine.training.segmentor import train_segmentor
from synthesis.engine.training.state import Trained, fingerprint, load_state, save_state
from synthesis.engine.training.statistics import LesionStatistics, statistics_of
from synthesis.engine.training.team import (
    Team,
    Updater,
    autocast,
    check_precision,
    set_trainable,
    to_device,
)
from synthesis.engine.training.volumes import Pool

#: The first change of an untrained generator stays within this share of its bound.
_START_WITHIN = 0.9


def generator_config(
    config: TrainingConfig, statistics: list[LesionStatistics]
) -> ConditionalUNetConfig:
    """Our generator; before training it paints each organ's real contrast."""
    data, stage = config.data, config.generator
    hybrid = stage.parametrization == "hybrid"
    organs = []
    for organ, real in zip(data.organs, statistics, strict=True):
        most = _START_WITHIN * organ.bound_hu
        start = max(-most, min(most, real.contrast_hu))
        own = (real.contrast_hu, real.contrast_sd) if hybrid and organ.contrast_hu else None
        channel = OrganChannel(organ.name, organ.window_hu, organ.bound_hu, start, own)
        organs.append(channel)
    return ConditionalUNetConfig(
        organs=tuple(organs),
        channels=stage.channels,
        noise_channels=stage.noise_channels,
        embedding=stage.embedding,
        spacing_mm=data.spacing_mm,
        window=data.crop,
        parametrization=stage.parametrization,
        correction=stage.correction if hybrid else 1.0,
    )


def discriminator_config(config: TrainingConfig) -> NetworkConfig:
    """The voxel discriminator: body, real tumor or synthetic tumor."""
    stage = config.generator
    if stage.discriminator == "published":
        return PublishedUNet3dConfig(out_channels=3, width=stage.discriminator_width)
    return UNetSegmentorConfig(
        classes=("body", "real", "synthetic"),
        windows_hu=config.data.windows,
        channels=stage.discriminator_channels,
        res_units=1,
        spacing_mm=config.data.spacing_mm,
    )


@dataclass(frozen=True)
class Critic:
    """The frozen segmentor, and its tumor class of each of the generator's organs."""

    network: nn.Module
    windows: tuple[tuple[float, float], ...]
    tumors: tuple[int, ...]


def make_critic(loaded: LoadedNetwork, config: TrainingConfig) -> Critic:
    """Freeze a loaded segmentor for the organs to learn.

    Raises:
        SynthesisError: it lacks an organ's tumor, or works on another grid.
    """
    found, data = loaded.config, config.data
    if not isinstance(found, UNetSegmentorConfig | SwinSegmentorConfig):
        raise SynthesisError(f"The checkpoint {loaded.name} holds no segmentor; choose another.")
    tumors = []
    for organ in data.organs:
        wanted = f"{organ.name} tumor"
        if wanted not in found.classes:
            raise SynthesisError(
                f"The segmentor {loaded.name} does not know {wanted}; it knows "
                f"{', '.join(found.classes[1:])}."
            )
        tumors.append(found.classes.index(wanted))
    if found.spacing_mm != data.spacing_mm:
        raise SynthesisError(
            f"The segmentor {loaded.name} works on a grid of {found.spacing_mm} mm, data.spacing_mm"
            f" is {data.spacing_mm}; make them equal."
        )
    if any(side % found.multiple for side in data.crop):
        raise SynthesisError(
            f"The segmentor {loaded.name} needs sides of data.crop that are multiples of "
            f"{found.multiple}."
        )
    if isinstance(found, SwinSegmentorConfig) and set(data.crop) == {found.multiple}:
        side = found.multiple
        raise SynthesisError(
            f"The segmentor {loaded.name} needs more than {side} x {side} x {side} voxels of "
            "data.crop; double one side."
        )
    set_trainable(loaded.network, trainable=False)
    return Critic(loaded.network.eval(), found.windows_hu, tuple(tumors))


class GeneratorTrainer:
    """Generator, its moving average, discriminator and critic: ``step`` updates the first three."""

    def __init__(
        self,
        config: TrainingConfig,
        critic: Critic,
        statistics: list[LesionStatistics],
        team: Team,
    ) -> None:
        self.config, self.stage, self.team = config, config.generator, team
        self.critic, self.statistics = critic, statistics
        self.architecture = generator_config(config, statistics)
        self.discriminator_architecture = discriminator_config(config)
        built = build_network(self.architecture, config.seed)
        self.generator = cast("ConditionalUNet", built.to(team.device).train())
        self.average = copy.deepcopy(self.generator).eval()
        set_trainable(self.average, trainable=False)
        made = build_network(self.discriminator_architecture, config.seed + 1)
        self.discriminator = made.to(team.device).train()
        stage = self.stage

        def updater(network: nn.Module) -> Updater:
            optimizer = torch.optim.Adam(network.parameters(), lr=stage.lr, betas=stage.betas)
            return Updater(network, optimizer, team, stage.precision)

        self.paint, self.judge = updater(self.generator), updater(self.discriminator)
        self.trained = Trained(
            {"generator": self.paint, "discriminator": self.judge},
            {
                "generator": self.generator,
                "average": self.average,
                "discriminator": self.discriminator,
            },
        )

    def step(self, number: int, items: list[Item]) -> dict[str, float]:
        """One update of the generator, then one of the discriminator, from the same crops."""
        total = self.team.add_up(Counts.of(items))
        counts = Counts.from_tensor(total, self.team.world * len(items))
        batches = to_device(items, self.team.device)
        made, told = self.generator_step(number, batches, counts)
        told |= self.discriminator_step(number, batches, made, counts)
        self._follow(number)
        names = sorted(told)
        values = torch.tensor([told[name] for name in names], dtype=torch.float64)
        summed = dict(zip(names, self.team.add_up(values).tolist(), strict=True))
        summed["contrast_hu"] /= max(counts.lesions, 1.0)
        return {name: summed[name] for name in told}

    def generator_step(
        self, number: int, batches: list[Item], counts: Counts
    ) -> tuple[list[Tensor], dict[str, float]]:
        """Update the generator; the discriminator and the critic are only asked."""
        set_trainable(self.discriminator, trainable=False)
        self.paint.clear()
        made, told = [], {"loss": 0.0, "seg": 0.0, "fool": 0.0, "contrast_hu": 0.0}
        for item in batches:
            image, terms = self._painted(number, item, counts)
            total = torch.stack([weight * term for weight, term in terms.values()]).sum()
            self.paint.backward(total)
            made.append(image.detach())
            told["loss"] += float(total.detach())
            for name, (_, term) in terms.items():
                told[name] = told.get(name, 0.0) + float(term.detach())
            told["contrast_hu"] += review.contrast_sum(image.detach(), item)
        self.paint.step()
        return made, told

    def _painted(
        self, number: int, item: Item, counts: Counts
    ) -> tuple[Tensor, dict[str, tuple[float, Tensor]]]:
        """HU with the lesions, and each term of the loss with its weight."""
        loss, stage = self.stage.loss, self.stage
        with autocast(stage.precision, self.team.device):
            field = self.generator.field(*_asked(item))
        change = self.generator.residual(
            field.float(), item["soft"], item["organ"], item["procedural"]
        )
        image = item["hu"] + change
        with autocast(stage.precision, self.team.device):
            seen = self.critic.network(windowed(image, self.critic.windows))
            judged = self.discriminator(windowed(image, self.config.data.windows))
        terms = {
            "seg": (
                loss.segmentor_weight,
                losses.recognition_loss(seen, item, self.critic.tumors, counts, loss),
            ),
            "fool": (
                loss.adversarial_weight,
                losses.fooling_loss(judged, item["hard"], counts, loss),
            ),
        }
        bounds = self.generator.bounds[item["organ"]]
        if loss.statistics > 0:
            value = losses.statistics_loss(image, item, self.statistics, counts)
            terms["stats"] = (loss.statistics, value)
        if loss.rim > 0:
            terms["rim"] = (loss.rim, losses.rim_loss(field, item["soft"], bounds, counts))
        if loss.procedural > 0 and number < loss.procedural_steps:
            weight = loss.procedural * (1.0 - number / loss.procedural_steps)
            value = losses.procedural_loss(change, item, bounds, counts)
            terms["procedural"] = (weight, value)
        return image, terms

    def discriminator_step(
        self, number: int, batches: list[Item], made: list[Tensor], counts: Counts
    ) -> dict[str, float]:
        """Update the discriminator on the same crops; nothing of the generator's step is left."""
        set_trainable(self.discriminator, trainable=True)
        self.judge.clear()
        loss, stage, windows = self.stage.loss, self.stage, self.config.data.windows
        told = {"disc": 0.0}
        for item, image in zip(batches, made, strict=True):
            with autocast(stage.precision, self.team.device):
                logits = self.discriminator(windowed(image, windows))
            target = losses.discriminator_targets(item)
            total = losses.discriminator_loss(logits, target, counts, loss)
            told["disc"] += float(total.detach())
            if loss.r1 > 0 and number % loss.r1_every == 0:
                seen = windowed(item["hu"], windows).requires_grad_()
                penalty = losses.r1_penalty(self.discriminator(seen), seen, item["real"], counts)
                total = total + loss.r1 * penalty
            self.judge.backward(total)
        self.judge.step()
        return told

    def _follow(self, number: int) -> None:
        """The moving average; it follows faster in the first steps."""
        decay = min(self.stage.ema, (1.0 + number) / (10.0 + number))
        with torch.no_grad():
            for slow, fast in zip(
                self.average.parameters(), self.generator.parameters(), strict=True
            ):
                slow.lerp_(fast, 1.0 - decay)


def _asked(item: Item) -> tuple[Tensor, ...]:
    """What the generator gets of a batch."""
    return item["hu"], item["soft"], item["noise"], item["organ"], item["procedural"]


def train_generator(
    config: TrainingConfig, *, team: Team, say: Say, resume: bool = False
) -> Result:
    """Run stage 2, or go on with it; the result is ``generator/generator.safetensors``.

    Raises:
        SynthesisError: bad data, no segmentor, a folder in use, or nothing to resume.
    """
    stage = config.generator
    check_precision(stage.precision, team.device)
    path = _segmentor_path(config)
    if not path.is_file() and stage.segmentor_first and not stage.segmentor:
        begun = (config.folder / SEGMENTOR / STATE).is_file()
        train_segmentor(config, team=team, say=say, resume=begun and resume)
    if not path.is_file():
        raise SynthesisError(
            f"There is no segmentor {path}; run train_segmentor with this configuration first, or "
            "name one with --set generator.segmentor=FILE."
        )
    critic = make_critic(load_checkpoint(path, kind="segmentor", device=str(team.device)), config)
    folder = open_folder(config, GENERATOR, resume=resume, team=team)
    pool = load_pool(config, team, say)
    statistics = list(statistics_of(config.data, pool).values())
    trainer = GeneratorTrainer(config, critic, statistics, team)
    print_ = fingerprint(config, GENERATOR, team.world)
    start = load_state(folder / STATE, trainer.trained, print_) if resume else 0
    keep_config(config, folder, team)
    scores = _loop(trainer, pool, folder, start, print_, say)
    return Result(folder / "generator.safetensors", scores, stage.steps)


def _segmentor_path(config: TrainingConfig) -> Path:
    named = config.generator.segmentor
    return Path(named) if named else config.folder / SEGMENTOR / "segmentor.safetensors"


def host_crops(config: TrainingConfig, pool: Pool, statistics: list[LesionStatistics]) -> Schedule:
    """Whose turn it is in stage 2: labelled and unlabelled volumes together."""
    return Schedule(
        pool.labelled,
        pool.unlabelled,
        repeats=config.data.labelled_repeats,
        lesion_share=config.generator.lesion_share,
        seed=config.seed,
        real_first=True,
    )


def _loop(
    trainer: GeneratorTrainer, pool: Pool, folder: Path, start: int, print_: str, say: Say
) -> dict[str, float]:
    config, stage, team = trainer.config, trainer.stage, trainer.team
    per_step = team.world * stage.accumulate * stage.batch
    until = stage.loss.procedural_steps if stage.loss.procedural > 0 else 0
    if trainer.architecture.hybrid:
        until = stage.steps
    crops = HostCrops(
        host_crops(config, pool, trainer.statistics),
        config.data,
        {o.name: s for o, s in zip(config.data.organs, trainer.statistics, strict=True)},
        noise_channels=stage.noise_channels,
        procedural_until=until * per_step,
        key=(config.seed, STREAM),
    )
    shards = Shards(
        start,
        stage.steps,
        batch=stage.batch,
        accumulate=stage.accumulate,
        rank=team.rank,
        world=team.world,
    )
    batches = load_crops(crops, shards, config.data.workers)
    watch = look.Monitor(
        folder,
        GENERATOR,
        start=start,
        steps=stage.steps,
        every=stage.log_every,
        team=team,
        say=say,
        tensorboard=config.tensorboard,
    )
    scores: dict[str, float] = {}
    if start == 0 and team.leads:
        watch.note(0, review.validate(trainer, pool))
    for number in range(start, stage.steps):
        values = trainer.step(number, [next(batches) for _ in range(stage.accumulate)])
        done, last = number + 1, number + 1 == stage.steps
        watch.step(done, values)
        if not team.leads:
            continue
        if last or _due(done, stage.validate_every):
            scores = review.validate(trainer, pool)
            watch.note(done, scores)
        if last or _due(done, stage.checkpoint_every):
            _save(trainer, folder, pool, done, scores)
            save_state(folder / STATE, trainer.trained, done, print_)
        if stage.samples_every and (last or _due(done, stage.samples_every)):
            review.save_samples(trainer, pool, folder / "samples" / f"{done:07d}.png")
    watch.close()
    team.wait()
    return scores


def _due(done: int, every: int) -> bool:
    return every > 0 and done % every == 0


def _save(
    trainer: GeneratorTrainer, folder: Path, pool: Pool, done: int, scores: dict[str, float]
) -> None:
    text = describe(trainer.config, trainer.stage, pool, trainer.team, done)
    notes = card_notes(text, scores, held_out=len(pool.validation))
    save_checkpoint(
        folder / "generator.safetensors",
        "generator",
        trainer.architecture,
        trainer.average.state_dict(),
        notes,
        storage=trainer.stage.storage,
    )
    save_checkpoint(
        folder / "discriminator.safetensors",
        "discriminator",
        trainer.discriminator_architecture,
        trainer.discriminator.state_dict(),
        notes,
    )
