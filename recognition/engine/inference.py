"""A whole CT through a network: tumor probability and mask on the scanner's own grid."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from monai.inferers.inferer import SlidingWindowInferer
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from recognition.engine.arrays import Field, Hu, MaskArray, Spacing, bounds, zyx
from recognition.engine.checkpoints import Loaded
from recognition.engine.networks import faced, unfaced, windowed

Precision: TypeAlias = Literal["fp32", "bf16", "auto"]

#: Anything denser than this belongs to the patient or the table, and is looked at.
_BODY_HU = -500
_AIR_HU = -1024.0
_MARGIN_MM = 10.0


@dataclass(frozen=True)
class Recognized:
    """Tumors on the grid of the CT, (z, y, x).

    ``probability`` is that of any tumor; ``organ`` holds, where ``mask`` is set, the class of the
    likeliest tumor and 0 elsewhere.
    """

    mask: MaskArray
    probability: Field
    organ: NDArray[np.uint8]


def recognize(
    loaded: Loaded,
    hu: Hu,
    spacing: Spacing,
    *,
    roi: tuple[int, int, int] = (96, 96, 96),
    overlap: float = 0.25,
    threshold: float = 0.5,
    precision: Precision = "auto",
    tell: Callable[[int, int], None] | None = None,
) -> Recognized:
    """Find tumors in one CT.

    Args:
        loaded: the network.
        hu: (z, y, x), growing to the head, the back and the left of the patient.
        spacing: voxel size (x, y, z) in mm.
        roi: window (z, y, x) in voxels of the network's grid.
        overlap: share by which neighboring windows overlap; they are blended by a Gaussian.
        threshold: probability from which a voxel is tumor.
        precision: ``auto`` is bf16 where the processor or GPU computes in it.
        tell: called with the windows done and in all.

    Raises:
        ValueError: not a volume, or settings out of range.
    """
    if hu.ndim != 3 or min(hu.shape) < 1:
        raise ValueError(f"A volume has three axes, not the shape {hu.shape}.")
    if not (0 <= overlap < 1 and 0 < threshold < 1):
        raise ValueError("overlap is from 0 to below 1, and threshold between 0 and 1.")
    config = loaded.config
    body = bounds(hu > _BODY_HU, margin=round(_MARGIN_MM / min(spacing)))
    empty = np.zeros(hu.shape, np.float32)
    if body is None:
        return Recognized(np.zeros(hu.shape, bool), empty, np.zeros(hu.shape, np.uint8))
    part = torch.from_numpy(np.ascontiguousarray(hu[body], np.float32))[None, None]
    mm = zyx(spacing)
    target = zyx(config.spacing_mm)
    size = [max(1, round(n * a / b)) for n, a, b in zip(part.shape[2:], mm, target, strict=True)]
    tumors = list(config.tumors)
    with torch.inference_mode():
        grid = functional.interpolate(part, size=size, mode="trilinear", align_corners=False)
        p = _slide(loaded, grid, tumors, roi, overlap, precision, tell)
        native = functional.interpolate(
            p, size=list(part.shape[2:]), mode="trilinear", align_corners=False
        )[0]
    each = native.numpy()
    probability = empty
    probability[body] = np.clip(each.sum(axis=0), 0.0, 1.0)
    mask: MaskArray = probability >= threshold
    organ = np.zeros(hu.shape, np.uint8)
    likeliest = np.asarray(tumors, np.uint8)[each.argmax(axis=0)]
    organ[body] = np.where(mask[body], likeliest, 0)
    return Recognized(mask, probability, organ)


def _slide(
    loaded: Loaded,
    grid: Tensor,
    tumors: list[int],
    roi: tuple[int, int, int],
    overlap: float,
    precision: Precision,
    tell: Callable[[int, int], None] | None,
) -> Tensor:
    """Tumor probabilities (1, tumors, ...) on the network's grid."""
    device = next(loaded.network.parameters()).device
    axes = loaded.config.axes
    half = use_bf16(precision, device)
    total = windows((grid.shape[2], grid.shape[3], grid.shape[4]), roi, overlap)
    done = 0

    def predict(window: Tensor) -> Tensor:
        nonlocal done
        shown = faced(windowed(window, loaded.config.windows_hu), axes)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
            logits = unfaced(loaded.network(shown), axes)
        done += len(window)
        if tell is not None:
            tell(min(done, total), total)
        return torch.softmax(logits.float(), dim=1)[:, tumors]

    slide = SlidingWindowInferer(
        roi_size=roi,
        sw_batch_size=1,
        overlap=overlap,
        mode="gaussian",
        cval=_AIR_HU,
        sw_device=device,
        device=torch.device("cpu"),
    )
    out: Tensor = slide(grid, predict)
    return out


def windows(shape: tuple[int, int, int], roi: tuple[int, int, int], overlap: float) -> int:
    """How many windows MONAI's sliding window visits."""
    count = 1
    for n, r in zip(shape, roi, strict=True):
        step = max(int(r * (1.0 - overlap)), 1)
        count *= 1 + max(0, math.ceil((n - r) / step))
    return count


def use_bf16(precision: Precision, device: torch.device) -> bool:
    """Whether to compute in bf16: asked for, or ``auto`` where it is done in hardware."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return torch.backends.cpu.get_cpu_capability() == "AVX512" and _cpu_has_bf16()


def _cpu_has_bf16() -> bool:
    """Emulated bf16 is slower than fp32, so the processor is asked."""
    return bool(torch.cpu._is_avx512_bf16_supported())
