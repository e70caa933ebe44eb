"""Runs a study: every part is trained and tested once, whatever was interrupted before.

A part's folder holds the training's own files, a result per scan, and ``result.json`` when all is
done. A killed study goes on in the middle of a training; a part that is done is not touched; a
part that fails is told, and the others go on.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from monai.transforms.compose import Compose
from monai.transforms.io.dictionary import LoadImaged
from monai.transforms.spatial.dictionary import Orientationd
from monai.transforms.utility.dictionary import EnsureChannelFirstd
from numpy.typing import NDArray

from recognition.engine.arrays import Hu, Spacing
from recognition.engine.checkpoints import Loaded, file_sha256, load_checkpoint
from recognition.engine.detection import HIT_RULES, Detection, HitRule, Target, match
from recognition.engine.errors import RecognitionError
from recognition.engine.evaluation import Scan
from recognition.engine.inference import recognize
from recognition.engine.lesions import find_lesions
from recognition.engine.overlap import dice
from recognition.engine.training.crops import Synthesizer
from recognition.engine.training.lists import Entry
from recognition.engine.training.loop import CHECKPOINT, STATE, train
from recognition.engine.training.team import Team
from recognition.engine.utility.config import Evaluation, Source, StudyConfig
from recognition.engine.utility.plan import (
    Part,
    fingerprint,
    held_out_entries,
    parts_of,
    training_of,
)

Say = Callable[[str], None]
#: A synthesizer for a source, with the quality gate or without.
MakeSynthesizer = Callable[[Source, bool], Synthesizer]

RESULT = "result.json"


@dataclass(frozen=True)
class Done:
    """What one part ended with."""

    part: Part
    scans: tuple[Scan, ...]
    steps: int
    labelled: int
    inserted: int
    rejected: int
    seconds: float
    checkpoint_sha256: str


@dataclass
class Progress:
    """All parts of a study: done, and failed with a sentence."""

    done: list[Done] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    found: int = 0


def run_parts(
    config: StudyConfig,
    team: Team,
    make: MakeSynthesizer,
    *,
    share: tuple[int, int] = (1, 1),
    say: Say = print,
) -> Progress:
    """Train and test what is missing, and read what is there.

    Args:
        config: the study; its phantoms are made already.
        team: one process, or those of torchrun: all train together and share the test scans.
        make: who makes lesions.
        share: ``(i, n)``: only every n-th missing part from the i-th on, so that n machines with
            one folder can divide a study.
        say: told progress and the time left.

    Raises:
        RecognitionError: a folder holds results of another configuration.
    """
    parts = parts_of(config)
    progress = Progress()
    mine = [part for k, part in enumerate(parts) if k % share[1] == share[0] - 1]
    todo = []
    for part in mine:
        found = read_part(config, part)
        if found is None:
            todo.append(part)
        else:
            progress.done.append(found)
    progress.found = len(progress.done)
    if progress.found:
        say(f"{progress.found} of {len(mine)} trainings were done before.")
    begun = time.monotonic()
    for number, part in enumerate(todo):
        left = _left(begun, number, len(todo))
        say(f"Training {number + 1} of {len(todo)}: {part.name}{left}")
        try:
            progress.done.append(_do(config, part, team, make, say))
        except RecognitionError as error:
            progress.failed[part.name] = str(error)
            say(f"{part.name}: {error}")
    order = {part.name: k for k, part in enumerate(parts)}
    progress.done.sort(key=lambda done: order[done.part.name])
    return progress


def read_part(config: StudyConfig, part: Part) -> Done | None:
    """The result of a part, or None when it is not done.

    Raises:
        RecognitionError: the folder holds one of another configuration.
    """
    path = part.folder(Path(config.out)) / RESULT
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RecognitionError(f"{path} is damaged ({error}); delete it.") from error
    wanted = fingerprint(training_of(config, part), config, part)
    if stored.pop("fingerprint") != wanted:
        raise RecognitionError(
            f"{path.parent} holds results of other settings or data; choose another --out, or "
            "delete that folder."
        )
    scans = tuple(_scan(one) for one in stored.pop("scans"))
    stored.pop("part")
    return Done(part=part, scans=scans, **stored)


# ---------------------------------------------------------------------------------- one part
def _do(config: StudyConfig, part: Part, team: Team, make: MakeSynthesizer, say: Say) -> Done:
    begun = time.monotonic()
    training = training_of(config, part)
    wanted = fingerprint(training, config, part)
    folder = part.folder(Path(config.out))
    source = part.arm.source
    synthesizer = None
    if source is not None and source.kind != "volumes":
        synthesizer = make(source, part.arm.gate)
    resume = (folder / STATE).is_file()
    report = train(training, team, synthesizer=synthesizer, resume=resume, say=_steps(say))
    team.wait()  # the leading process writes the weights
    loaded = load_checkpoint(folder / CHECKPOINT, device=team.device)
    entries = held_out_entries(config, part)
    _test(folder, loaded, entries[team.rank :: team.world], config, team, wanted)
    scans = [json.loads(_scan_path(folder, e).read_text("utf-8"))["scan"] for e in entries]
    document: dict[str, Any] = {
        "steps": report.steps,
        "labelled": _labelled(folder),
        "inserted": report.inserted,
        "rejected": report.rejected,
        "seconds": round(time.monotonic() - begun, 1),
        "checkpoint_sha256": file_sha256(folder / CHECKPOINT),
    }
    if team.leads:
        whole = {"part": part.name, "fingerprint": wanted, **document, "scans": scans}
        _write(folder / RESULT, whole)
    team.wait()
    return Done(part=part, scans=tuple(_scan(one) for one in scans), **document)


def _test(
    folder: Path,
    loaded: Loaded,
    entries: Sequence[Entry],
    config: StudyConfig,
    team: Team,
    wanted: str,
) -> None:
    """This process's share of the test scans; none waits for one that failed."""
    made_of = {"fingerprint": wanted, "network": loaded.sha256}
    crop = config.training.data.crop
    fault = ""
    try:
        for entry in entries:
            path = _scan_path(folder, entry)
            if not _is_there(path, made_of):
                scan = asdict(measure_scan(loaded, entry, config.evaluation, crop))
                _write(path, made_of | {"scan": scan})
    except RecognitionError as error:
        fault = str(error)
    if team.mean(float(bool(fault))) > 0:
        raise RecognitionError(fault or "Another process could not test its scans.")


def measure_scan(
    loaded: Loaded, entry: Entry, how: Evaluation, window: tuple[int, int, int]
) -> Scan:
    """One held-out scan, on its own grid.

    Windows are as large as the crops learned from: networks normalize over what they see.

    Raises:
        RecognitionError: its files cannot be read.
    """
    hu, label, spacing = read_scan(entry)
    found = recognize(loaded, hu, spacing, roi=window, overlap=how.overlap, threshold=how.threshold)
    numbers, lesions = find_lesions(
        found.mask, spacing, probability=found.probability, smallest_mm=how.smallest_mm
    )
    tumor = (label > 0) & (label % 2 == 0)
    true, truths = find_lesions(tumor, spacing)
    sure = (found.probability >= 0.5) & (numbers > 0)
    return Scan(
        name=entry.image.name,
        patient=entry.patient,
        dice=dice(sure, tumor),
        surface=None,
        detections={rule: match(numbers, lesions, true, truths, rule) for rule in HIT_RULES},
        reference_lesions=len(truths),
        predicted_lesions=len(lesions),
        reference_ml=sum(lesion.volume_ml for lesion in truths),
        predicted_ml=sum(lesion.volume_ml for lesion in lesions),
    )


def read_scan(entry: Entry) -> tuple[Hu, NDArray[np.uint8], Spacing]:
    """HU and classes (z, y, x) on the scanner's grid, turned to LPS, and its spacing (x, y, z)."""
    keys = ["image", "label"]
    steps = [
        LoadImaged(keys),
        EnsureChannelFirstd(keys),
        Orientationd(keys, axcodes="LPS", labels=(("R", "L"), ("A", "P"), ("I", "S"))),
    ]
    try:
        item: Any = Compose(steps)({"image": str(entry.image), "label": str(entry.label)})
    except Exception as error:
        raise RecognitionError(
            f"{entry.image} or {entry.label} cannot be read as a volume and its mask "
            f"({type(error).__name__}); repair or leave it out."
        ) from error
    hu = np.asarray(item["image"][0]).transpose(2, 1, 0)
    raw = np.asarray(item["label"][0]).transpose(2, 1, 0)
    if hu.shape != raw.shape:
        raise RecognitionError(f"{entry.label} is not on the grid of {entry.image}; resample it.")
    table = np.zeros(256, np.uint8)
    for value, to in entry.values:
        table[value] = to
    label = table[np.clip(np.rint(raw), 0, 255).astype(np.uint8)]
    x, y, z = (float(s) for s in np.linalg.norm(np.asarray(item["image"].affine)[:3, :3], axis=0))
    return np.clip(np.rint(hu), -1024, 3071).astype(np.int16), label, (x, y, z)


# ------------------------------------------------------------------------------------ on disk
def _scan_path(folder: Path, entry: Entry) -> Path:
    own = hashlib.sha256(str(entry.image.resolve()).encode()).hexdigest()[:8]
    return folder / "scans" / f"{entry.image.name.split('.')[0]}-{own}.json"


def _is_there(path: Path, made_of: dict[str, str]) -> bool:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return all(stored.get(key) == value for key, value in made_of.items())


def _write(path: Path, document: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    beside.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    beside.replace(path)


def _scan(stored: dict[str, Any]) -> Scan:
    detections: dict[HitRule, Detection] = {
        rule: Detection(
            rule=one["rule"],
            targets=tuple(Target(**target) for target in one["targets"]),
            false_positives=tuple(one["false_positives"]),
            rating=one["rating"],
        )
        for rule, one in stored["detections"].items()
    }
    return Scan(**{**stored, "detections": detections})


def _labelled(folder: Path) -> int:
    document = json.loads((folder / "splits.json").read_text(encoding="utf-8"))
    return sum(row["fold"] != document["held_out"] for row in document["volumes"])


def _steps(say: Say) -> Say:
    """Of what a training tells only its steps: a study has many trainings."""

    def only(line: str) -> None:
        if line.startswith("step "):
            say(f"  {line}")

    return only


def _left(begun: float, done: int, total: int) -> str:
    if not done:
        return ""
    seconds = (time.monotonic() - begun) / done * (total - done)
    minutes = f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
    return f" (about {minutes} left for all)"
