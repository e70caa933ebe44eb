"""The quality gate: is this a lesion a reader could meet?

Three gates of one signature (``Gate``): ``judge`` measures the lesion and needs no network;
``PaperGate`` is the published rule, recall of the inserted mask by a segmentor; ``DefaultGate``
asks both and more. Every check writes its score, passed or not, so that a rejected lesion
explains itself, and nothing ever falls back to the untouched scan in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from synthesis.engine.arrays import (
    HU_MAX,
    HU_MIN,
    Box,
    Field,
    MaskArray,
    Spacing,
    bounding_box,
    voxel_ml,
)
from synthesis.engine.measure import RING_MM, LesionMeasure, measure_lesion
from synthesis.engine.organs import OrganPrior
from synthesis.engine.records import Accepted, HostCrop, Lesion, Rejected, Scores

#: Noise inside over noise around (robust SD of the high-pass signal).
NOISE_RATIO = (0.8, 1.25)
_SMALLEST_VOXELS = 6
_DIAMETER_TOLERANCE = 0.1
#: The contrast must stand out of the noise by this many standard errors of a 3x3 patch.
_SMALLEST_CNR = 0.8


@dataclass(frozen=True)
class Fault:
    """The first check that a lesion failed: a short code to count by, and a sentence."""

    code: str
    sentence: str


Gate: TypeAlias = Callable[[HostCrop, Lesion, OrganPrior], tuple[Fault | None, Scores]]


class Segmenter(Protocol):
    """Whoever can find tumors in a CT crop: a network of ours, or of another engine.

    ``tumor_labels`` says which labels are tumors, and of which organ.
    """

    name: str

    @property
    def tumor_labels(self) -> Mapping[int, str]: ...

    def segment(self, hu: Field, spacing_zyx: Spacing) -> NDArray[np.uint8]:
        """Labels on the grid of ``hu`` (z, y, x), which is in HU; spacing (z, y, x) in mm."""
        ...


def _composited(host: HostCrop, lesion: Lesion) -> tuple[Field, MaskArray]:
    """The crop with the lesion in it, and the lesion's mask on the crop."""
    mask = np.zeros(host.hu.shape, bool)
    place = lesion.box.within(host.box)
    mask[place] = lesion.mask
    after: Field = host.hu.copy()
    after[place] = np.clip(after[place] + lesion.residual, HU_MIN, HU_MAX)
    return after, mask


def judge(host: HostCrop, lesion: Lesion, prior: OrganPrior) -> tuple[Fault | None, Scores]:
    """Score a composited lesion; no fault means that it passes."""
    after, mask = _composited(host, lesion)
    spacing = (host.spacing_zyx[2], host.spacing_zyx[1], host.spacing_zyx[0])
    measure = measure_lesion(after, mask, spacing, organ=host.organ, other_tumors=host.tumor)
    voxels = int(lesion.mask.sum())
    scores: Scores = {
        "voxels": voxels,
        "changed_voxels": int((lesion.residual != 0).sum()),
        "diameter_mm": round(measure.diameter_mm, 2),
        "diameter_error": round(measure.diameter_mm / lesion.diameter_mm - 1.0, 3),
        **_finite("contrast_hu", measure.contrast_hu),
        "noise_hu": round(measure.noise_hu, 1),
        **_finite("noise_ratio", measure.noise_ratio),
        "mean_change_hu": round(float(lesion.residual[lesion.mask].mean()), 1),
    }
    return _first_fault(prior, lesion, measure, voxels), scores


def _finite(name: str, value: float) -> Scores:
    """The score, unless it could not be measured (JSON has no NaN)."""
    return {name: round(value, 3)} if np.isfinite(value) else {}


def _first_fault(
    prior: OrganPrior, lesion: Lesion, measure: LesionMeasure, voxels: int
) -> Fault | None:
    contrast, noise, ratio = measure.contrast_hu, measure.noise_hu, measure.noise_ratio
    # A soft edge and thick slices dilute the contrast of small lesions, hence the half.
    weakest, strongest = sorted(abs(bound) for bound in prior.contrast_range)
    low, high = NOISE_RATIO
    checks = (
        (
            "voxels",
            voxels < _SMALLEST_VOXELS,
            f"The lesion covers {voxels} voxels; at least {_SMALLEST_VOXELS} are needed.",
        ),
        (
            "diameter",
            abs(measure.diameter_mm / lesion.diameter_mm - 1.0) > _DIAMETER_TOLERANCE,
            f"The lesion measures {measure.diameter_mm:.1f} mm where "
            f"{lesion.diameter_mm:.1f} mm was asked for.",
        ),
        (
            "surroundings",
            not np.isfinite(contrast),
            "There is too little organ around the lesion to compare it with.",
        ),
        (
            "faint",
            contrast * np.sign(prior.contrast) < 0.5 * weakest,
            f"The contrast of {contrast:.0f} HU is too faint for the {prior.organ}.",
        ),
        (
            "strong",
            abs(contrast) > 1.3 * strongest,
            f"The contrast of {contrast:.0f} HU is too strong for the {prior.organ}.",
        ),
        (
            "drowned",
            abs(contrast) < _SMALLEST_CNR * noise,
            f"The contrast of {contrast:.0f} HU drowns in noise of {noise:.0f} HU.",
        ),
        (
            "noise",
            np.isfinite(ratio) and not low <= ratio <= high,
            f"The noise inside is {ratio:.2f} times that around it; {low} to {high} is allowed.",
        ),
    )
    return next((Fault(code, text) for code, failed, text in checks if failed), None)


# -- gates with a segmentor ----------------------------------------------------------------------

#: A segmentor is shown a block of this side (mm) around the lesion, more where that is larger.
_BLOCK_MM = 95.0
_LEAST_CONTEXT_MM = 12.0


def recall(called: MaskArray, mask: MaskArray) -> float:
    """Share of ``mask`` that is ``called``; 0 for an empty mask, as in the published code."""
    voxels = int(mask.sum())
    return int((called & mask).sum()) / voxels if voxels else 0.0


def _block(host: HostCrop, lesion: Lesion) -> HostCrop:
    """The part of the host a segmentor is shown: the size it was trained on, if there is room."""
    start, stop = [], []
    for a, b, step in zip(lesion.box.start, lesion.box.stop, host.spacing_zyx, strict=True):
        half = max(0.5 * _BLOCK_MM, 0.5 * (b - a) * step + _LEAST_CONTEXT_MM)
        middle = 0.5 * (a + b)
        start.append(int(np.floor(middle - half / step)))
        stop.append(int(np.ceil(middle + half / step)))
    box = Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
    return host.inner(box.clipped_to(host.box))


def _called(segmenter: Segmenter, labels: NDArray[np.uint8], organ: str | None) -> MaskArray:
    """Voxels called a tumor: of ``organ``, or of any organ for None."""
    wanted = [label for label, of in segmenter.tumor_labels.items() if organ is None or of == organ]
    out: MaskArray = np.isin(labels, wanted)
    return out


@dataclass(frozen=True)
class PaperGate:
    """The published rule: strictly more than ``least_recall`` called tumor, of any organ."""

    segmenter: Segmenter
    least_recall: float = 0.7
    context_mm: float = 0.5 * _BLOCK_MM

    def __call__(
        self, host: HostCrop, lesion: Lesion, prior: OrganPrior
    ) -> tuple[Fault | None, Scores]:
        """See ``judge``."""
        host = _block(host, lesion)
        after, mask = _composited(host, lesion)
        labels = self.segmenter.segment(after, host.spacing_zyx)
        share = recall(_called(self.segmenter, labels, None), mask)
        scores: Scores = {"voxels": int(mask.sum()), "recall_any": round(share, 4)}
        if share > self.least_recall:
            return None, scores
        return _unrecognized(share, "a tumor", f"more than {self.least_recall:.0%}"), scores


@dataclass(frozen=True)
class DefaultGate:
    """Recognized as a tumor of its own organ, quiet around it, and measured like a real one.

    Beside every check of ``judge`` (contrast within the range of real lesions among them):

    * at least ``least_recall`` of the lesion is called a tumor of its organ;
    * at most ``most_false`` of the organ in the ring around it is called a tumor of any organ;
    * the lesion has at least ``least_ml`` millilitres (0.03 is a ball of 3.9 mm).
    """

    segmenter: Segmenter
    least_recall: float = 0.7
    most_false: float = 0.3
    least_ml: float = 0.03
    context_mm: float = 0.5 * _BLOCK_MM

    def __call__(
        self, host: HostCrop, lesion: Lesion, prior: OrganPrior
    ) -> tuple[Fault | None, Scores]:
        """See ``judge``."""
        fault, scores = judge(host, lesion, prior)
        host = _block(host, lesion)
        after, mask = _composited(host, lesion)
        labels = self.segmenter.segment(after, host.spacing_zyx)
        anything = _called(self.segmenter, labels, None)
        own = recall(_called(self.segmenter, labels, prior.organ), mask)
        ring = _ring(host, mask)
        false = float(anything[ring].mean()) if ring.any() else 0.0
        volume = float(mask.sum()) * voxel_ml(host.spacing_zyx)
        scores |= {
            "volume_ml": round(volume, 4),
            "recall_organ": round(own, 4),
            "recall_any": round(recall(anything, mask), 4),
            "false_in_ring": round(false, 4),
        }
        if fault is not None:
            return fault, scores
        if volume < self.least_ml:
            return Fault(
                "volume",
                f"The lesion has {volume:.3f} ml; at least {self.least_ml:g} ml are needed.",
            ), scores
        if own < self.least_recall:
            needed = f"at least {self.least_recall:.0%}"
            return _unrecognized(own, f"a tumor of the {prior.organ}", needed), scores
        if false > self.most_false:
            return Fault(
                "ring",
                f"The segmentor calls {false:.0%} of the organ around the lesion a tumor; "
                f"{self.most_false:.0%} is allowed.",
            ), scores
        return None, scores


def _unrecognized(share: float, what: str, needed: str) -> Fault:
    return Fault(
        "unrecognized",
        f"The segmentor calls {share:.1%} of the lesion {what}; {needed} is needed.",
    )


def _ring(host: HostCrop, mask: MaskArray) -> MaskArray:
    """Organ around the lesion, without real tumors: where nothing should be called a tumor."""
    out: MaskArray = np.zeros(mask.shape, bool)
    tight = bounding_box(mask)
    if tight is None:
        return out
    cut = tight.grown(RING_MM[1], host.spacing_zyx).clipped(mask.shape).slices
    gap = ndimage.distance_transform_edt(~mask[cut], sampling=host.spacing_zyx)
    out[cut] = host.tissue[cut] & (gap >= RING_MM[0]) & (gap <= RING_MM[1])
    return out


def make_gate(policy: str, segmenter: Segmenter) -> Gate:
    """The gate called ``paper`` or ``default``. Raises ValueError for another name."""
    if policy == "paper":
        return PaperGate(segmenter)
    if policy == "default":
        return DefaultGate(segmenter)
    raise ValueError(f"There is no gate policy {policy!r}; choose paper or default.")


def verdict(
    gate: Gate, host: HostCrop, lesion: Lesion, prior: OrganPrior, attempt: int = 1
) -> Accepted | Rejected:
    """The typed verdict of ``gate`` on one lesion, with every score."""
    fault, scores = gate(host, lesion, prior)
    if fault is None:
        return Accepted(lesion, scores, attempt)
    return Rejected(fault.sentence, fault.code, scores, attempt, lesion)
