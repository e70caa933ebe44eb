"""What a run needs to go on after a kill: weights, optimizers, step, and nothing else.

One safetensors file, written beside and renamed: after a kill there is the old state or the new
one. No random state is kept, since every crop follows from its index.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from synthesis.engine.errors import SynthesisError
from synthesis.engine.training.config import TrainingConfig
from synthesis.engine.training.team import Updater

_HEADER = "synthesis.training"
#: Keys that may change between the parts of one run.
_FREE = ("out", "device", "tensorboard")
_FREE_OF_STAGE = (
    "storage",
    "checkpoint_every",
    "log_every",
    "samples_every",
    "validate_every",
    "validation_crops",
)


@dataclass
class Trained:
    """Everything that changes while training: networks with their updaters, other networks."""

    updaters: dict[str, Updater]
    networks: dict[str, nn.Module]

    def tensors(self) -> dict[str, Tensor]:
        out: dict[str, Tensor] = {}
        for name, network in self.networks.items():
            for key, value in network.state_dict().items():
                out[f"network/{name}/{key}"] = value
        for name, updater in self.updaters.items():
            for index, slots in updater.optimizer.state_dict()["state"].items():
                for slot, value in slots.items():
                    out[f"optimizer/{name}/{index}/{slot}"] = torch.as_tensor(value)
        return {key: value.detach().cpu().contiguous().clone() for key, value in out.items()}

    def load(self, tensors: Mapping[str, Tensor], scales: Mapping[str, Any]) -> None:
        for name, network in self.networks.items():
            prefix = f"network/{name}/"
            network.load_state_dict(
                {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            )
        for name, updater in self.updaters.items():
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in tensors.items():
                kind, owner, *rest = key.split("/")
                if kind == "optimizer" and owner == name:
                    state.setdefault(int(rest[0]), {})[rest[1]] = value
            groups = updater.optimizer.state_dict()["param_groups"]
            updater.optimizer.load_state_dict({"state": state, "param_groups": groups})
            if scales.get(name):
                updater.scaler.load_state_dict(scales[name])

    def scales(self) -> dict[str, Any]:
        return {name: updater.scaler.state_dict() for name, updater in self.updaters.items()}


def fingerprint(config: TrainingConfig, stage: str, world: int) -> str:
    """Of everything that a continued run must not change (places and intervals may)."""
    kept = config.model_dump(mode="json", exclude={*_FREE, "segmentor", "generator"})
    kept["data"].pop("cache")
    kept["data"].pop("workers")
    own = config.model_dump(mode="json")[stage]
    kept[stage] = {k: v for k, v in own.items() if k not in _FREE_OF_STAGE}
    # A step's crops may be shared out differently, as long as they are as many.
    kept["crops_per_step"] = world * kept[stage].pop("batch") * kept[stage].pop("accumulate")
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def save_state(path: Path, trained: Trained, step: int, print_: str) -> None:
    """Write the state after ``step`` steps beside ``path`` and rename it."""
    from safetensors.torch import save_file

    header = {"step": step, "fingerprint": print_, "scales": trained.scales()}
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        save_file(trained.tensors(), beside, metadata={_HEADER: json.dumps(header)})
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def load_state(path: Path, trained: Trained, print_: str) -> int:
    """Continue from ``path``: the number of steps done.

    Raises:
        SynthesisError: there is no state, it is damaged, or it belongs to other settings.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise SynthesisError(
            f"There is nothing to resume: {path} does not exist; start without --resume."
        )
    try:
        with safe_open(path, framework="pt") as stream:
            header = json.loads((stream.metadata() or {})[_HEADER])
            if header["fingerprint"] != print_:
                raise SynthesisError(
                    f"{path} belongs to a run with other settings or another number of "
                    "crops per step; resume with the same ones, or start in another folder."
                )
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
            step = int(header["step"])
        trained.load(tensors, header["scales"])
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        raise SynthesisError(
            f"{path} is damaged ({type(error).__name__}); start anew without --resume."
        ) from error
    return step
