"""Hold the published formulas to recorded numbers: one ``.npz`` file, one verdict.

The network's weights are not stored in such a file; they follow from the tensors' names:
``n`` are standard normal float32 from ``PCG64(crc32(name))``; 5-D tensors are
``n sqrt(2 / fan-in)``, names ending in ``bn1.weight`` are ``1 + 0.1 n``, running statistics stay
as they are, everything else is ``0.05 n``.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from synthesis.engine.errors import SynthesisError
from synthesis.engine.interop import recipe as published

if TYPE_CHECKING:
    from torch import Tensor, nn

LOGITS_TOLERANCE = 1e-4
IMAGE_TOLERANCE = 1e-5
#: The gate's share is a ratio of counts; the published one adds 1e-6 to the lower of them.
FRACTION_TOLERANCE = 1e-6

ARRAYS = (
    "image",
    "label",
    "logits",
    "difference",
    "difference_by_organ_channel",
    "geometry",
    "edge_sigma",
    "texture",
    "synthetic_image",
    "synthetic_label_3class",
    "synthetic_label",
    "qc_fraction",
    "qc_accepted",
)
_UNTOUCHED = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class Comparison:
    """One recorded array against ours: the largest absolute error and what is allowed."""

    array: str
    error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        return self.error <= self.tolerance


def rule_weights(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32]]:
    """The weights that the rule gives for tensors of these names and shapes."""
    weights = {}
    for name, shape in shapes.items():
        if name.endswith(_UNTOUCHED):
            continue
        rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
        normal = rng.standard_normal(shape).astype(np.float32)
        if len(shape) == 5:
            value = normal * np.float32(np.sqrt(2.0 / np.prod(shape[1:])))
        elif name.endswith("bn1.weight"):
            value = np.float32(1.0) + np.float32(0.1) * normal
        else:
            value = np.float32(0.05) * normal
        weights[name] = value
    return weights


def rule_network(out_channels: int) -> nn.Module:
    """The published generator with the weights of the rule."""
    import torch

    from synthesis.engine.networks import PublishedUNet3dConfig, build_network

    network = build_network(PublishedUNet3dConfig(out_channels=out_channels))
    state: dict[str, Tensor] = network.state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    for name, weight in rule_weights(shapes).items():
        state[name] = torch.from_numpy(weight)
    network.load_state_dict(state)
    return network


def read_record(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a parity file.

    Raises:
        SynthesisError: not readable, an array missing, or shapes that do not belong together.
    """
    remedy = "copy the file again"
    try:
        with np.load(path, allow_pickle=False) as stored:
            missing = [name for name in ARRAYS if name not in stored.files]
            if missing:
                raise SynthesisError(
                    f"{path} is no parity file: the array {missing[0]!r} is missing; "
                    "see the format in the documentation of check_parity."
                )
            record = {name: np.asarray(stored[name]) for name in ARRAYS}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise SynthesisError(f"{path} cannot be read ({error}); {remedy}.") from error
    shape = record["image"].shape
    if len(shape) != 3 or any(n < 8 or n % 8 for n in shape):
        raise SynthesisError(
            f"{path}: the image has the shape {shape}; three sides that are multiples of 8 "
            "are needed."
        )
    logits = record["logits"].shape
    if len(logits) != 4 or logits[1:] != shape or logits[0] not in (1, 3):
        raise SynthesisError(f"{path}: the logits have the shape {logits}, not (3, *{shape}).")
    single = ("logits", "edge_sigma", "qc_fraction", "qc_accepted")
    for name in (name for name in ARRAYS if name not in single):
        if record[name].shape != shape:
            raise SynthesisError(
                f"{path}: {name} has the shape {record[name].shape}, the image {shape}; {remedy}."
            )
    if record["edge_sigma"].size != 1 or (
        record["qc_fraction"].shape != record["qc_accepted"].shape
    ):
        raise SynthesisError(f"{path}: edge_sigma or the gate's arrays have odd shapes; {remedy}.")
    return record


def check_record(
    record: Mapping[str, NDArray[Any]], networks: dict[int, nn.Module]
) -> list[Comparison]:
    """Recompute everything in ``record`` and compare.

    The image is computed from our own logits, so that the errors add up as they would in use.
    The differences are allowed the error of the logits: tanh and a kernel of sum one pass it on.

    Args:
        record: see ``read_record``.
        networks: generators already built, by number of outputs; filled as needed.
    """
    logits = record["logits"]
    channels = int(logits.shape[0])
    if channels not in networks:
        networks[channels] = rule_network(channels)
    image = record["image"].astype(np.float32)
    label = record["label"].astype(np.uint8)
    ours = forward(networks[channels], image)
    recipe = published.recipe_for(channels)
    first = published.difference(ours, label, channel="first", recipe=recipe)
    by_organ = published.difference(ours, label, channel="organ", recipe=recipe)
    made = published.synthesize_published(
        image,
        label,
        record["geometry"],
        first,
        record["texture"].astype(np.float32),
        float(record["edge_sigma"]),
        recipe,
    )
    verdicts = [
        _verdict_at(float(share), made.label_3class) for share in record["qc_fraction"].ravel()
    ]
    fractions = np.asarray([verdict.fraction for verdict in verdicts])
    accepted = np.asarray([verdict.accepted for verdict in verdicts])
    return [
        Comparison("logits", _worst(ours, logits), LOGITS_TOLERANCE),
        Comparison("difference", _worst(first, record["difference"]), LOGITS_TOLERANCE),
        Comparison(
            "difference_by_organ_channel",
            _worst(by_organ, record["difference_by_organ_channel"]),
            LOGITS_TOLERANCE,
        ),
        Comparison(
            "synthetic_image", _worst(made.image, record["synthetic_image"]), IMAGE_TOLERANCE
        ),
        Comparison(
            "synthetic_label_3class",
            _worst(made.label_3class, record["synthetic_label_3class"]),
            0.0,
        ),
        Comparison("synthetic_label", _worst(made.label, record["synthetic_label"]), 0.0),
        Comparison(
            "qc_fraction", _worst(fractions, record["qc_fraction"].ravel()), FRACTION_TOLERANCE
        ),
        Comparison("qc_accepted", _worst(accepted, record["qc_accepted"].ravel()), 0.0),
    ]


def forward(network: nn.Module, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits (channels, z, y, x) of one crop in 0..1."""
    import torch

    device = next(network.parameters()).device
    with torch.inference_mode():
        batch = torch.from_numpy(np.ascontiguousarray(image))[None, None].to(device)
        out: NDArray[np.float32] = network(batch)[0].float().cpu().numpy()
    return out


def _verdict_at(share: float, label_3class: NDArray[np.uint8]) -> published.PublishedVerdict:
    """The gate on a segmentation that finds ``share`` of the inserted voxels.

    The recorded shares are counts over the inserted voxels; which voxels were found does not
    matter to the gate, so the first ones in array order are.
    """
    inserted = np.flatnonzero(label_3class == published.INSERTED)
    predicted = np.zeros(label_3class.size, np.uint8)
    predicted[inserted[: round(share * inserted.size)]] = published.REAL
    return published.published_gate(predicted.reshape(label_3class.shape), label_3class)


def _worst(ours: NDArray[Any], recorded: NDArray[Any]) -> float:
    """Largest absolute difference; infinite where one of them is not a number."""
    gap = np.abs(ours.astype(np.float64) - recorded.astype(np.float64))
    return float(np.where(np.isfinite(gap), gap, np.inf).max(initial=0.0))
