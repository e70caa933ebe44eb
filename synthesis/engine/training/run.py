"""What both stages share: the run's folder, its volumes, and what is written into checkpoints."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from synthesis.engine.errors import SynthesisError
from synthesis.engine.training.config import Steps, TrainingConfig
from synthesis.engine.training.lists import read_lists
from synthesis.engine.training.monitor import write_beside
from synthesis.engine.training.reading import to_yaml
from synthesis.engine.training.team import Team
from synthesis.engine.training.volumes import Pool, prepare_pool

Say = Callable[[str], None]

STATE = "state.safetensors"
#: Folder of each stage in the run's.
SEGMENTOR, GENERATOR = "segmentor", "generator"


@dataclass(frozen=True)
class Result:
    """What a stage ended with: the checkpoint file, the held-out scores, the last step."""

    checkpoint: Path
    scores: dict[str, float]
    steps: int


def open_folder(config: TrainingConfig, stage: str, *, resume: bool, team: Team) -> Path:
    """The folder of a stage. A finished or broken run is never overwritten.

    Raises:
        SynthesisError: a run is there and ``resume`` is not set.
    """
    folder = config.folder / stage
    if (folder / STATE).is_file() and not resume:
        raise SynthesisError(
            f"{folder} already holds a run; add --resume to go on with it, or choose another "
            "folder with --set out=DIR."
        )
    return folder


def keep_config(config: TrainingConfig, folder: Path, team: Team) -> None:
    """Write the whole configuration beside the results, once nothing else can be wrong."""
    team.wait()
    if team.leads:
        write_beside(folder / "config.yaml", to_yaml(config).encode())


def load_pool(config: TrainingConfig, team: Team, say: Say) -> Pool:
    """All volumes of the run; the leading process prepares them first, the others find them."""
    data = config.data
    lists = read_lists(data.labelled, data.unlabelled, data.classes)
    cache = Path(data.cache) if data.cache else config.folder.parent / "cache"
    if not team.leads:
        team.wait()
    pool = prepare_pool(lists, data, cache, config.seed, say if team.leads else _silent)
    if team.leads:
        team.wait()
    return pool


def _silent(_: str) -> None:
    """Processes other than the first say nothing."""


def describe(config: TrainingConfig, stage: Steps, pool: Pool, team: Team, done: int) -> str:
    """The training in plain words, for the model card."""
    lesions = sum(len(volume.lesions) for volume in pool.labelled)
    phantoms = config.data.phantoms
    made = phantoms.labelled + phantoms.unlabelled
    device = (
        torch.cuda.get_device_name(team.device)
        if team.device.type == "cuda"
        else f"CPU ({platform.machine()})"
    )
    return (
        f"{done} steps of {team.world * stage.batch * stage.accumulate} crops on "
        f"{len(pool.labelled)} labelled ({lesions} lesions) and {len(pool.unlabelled)} unlabelled "
        f"volumes, {made} of them procedural phantoms; {device}, {stage.precision}, "
        f"{team.world} process{'es' if team.world > 1 else ''}, seed {config.seed}, "
        f"torch {torch.__version__}."
    )


def card_notes(training: str, scores: dict[str, float], *, held_out: int) -> dict[str, str]:
    """Notes that travel in the checkpoint and end up on its model card."""
    if scores:
        listed = ", ".join(f"{name} {value:.3f}" for name, value in scores.items())
        training += f" On crops of {held_out} held-out volumes: {listed}."
    else:
        training += " No held-out volumes were given, so no scores are known."
    return {
        "training": training,
        "limits": "Not examined beyond the scores above: look at what it makes, and test it with "
        "readers, before relying on it.",
    }
