"""bfloat16 where the processor has it, single precision where it does not or where it matters.

On processors with bfloat16 instructions our networks answer three to five times sooner, and the
answer is rounded to whole HU afterwards. A network is compared with itself in single precision
once, when it is loaded: one whose answer suffers stays in single precision. The published
networks always do, because they are there to reproduce numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from synthesis.engine.errors import SynthesisError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Precision: TypeAlias = Literal["auto", "fp32", "bf16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
#: Instructions without which bfloat16 is emulated, and slower than single precision.
_INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "bf16")


@dataclass(frozen=True)
class Inference:
    """How a network is to be asked; ``with inference():`` around every call."""

    device: torch.device
    bf16: bool

    @property
    def name(self) -> str:
        """``bf16`` or ``fp32``, for the record."""
        return "bf16" if self.bf16 else "fp32"

    @contextmanager
    def __call__(self) -> Iterator[None]:
        import torch

        with (
            torch.inference_mode(),
            torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16),
        ):
            yield


def has_bf16(device: torch.device) -> bool:
    """Whether ``device`` computes with bfloat16 itself."""
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    known = torch.cpu.get_capabilities()
    return any(bool(known.get(name)) for name in _INSTRUCTIONS)


def choose(
    wanted: Precision,
    device: torch.device,
    answer: Callable[[], Tensor],
    tolerance: float,
    who: str,
) -> Inference:
    """How to ask a network, after comparing its answers in both precisions.

    Args:
        wanted: ``auto`` takes bfloat16 where the device has it and the answer bears it.
        device: where the network is.
        answer: asks the network something fixed.
        tolerance: largest difference that the answer may show.
        who: the network's name, for the message.

    Raises:
        SynthesisError: an unknown precision, or ``bf16`` where the answer does not bear it.
    """
    if wanted not in PRECISIONS:
        raise SynthesisError(
            f"There is no precision {wanted!r}; choose one of: {', '.join(PRECISIONS)}."
        )
    exact, rounded = Inference(device, bf16=False), Inference(device, bf16=True)
    if wanted == "fp32" or (wanted == "auto" and not has_bf16(device)):
        return exact
    with exact():
        first = answer().float()
    with rounded():
        error = float((answer().float() - first).abs().max())
    if error <= tolerance:
        return rounded
    if wanted == "auto":
        return exact
    raise SynthesisError(
        f"In bf16 the answer of {who} is off by {error:.2g}, more than the {tolerance:g} allowed; "
        "choose the precision fp32."
    )


def ball_in_tissue(size: int) -> tuple[Tensor, Tensor]:
    """A fixed block to ask networks about: noisy tissue of 60 HU, and the mask of a darker ball.

    Both are (1, 1, size, size, size).
    """
    import torch

    dice = torch.Generator().manual_seed(0)
    axis = torch.linspace(-1.0, 1.0, size)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    mask = (z * z + y * y + x * x < 0.2).float()[None, None]
    hu = 60.0 + 20.0 * torch.randn(mask.shape, generator=dice) - 40.0 * mask
    return hu, mask
