"""The training itself: one loop for one process or many, which a kill does not set back far.

Crop ``n`` follows from ``n`` alone and the state holds weights and optimizer, so a run that was
killed and resumed ends with the weights of an unbroken one. Nothing is ever chosen by looking at
held-out volumes: the last weights (or their moving average) are the result.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from recognition.engine.checkpoints import save_checkpoint, save_tensors
from recognition.engine.errors import RecognitionError
from recognition.engine.interop import start_from
from recognition.engine.networks import build, faced, unfaced, windowed
from recognition.engine.training.config import TrainingConfig
from recognition.engine.training.crops import Crops, Synthesizer, cutmix
from recognition.engine.training.lists import Split, read_list, split
from recognition.engine.training.loss import dice_cross_entropy
from recognition.engine.training.team import Team, autocast
from recognition.engine.training.volumes import Volumes, write_failed

Say = Callable[[str], None]

STATE, CHECKPOINT, LOG = "state.safetensors", "network.safetensors", "log.jsonl"
_HEADER = "recognition.training"
#: Sections and keys that may change between the parts of one run.
_FREE = {"out", "device", "logging"}


@dataclass
class Report:
    """What a training ended with."""

    checkpoint: Path
    steps: int
    losses: list[float] = field(default_factory=list)
    inserted: int = 0
    rejected: int = 0


def train(
    config: TrainingConfig,
    team: Team,
    *,
    synthesizer: Synthesizer | None = None,
    resume: bool = False,
    say: Say = print,
) -> Report:
    """Train until ``config.optimizer.steps``.

    Raises:
        RecognitionError: the lists, the volumes or the state cannot be used, or the loss is NaN.
    """
    folder = Path(config.out)
    if (folder / STATE).is_file() and not resume:
        raise RecognitionError(
            f"{folder} already holds a run; add --resume to go on with it, or choose another "
            "folder."
        )
    if config.optimizer.precision == "fp16" and team.device.type != "cuda":
        raise RecognitionError("fp16 needs a GPU; set optimizer.precision to bf16 or fp32.")
    crops, cut = _crops(config, team, synthesizer, say)
    run = _Run(config, team, folder, cut, say)
    start = run.load() if resume else 0
    if team.leads:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "splits.json").write_text(json.dumps(cut.document, indent=1), encoding="utf-8")
        (folder / "config.json").write_text(config.model_dump_json(indent=1), encoding="utf-8")
    say(
        f"{len(cut.train)} labelled volumes to train on, {len(cut.test)} held out; "
        f"{sum(p.numel() for p in run.network.parameters()) / 1e6:.1f} M parameters"
    )
    return run.go(crops, start, say)


def _crops(
    config: TrainingConfig, team: Team, synthesizer: Synthesizer | None, say: Say
) -> tuple[Crops, Split]:
    data = config.data
    read = [e for name in data.labelled for e in read_list(name, data.classes, tumors=True)]
    free = [e for name in data.unlabelled for e in read_list(name, data.classes, tumors=False)]
    free += [e for name in data.made for e in read_list(name, data.classes, tumors=True)]
    cut = split(read, data.folds, data.fold, config.seed)
    if not cut.train and not free:
        raise RecognitionError("There are no volumes to train on; name lists in data.labelled.")
    cache = Path(data.cache) if data.cache else Path(config.out).parent / "cache"
    labelled = Volumes(cut.train, data.spacing_mm, cache)
    unlabelled = Volumes(free, data.spacing_mm, cache)
    failed: dict[str, str] = {}
    for volumes in (labelled, unlabelled):
        failed |= volumes.prepare(team.rank, team.world, say if team.leads else lambda _: None)
    _refuse(failed, cache, team)
    return Crops(config, labelled, unlabelled, synthesizer), cut


def _refuse(failed: dict[str, str], cache: Path, team: Team) -> None:
    """End every process when one of them met volumes that cannot be used.

    Raises:
        RecognitionError: the sentence of the only one, or where all of them are listed.
    """
    listed = cache / f"failed-{team.rank}.csv"
    write_failed(listed, failed)
    count = round(team.mean(len(failed)) * team.world)  # and waits for the slowest share
    if not count:
        return
    if count == len(failed) == 1:
        raise RecognitionError(next(iter(failed.values())))
    raise RecognitionError(
        f"{count} volumes cannot be used; {cache}/failed-*.csv says why of each. Repair them or "
        "leave them out; what is prepared stays prepared."
    )


class _Run:
    def __init__(
        self, config: TrainingConfig, team: Team, folder: Path, cut: Split, say: Say
    ) -> None:
        self.config, self.team, self.folder, self.cut = config, team, folder, cut
        self.network = build(config.network_config, config.seed).to(team.device)
        if config.network.start:
            start_from(Path(config.network.start), self.network, config.network_config, say)
        self.average = copy.deepcopy(self.network) if config.optimizer.ema else None
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=config.optimizer.lr,
            weight_decay=config.optimizer.weight_decay,
        )
        #: Synthetic lesions inserted and rejected since the first step, across resumes.
        self.made = (0, 0)
        fp16 = config.optimizer.precision == "fp16"
        self.scaler = torch.amp.GradScaler(team.device.type, enabled=fp16)
        kept = config.model_dump(mode="json", exclude=_FREE)
        for key in ("cache", "workers"):
            kept["data"].pop(key)
        kept["split"] = cut.document["sha256"]
        kept["batch"] = config.optimizer.batch * team.world
        kept["optimizer"].pop("batch")
        self.print = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()

    # ------------------------------------------------------------------------------- the loop
    def go(self, crops: Crops, start: int, say: Say) -> Report:
        config, team, steps = self.config, self.team, self.config.optimizer.steps
        network: nn.Module = self.network
        if team.world > 1:
            ids = [team.device.index] if team.device.type == "cuda" else None
            network = DistributedDataParallel(self.network, device_ids=ids)
        network.train()
        report = Report(
            self.folder / CHECKPOINT, steps, inserted=self.made[0], rejected=self.made[1]
        )
        begun, told = time.monotonic(), []
        with _events(self.folder, on=config.logging.tensorboard and team.leads) as write:
            for step, batch in enumerate(self._batches(crops, start), start):
                loss = self._step(network, batch, step)
                told.append(loss)
                report.inserted += int((batch["synthetic"] > 0).sum())
                report.rejected += int((batch["synthetic"] < 0).sum())
                self.made = (report.inserted, report.rejected)
                done = step + 1
                if done % config.logging.log_every == 0 or done == steps:
                    mean = team.mean(float(np.mean(told)))
                    told = []
                    report.losses.append(mean)
                    seconds = (time.monotonic() - begun) / (done - start)
                    self._log(done, mean, report, seconds, say)
                    write(done, mean)
                if done % config.logging.checkpoint_every == 0 or done == steps:
                    self.save(done)
        self._finish(say)
        return report

    def _batches(self, crops: Crops, start: int) -> Iterator[dict[str, Any]]:
        size, team = self.config.optimizer.batch, self.team
        numbers = [
            (step * team.world + team.rank) * size + k
            for step in range(start, self.config.optimizer.steps)
            for k in range(size)
        ]
        workers = self.config.data.workers
        yield from DataLoader(crops, batch_size=size, sampler=numbers, num_workers=workers)

    def _step(self, network: nn.Module, batch: dict[str, Any], step: int) -> float:
        config, device = self.config, self.team.device
        rng = np.random.default_rng([config.seed, 2, step * self.team.world + self.team.rank])
        cutmix(batch, rng, config.sampling.cutmix)
        hu, label, annotated = (batch[k].to(device) for k in ("hu", "label", "annotated"))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(config, step)
        with autocast(config.optimizer.precision, device):
            shown = faced(windowed(hu, config.data.windows_hu), config.network.axes)
            logits: Tensor = unfaced(network(shown), config.network.axes)
        loss = dice_cross_entropy(logits, label, annotated)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise RecognitionError(
                f"The loss is no number any more at step {step + 1}; lower optimizer.lr or use "
                "precision fp32, and resume."
            )
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            _follow(self.average, self.network, config.optimizer.ema)
        return value

    def _log(self, done: int, loss: float, report: Report, seconds: float, say: Say) -> None:
        if not self.team.leads:
            return
        row = {"step": done, "loss": loss, "inserted": report.inserted, "rejected": report.rejected}
        with (self.folder / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        left = seconds * (self.config.optimizer.steps - done)
        made = f", {report.inserted} lesions made, {report.rejected} rejected"
        say(
            f"step {done} of {self.config.optimizer.steps}: loss {loss:.4f}"
            f"{made if report.inserted + report.rejected else ''}, {seconds:.2f} s a step, "
            f"about {left / 60:.0f} min left"
        )

    # --------------------------------------------------------------------------------- on disk
    def save(self, step: int) -> None:
        """The state after ``step`` steps, for a later ``load``."""
        if not self.team.leads:
            return
        tensors = {f"network/{k}": v for k, v in self.network.state_dict().items()}
        if self.average is not None:
            tensors |= {f"average/{k}": v for k, v in self.average.state_dict().items()}
        for index, slots in self.optimizer.state_dict()["state"].items():
            for slot, value in slots.items():
                tensors[f"optimizer/{index}/{slot}"] = torch.as_tensor(value)
        header = {
            "step": step,
            "made": self.made,
            "fingerprint": self.print,
            "scaler": self.scaler.state_dict(),
        }
        save_tensors(self.folder / STATE, tensors, {_HEADER: json.dumps(header)})

    def load(self) -> int:
        """Continue from the state on disk: the number of steps done."""
        from safetensors import SafetensorError, safe_open

        path = self.folder / STATE
        if not path.is_file():
            raise RecognitionError(f"There is nothing to resume in {self.folder}; start anew.")
        try:
            with safe_open(path, framework="pt") as stream:
                header = json.loads((stream.metadata() or {})[_HEADER])
                tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise RecognitionError(f"{path} is damaged; start anew without --resume.") from error
        if header["fingerprint"] != self.print:
            raise RecognitionError(
                f"{path} belongs to a run with other settings or data; resume with the same ones, "
                "or choose another folder."
            )
        self.network.load_state_dict(_part(tensors, "network/"))
        if self.average is not None:
            self.average.load_state_dict(_part(tensors, "average/"))
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in _part(tensors, "optimizer/").items():
            index, slot = key.split("/")
            state.setdefault(int(index), {})[slot] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        if header["scaler"]:
            self.scaler.load_state_dict(header["scaler"])
        inserted, rejected = header.get("made", (0, 0))
        self.made = (int(inserted), int(rejected))
        return int(header["step"])

    def _finish(self, say: Say) -> None:
        if not self.team.leads:
            return
        config = self.config
        names = ", ".join(sorted({Path(n).name for n in (*config.data.labelled,)})) or "no list"
        notes = {
            "training": f"{config.optimizer.steps} steps of "
            f"{config.optimizer.batch * self.team.world} crops on {len(self.cut.train)} labelled "
            f"volumes ({names}); synthesizer {config.synthesizer}; seed {config.seed}.",
            "held_out": f"fold {config.data.fold}: {len(self.cut.test)} volumes; nothing was "
            "chosen by looking at them.",
            "split_sha256": self.cut.document["sha256"],
        }
        kept = self.average if self.average is not None else self.network
        path = self.folder / CHECKPOINT
        save_checkpoint(path, config.network_config, kept.state_dict(), notes)
        say(f"Written: {path}")


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Linear warm-up, then a cosine to zero."""
    o = config.optimizer
    if step < o.warmup:
        return o.lr * (step + 1) / (o.warmup + 1)
    done = (step - o.warmup) / max(o.steps - o.warmup, 1)
    return o.lr * 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))


def _follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    with torch.no_grad():
        for ours, theirs in zip(average.parameters(), network.parameters(), strict=True):
            ours.lerp_(theirs, 1.0 - decay)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


@contextmanager
def _events(folder: Path, *, on: bool) -> Iterator[Callable[[int, float], None]]:
    """Writes the loss for TensorBoard, where its writer is installed."""
    writer: Any = None
    if on:
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            on = False
        else:
            writer = SummaryWriter(str(folder / "events"))

    def write(step: int, loss: float) -> None:
        if writer is not None:
            writer.add_scalar("loss", loss, step)

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()
