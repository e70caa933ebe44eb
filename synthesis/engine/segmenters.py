"""A segmentation network as the eye of the quality gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from synthesis.engine.arrays import Field, Spacing
from synthesis.engine.checkpoints import LoadedNetwork
from synthesis.engine.errors import SynthesisError
from synthesis.engine.grids import grid_around
from synthesis.engine.networks import SwinSegmentorConfig, UNetSegmentorConfig, tumor_classes
from synthesis.engine.precision import Precision, ball_in_tissue, choose

if TYPE_CHECKING:
    import torch

#: Bfloat16 may move the share of the block that a class gets by this much.
_BF16_TOLERANCE = 0.01


class NetworkSegmenter:
    """Segments one crop in one pass of a loaded network.

    Args:
        checkpoint: a segmentor.
        least: smallest block the network is shown, in its voxels (z, y, x).
        precision: see ``precision``; the published segmentor always answers in single precision.

    Raises:
        SynthesisError: the checkpoint holds no segmentor, or one without a tumor class.
    """

    def __init__(
        self,
        checkpoint: LoadedNetwork,
        *,
        least: tuple[int, int, int] = (64, 64, 64),
        precision: Precision = "auto",
    ) -> None:
        config = checkpoint.config
        if checkpoint.kind != "segmentor" or not isinstance(
            config, UNetSegmentorConfig | SwinSegmentorConfig
        ):
            raise SynthesisError(
                f"The checkpoint {checkpoint.name} holds a {checkpoint.kind} "
                f"({config.architecture}); choose one that holds a segmentor."
            )
        self.name = checkpoint.name
        self.checkpoint = checkpoint
        self._config = config
        self._least = least
        self._tumors = tumor_classes(config.classes)
        if not self._tumors:
            raise SynthesisError(
                f"The segmentor {checkpoint.name} has no tumor class; choose another one."
            )
        published = isinstance(config, SwinSegmentorConfig)
        self.inference = choose(
            "fp32" if published else precision,
            self._device(),
            self._trial_answer,
            _BF16_TOLERANCE,
            f"the segmentor {checkpoint.name}",
        )

    @property
    def tumor_labels(self) -> Mapping[int, str]:
        """Label to organ, for labels that are tumors."""
        return self._tumors

    def segment(self, hu: Field, spacing_zyx: Spacing) -> NDArray[np.uint8]:
        """See ``quality.Segmenter.segment``."""
        import torch

        from synthesis.engine.networks.segmentors import windowed

        x, y, z = self._config.spacing_mm
        grid = grid_around(
            hu.shape,
            spacing_zyx,
            (z, y, x),
            least=self._least,
            multiple=self._config.multiple,
        )
        with self.inference():
            batch = torch.from_numpy(grid.to_network(hu))[None, None].to(self._device())
            logits = self.checkpoint.network(windowed(batch, self._config.windows_hu))
            labels = _largest(logits[0]).cpu().numpy()
        if grid.same:
            return np.asarray(labels, np.uint8)
        return _nearest(labels, hu.shape, grid.native_mm, grid.mm)

    def _device(self) -> torch.device:
        return next(self.checkpoint.network.parameters()).device

    def _trial_answer(self) -> torch.Tensor:
        """Class probabilities, averaged over a block, of soft tissue with a darker ball in it."""
        import torch

        from synthesis.engine.networks.segmentors import windowed

        size = max(32, self._config.multiple)
        batch = ball_in_tissue(size)[0].to(self._device())
        logits = self.checkpoint.network(windowed(batch, self._config.windows_hu))
        return torch.softmax(logits.float(), dim=1).mean(dim=(2, 3, 4))


def _largest(logits: torch.Tensor) -> torch.Tensor:
    """The class of the largest logit, the first of equals: ``argmax`` at a tenth of its time."""
    import torch

    best, labels = logits[0], torch.zeros(logits.shape[1:], dtype=torch.uint8, device=logits.device)
    for index in range(1, len(logits)):
        labels.masked_fill_(logits[index] > best, index)
        best = torch.maximum(best, logits[index])
    return labels


def _nearest(
    labels: NDArray[np.uint8], shape: tuple[int, ...], native_mm: Spacing, network_mm: Spacing
) -> NDArray[np.uint8]:
    """Labels on the native grid, by the nearest voxel; both grids share their middle."""
    scale = [a / b for a, b in zip(native_mm, network_mm, strict=True)]
    offset = [
        (m - 1) / 2.0 - (n - 1) / 2.0 * k
        for m, n, k in zip(labels.shape, shape, scale, strict=True)
    ]
    out: NDArray[np.uint8] = ndimage.affine_transform(
        labels,
        np.asarray(scale),
        offset=offset,
        output_shape=shape,
        order=0,
        mode="nearest",
        output=np.uint8,
    )
    return out
