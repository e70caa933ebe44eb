"""One process or many: torchrun's environment, sums over processes, and where to compute."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta

import torch
from torch import Tensor, nn

from synthesis.engine.errors import SynthesisError

#: A process that waits longer than this for another gives up.
_PATIENCE = timedelta(minutes=10)


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

    def add_up(self, tensor: Tensor) -> Tensor:
        """The sum of ``tensor`` over all processes (on any device, any floating type)."""
        if self.world == 1:
            return tensor
        out = tensor.to(self.device)
        torch.distributed.all_reduce(out)
        return out.to(tensor.device)

    def add_up_gradients(self, network: nn.Module) -> None:
        """Replace each gradient by its sum over all processes, in one message."""
        if self.world == 1:
            return
        gradients = []
        for parameter in network.parameters():
            if parameter.requires_grad:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                gradients.append(parameter.grad)
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        torch.distributed.all_reduce(flat)
        done = 0
        for gradient in gradients:
            gradient.copy_(flat[done : done + gradient.numel()].view_as(gradient))
            done += gradient.numel()

    def wait(self) -> None:
        """Until every process is here."""
        if self.world > 1:
            torch.distributed.barrier()


@contextmanager
def open_team(device: str) -> Iterator[Team]:
    """Join the processes torchrun started; alone when there was no torchrun.

    Raises:
        SynthesisError: the device does not exist here.
    """
    rank, world, local = (
        int(os.environ.get(name, default))
        for name, default in (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))
    )
    chosen = choose_device(device, local if world > 1 else None)
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


def choose_device(name: str, local_rank: int | None = None) -> torch.device:
    """The device called ``name``; one GPU for each process of a node when there are several.

    Raises:
        SynthesisError: an unknown name, or one this machine does not have.
    """
    found = torch.cuda.is_available()
    if name == "auto":
        name = "cuda" if found else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SynthesisError(
            f"There is no device {name!r}; use auto, cpu, cuda or cuda:N."
        ) from error
    if device.type == "cpu":
        return device
    if device.type != "cuda":
        raise SynthesisError(f"The device {name!r} is not supported; use auto, cpu or cuda.")
    if not found:
        raise SynthesisError(
            "This machine has no usable GPU (or torch is the CPU build); set device: cpu."
        )
    index = device.index if device.index is not None else (local_rank or 0)
    if index >= torch.cuda.device_count():
        raise SynthesisError(
            f"There is no GPU {index} here, only {torch.cuda.device_count()}; "
            "start fewer processes or choose another device."
        )
    return torch.device("cuda", index)


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The context in which networks compute."""
    if precision == "fp32":
        return nullcontext()
    kind = torch.bfloat16 if precision == "bf16" else torch.float16
    return torch.autocast(device.type, dtype=kind)


def check_precision(precision: str, device: torch.device) -> None:
    """Raises SynthesisError for fp16 without a GPU."""
    if precision == "fp16" and device.type != "cuda":
        raise SynthesisError("fp16 needs a GPU; set precision: bf16 or fp32.")


class Updater:
    """An optimizer with loss scaling where fp16 needs it, over all processes of a team."""

    def __init__(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, team: Team, precision: str
    ) -> None:
        self.network = network
        self.optimizer = optimizer
        self._team = team
        self.scaler = torch.amp.GradScaler(team.device.type, enabled=precision == "fp16")

    def clear(self) -> None:
        """Forget all gradients of the network, whoever left them."""
        self.network.zero_grad(set_to_none=True)

    def backward(self, loss: Tensor) -> None:
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def step(self) -> None:
        """Add up the gradients of all processes, update, and forget them."""
        self._team.add_up_gradients(self.network)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.clear()


def set_trainable(network: nn.Module, *, trainable: bool) -> None:
    for parameter in network.parameters():
        parameter.requires_grad_(trainable)


def to_device(items: Iterable[dict[str, Tensor]], device: torch.device) -> list[dict[str, Tensor]]:
    return [{key: value.to(device) for key, value in item.items()} for item in items]
