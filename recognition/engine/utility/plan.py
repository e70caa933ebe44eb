"""From a configuration to arms and trainings: who learns from what, under which name."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recognition.engine.errors import RecognitionError
from recognition.engine.training.config import TrainingConfig
from recognition.engine.training.lists import Entry, read_list, split
from recognition.engine.utility.config import ArmKind, Source, StudyConfig


@dataclass(frozen=True)
class Arm:
    """One way to train. ``source`` is None without synthesis, ``scale`` the share of hosts."""

    kind: ArmKind
    source: Source | None = None
    scale: float = 1.0
    gate: bool = True

    @property
    def name(self) -> str:
        """As it stands in tables and figures."""
        if self.kind == "real":
            return "real only"
        if self.kind == "healthy":
            return "real + healthy hosts"
        assert self.source is not None  # noqa: S101 - the plan gives these arms a source
        if self.kind == "synthetic":
            return f"{self.source.name} only"
        scale = "" if self.scale == 1 else f", {self.scale:.0%} of hosts"
        return f"real + {self.source.name}{scale}{'' if self.gate else ', no gate'}"

    @property
    def slug(self) -> str:
        """As a folder's name."""
        return re.sub(r"[^a-z0-9.%]+", "-", self.name.lower()).replace("%", "pc").strip("-")


@dataclass(frozen=True)
class Part:
    """One training of a study and the scans it is tested on. ``fold`` -1: all there are."""

    arm: Arm
    seed: int
    fold: int

    @property
    def name(self) -> str:
        fold = f", fold {self.fold}" if self.fold >= 0 else ""
        return f"{self.arm.name}, seed {self.seed}{fold}"

    def folder(self, out: Path) -> Path:
        fold = f"_fold-{self.fold}" if self.fold >= 0 else ""
        return out / "runs" / self.arm.slug / f"seed-{self.seed}{fold}"


def arms_of(config: StudyConfig) -> tuple[Arm, ...]:
    """Every arm, real only first."""
    out = [Arm(kind) for kind in ("real", "healthy") if kind in config.arms]
    for source in config.sources:
        if "synthetic" in config.arms:
            out.append(Arm("synthetic", source))
        if "both" in config.arms:
            out.extend(Arm("both", source, scale) for scale in sorted(config.scales))
            if config.ungated and source.kind != "volumes":
                out.append(Arm("both", source, max(config.scales), gate=False))
    return tuple(out)


def parts_of(config: StudyConfig) -> tuple[Part, ...]:
    """Every training, seed by seed: a study stopped half-way has whole seeds to show.

    Without real lesions to hold out, one training of a synthetic arm is tested on every fold.
    """
    folds = range(config.training.data.folds)
    out: list[Part] = []
    for seed in config.seeds:
        for arm in arms_of(config):
            whole = bool(config.test) or arm.kind == "synthetic"
            out.extend(Part(arm, seed, fold) for fold in ([-1] if whole else folds))
    return tuple(out)


def contrasts_of(config: StudyConfig) -> tuple[tuple[Arm, Arm, str], ...]:
    """Every comparison of a study: an arm, what it is held against, and the question."""
    arms = arms_of(config)
    real = arms[0]
    words = {"healthy": "more scans", "synthetic": "instead of real", "both": "added to real"}
    out = [(arm, real, words[arm.kind]) for arm in arms[1:]]
    full = [a for a in arms if a.kind == "both" and a.gate and a.scale == max(config.scales)]
    for arm in arms:
        for best in full:
            if arm.kind == "healthy":
                out.append((best, arm, "lesions, not scans"))
            elif arm.kind == "both" and arm.source == best.source and not arm.gate:
                out.append((best, arm, "gate"))
            elif arm.kind == "both" and arm.source == best.source and arm.scale < best.scale:
                out.append((best, arm, "scale"))
    out += [(b, a, "source") for k, a in enumerate(full) for b in full[k + 1 :]]
    return tuple(out)


def training_of(config: StudyConfig, part: Part) -> TrainingConfig:
    """What ``train`` gets for one part; the lists of its share of hosts are written if missing.

    Raises:
        RecognitionError: a list cannot be read, or an arm has nothing to learn from.
    """
    out, arm = Path(config.out), part.arm
    document = config.training.model_dump(mode="json")
    data = document["data"]
    hosts, made = list(data["unlabelled"]), list(data["made"])
    if arm.kind == "real":
        hosts, made = [], []
    if arm.source is not None and arm.source.kind == "volumes":
        hosts, made = [], [*arm.source.volumes]
    if arm.scale < 1:
        hosts = [str(_share(Path(name), arm.scale, out / "lists")) for name in hosts]
        made = [str(_share(Path(name), arm.scale, out / "lists")) for name in made]
    if arm.kind != "real" and not hosts and not made:
        raise RecognitionError(
            f"The arm {arm.name!r} has no hosts; name lists of tumor-free volumes in "
            "training.data.unlabelled."
        )
    if arm.kind == "synthetic":
        data["labelled"] = []
    data |= {
        "unlabelled": hosts,
        "made": made,
        "fold": part.fold if data["labelled"] else -1,
        "cache": data["cache"] or str(out / "cache"),
    }
    document |= {"out": str(part.folder(out)), "seed": part.seed}
    if arm.source is not None and arm.source.kind != "volumes":
        document |= {
            "synthesizer": arm.source.kind,
            "synthesizer_checkpoint": arm.source.checkpoint,
        }
    return TrainingConfig.model_validate(document)


def held_out_entries(config: StudyConfig, part: Part) -> tuple[Entry, ...]:
    """The scans a part is tested on: those of the test lists, or of its fold.

    The folds are those of ``train``: cut by patient from the same lists and seed.
    """
    data = config.training.data
    if config.test:
        return tuple(e for name in config.test for e in read_list(name, data.classes, tumors=True))
    read = [e for name in data.labelled for e in read_list(name, data.classes, tumors=True)]
    if part.fold < 0:
        return tuple(read)
    return split(read, data.folds, part.fold, part.seed).test


def check_apart(config: StudyConfig) -> None:
    """No scan or patient may be learned from and tested on.

    Raises:
        RecognitionError: naming the first that is.
    """
    data = config.training.data
    sources = [name for source in config.sources for name in source.volumes]

    def known(names: Sequence[str], *, tumors: bool) -> list[tuple[str, Entry]]:
        return [(n, e) for n in names for e in read_list(n, data.classes, tumors=tumors)]

    learned = known(data.unlabelled, tumors=False) + known([*data.made, *sources], tumors=True)
    tested = known(config.test or data.labelled, tumors=True)
    if config.test:
        learned += known(data.labelled, tumors=True)
    if not tested:
        raise RecognitionError(
            "There is nothing to test on; name lists in test, or in training.data.labelled."
        )
    for key in ("image", "patient"):
        held = {str(getattr(entry, key)): name for name, entry in tested}
        for name, entry in learned:
            value = str(getattr(entry, key))
            # without a patient an entry is its own file's, whose name another list may use too
            own = Path(name).parent / entry.patient == entry.image
            if value in held and not (key == "patient" and own):
                raise RecognitionError(
                    f"{value} stands in {name}, which is learned from, and in {held[value]}, "
                    "which is tested on; take it out of one."
                )


def fingerprint(config: TrainingConfig, study: StudyConfig, part: Part) -> str:
    """Everything a part's result follows from, as a hash: other results are not its own."""
    document = config.model_dump(mode="json", exclude={"out", "device", "logging"})
    for key in ("cache", "workers", "labelled", "unlabelled", "made"):
        document["data"].pop(key)
    data = config.data
    document["lists"] = [  # what they say, not where they lie: a study may be moved
        [_hash(Path(name)) for name in names]
        for names in (data.labelled, data.unlabelled, data.made, study.test)
    ]
    document["evaluation"] = study.evaluation.model_dump(mode="json")
    document["gate"] = part.arm.gate
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _share(path: Path, scale: float, folder: Path) -> Path:
    """A list with the first ``scale`` of ``path`` in a seeded order: small shares lie in large."""
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        items = [i for part in ("training", "unlabelled") for i in document.get(part, [])]
        resolved = [
            {**item, **{key: str(path.parent.resolve() / item[key]) for key in ("image", "label")}}
            for item in items
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecognitionError(f"{path} is no list of volumes ({error}); correct it.") from error
    order = np.random.default_rng(len(resolved)).permutation(len(resolved))
    kept = sorted(order[: max(1, math.ceil(scale * len(resolved)))].tolist())
    document = {"labels": document.get("labels"), "training": [resolved[k] for k in kept]}
    text = json.dumps(document, indent=1)
    name = hashlib.sha256(f"{path.resolve()}{scale}".encode()).hexdigest()[:8]
    target = folder / f"{path.stem}-{scale:g}-{name}.json"
    if not target.is_file() or target.read_text(encoding="utf-8") != text:
        folder.mkdir(parents=True, exist_ok=True)
        beside = target.with_suffix(".part")
        beside.write_text(text, encoding="utf-8")
        beside.replace(target)
    return target
