"""One process or many: torchrun's environment, and where to compute."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta

import torch

from recognition.engine.errors import RecognitionError

#: Of a process for the others: shares of a cache take hours, and not the same number of them.
_PATIENCE = timedelta(days=2)


@dataclass(frozen=True)
class Team:
    """This process among all. ``Team()`` is alone on the CPU."""

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def leads(self) -> bool:
        """Whether this process writes files and lines."""
        return self.rank == 0

    def mean(self, value: float) -> float:
        """The mean of a number over all processes."""
        if self.world == 1:
            return value
        tensor = torch.tensor([value], dtype=torch.float32, device=self.device)
        torch.distributed.all_reduce(tensor)
        return float(tensor[0]) / self.world

    def wait(self) -> None:
        """Until every process is here."""
        if self.world > 1:
            torch.distributed.barrier()


@contextmanager
def open_team(device: str) -> Iterator[Team]:
    """Join the processes torchrun started; alone when there was no torchrun.

    Raises:
        RecognitionError: the device does not exist here.
    """
    rank, world, local = (
        int(os.environ.get(name, default))
        for name, default in (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))
    )
    chosen = choose_device(device, local if world > 1 else 0)
    if world == 1:
        yield Team(0, 1, chosen)
        return
    backend = "nccl" if chosen.type == "cuda" else "gloo"
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    torch.distributed.init_process_group(backend, rank=rank, world_size=world, timeout=_PATIENCE)
    try:
        yield Team(rank, world, chosen)
    finally:
        torch.distributed.destroy_process_group()


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """The device called ``name``; ``auto`` takes a GPU if there is one.

    Raises:
        RecognitionError: an unknown name, or one this machine does not have.
    """
    found = torch.cuda.is_available()
    if name == "auto":
        name = "cuda" if found else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise RecognitionError(
            f"There is no device {name!r}; use auto, cpu, cuda or cuda:N."
        ) from error
    if device.type == "cpu":
        return device
    if device.type != "cuda" or not found:
        raise RecognitionError(
            f"The device {name!r} cannot be used here (or torch is the CPU build); use cpu."
        )
    index = device.index if device.index is not None else local_rank
    if index >= torch.cuda.device_count():
        raise RecognitionError(f"There is no GPU {index} here, only {torch.cuda.device_count()}.")
    return torch.device("cuda", index)


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The context in which networks compute."""
    if precision == "fp32":
        return nullcontext()
    kind = torch.bfloat16 if precision == "bf16" else torch.float16
    return torch.autocast(device.type, dtype=kind)
