"""The gate's eye as a reader: how much of the marked lesion a tumor segmentor calls a tumor.

The quality gate of synthesis asks that of every lesion it lets through (FreeTumor's rule: more
than 70 %). Nothing here is learned from either arm, so the rule is fixed beforehand: a lesion that
the segmentor does not know for a tumor is taken for synthetic. The segmentor is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from recognition.engine.arrays import Field, Spacing, zyx
from recognition.engine.readers.rating import Cuts
from recognition.engine.readers.view import View

Values = NDArray[np.floating]
#: FreeTumor's share of a lesion that must be recognized.
RECALL = 0.7


class Segmenter(Protocol):
    """Whoever can find tumors in a CT block; ``tumor_labels`` says which labels are tumors."""

    name: str

    @property
    def tumor_labels(self) -> Mapping[int, str]: ...

    def segment(self, hu: Field, spacing_zyx: Spacing) -> NDArray[np.uint8]:
        """Labels on the grid of ``hu`` (z, y, x)."""
        ...


@dataclass(frozen=True)
class Unrecognized:
    """The share of the lesion that is not called a tumor."""

    def __call__(self, inputs: Values) -> Values:
        out: Values = 1.0 - inputs[:, 0]
        return out


@dataclass(frozen=True)
class Gate:
    """See the module."""

    segmenter: Segmenter

    name = "gate"
    title = "Gate of recognition"
    looks_at = "the share of the marked lesion that a tumor segmentor calls a tumor (of any organ)"
    trained = False
    cuts = Cuts(
        (1 - RECALL) / 3, 2 * (1 - RECALL) / 3, 1 - RECALL, 1 - 2 * RECALL / 3, 1 - RECALL / 3
    )
    rule = (
        f"Rule, fixed beforehand: where the segmentor calls {RECALL:.0%} of the lesion or more a "
        "tumor (the threshold of FreeTumor's quality gate) the verdict is real, else synthetic; "
        "each side is cut into three equal steps of confidence."
    )

    def prepare(self, view: View) -> Values:
        """The share called a tumor of the ellipsoid that the marker leaves room for."""
        labels = self.segmenter.segment(view.hu.astype(np.float32), zyx(view.spacing))
        called = np.isin(labels, list(self.segmenter.tumor_labels))
        lesion = view.lesion
        return np.array([float(called[lesion].mean()) if lesion.any() else 0.0])

    def fit(
        self,
        inputs: Values,
        synthetic: NDArray[np.bool_],
        rng: np.random.Generator,
        tell: Callable[[float], None] | None = None,
    ) -> Unrecognized:
        """Nothing is learned."""
        return Unrecognized()

    def facts(self, scorer: Unrecognized) -> dict[str, object]:
        return {"segmentor": self.segmenter.name, "recall": RECALL}
