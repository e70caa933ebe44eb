"""What goes into the engine and what comes out: typed, hashable records."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from synthesis.engine.arrays import (
    HU_MAX,
    HU_MIN,
    Box,
    Field,
    Hu,
    MaskArray,
    Spacing,
)

Score: TypeAlias = float | int | bool
Scores: TypeAlias = dict[str, Score]


@dataclass(frozen=True)
class Scan:
    """A host: CT in HU with the organ to grow a lesion in, and the tumors it already has.

    Arrays are (z, y, x) of one shape; ``spacing`` is (x, y, z) in mm. ``hu`` may be a
    memory map: only the region around the lesion is read.
    """

    hu: Hu
    spacing: Spacing
    organ: str
    organ_mask: MaskArray
    tumor_mask: MaskArray | None = None


#: Equivalent diameters (mm) that are drawn where none are asked for.
DIAMETERS_MM = (4.0, 80.0)


@dataclass(frozen=True)
class LesionSpec:
    """What to make: a diameter range in mm (log-uniform) and how strongly it pushes tissue aside.

    ``mass_effect`` is 0 (none) to 1 (tissue at the surface moves by a quarter of the radius, at
    most 3 mm).
    """

    diameter_mm: tuple[float, float] = DIAMETERS_MM
    mass_effect: float = 0.0
    max_attempts: int = 12

    def __post_init__(self) -> None:
        low, high = self.diameter_mm
        if not (np.isfinite(low) and np.isfinite(high)) or low <= 0:
            raise ValueError(f"Lesion diameters must be positive, not {low:g} to {high:g} mm.")
        if low > high:
            raise ValueError(
                f"The diameter range is reversed: {low:g} mm is more than {high:g} mm."
            )
        if not 0.0 <= self.mass_effect <= 1.0:
            raise ValueError(f"Mass effect goes from 0 to 1, not {self.mass_effect:g}.")
        if self.max_attempts < 1:
            raise ValueError("At least one attempt is needed.")


@dataclass(frozen=True)
class Lesion:
    """A lesion ready to be added to its host.

    ``residual`` (int16 HU) is what to add, and is 0 wherever ``feather`` is 0. ``offset`` is the
    voxel (z, y, x) of the host at which all three arrays start.
    """

    offset: tuple[int, int, int]
    mask: MaskArray
    feather: NDArray[np.float16]
    residual: NDArray[np.int16]
    diameter_mm: float
    center: tuple[float, float, float]
    parameters: dict[str, float | str] = field(default_factory=dict)

    @property
    def box(self) -> Box:
        z, y, x = (o + n for o, n in zip(self.offset, self.residual.shape, strict=True))
        return Box(self.offset, (z, y, x))

    @property
    def sha256(self) -> str:
        """Fingerprint of everything that changes voxels: offset, mask, feather and residual."""
        digest = hashlib.sha256()
        digest.update(np.asarray([*self.offset, *self.residual.shape], "<i8").tobytes())
        for array, kind in ((self.mask, "|u1"), (self.feather, "<f2"), (self.residual, "<i2")):
            digest.update(np.ascontiguousarray(array, dtype=kind).tobytes())
        return digest.hexdigest()

    def apply(self, hu: Hu) -> Hu:
        """A copy of ``hu`` with the lesion in it; every voxel outside the feather is unchanged."""
        out: Hu = np.array(hu, dtype=np.int16, copy=True)
        cut = self.box.slices
        changed = out[cut].astype(np.int32) + self.residual
        out[cut] = np.where(self.residual != 0, np.clip(changed, HU_MIN, HU_MAX), out[cut])
        return out


@dataclass(frozen=True)
class Accepted:
    """A lesion that passed every check; ``attempts`` counts the tries it took."""

    lesion: Lesion
    scores: Scores
    attempts: int


@dataclass(frozen=True)
class Rejected:
    """A lesion that was drawn but failed a check: a sentence, and the check's short code."""

    reason: str
    code: str
    scores: Scores
    attempt: int
    lesion: Lesion


@dataclass(frozen=True)
class NoPlacement:
    """No lesion of the wanted size fits. ``reason`` is a sentence that says what to change."""

    reason: str
    attempts: int


Verdict: TypeAlias = Accepted | Rejected | NoPlacement


@dataclass(frozen=True)
class Outcome:
    """The verdict on one wanted lesion, and every rejected try on the way to it."""

    verdict: Accepted | NoPlacement
    rejected: tuple[Rejected, ...] = ()


@dataclass(frozen=True)
class HostCrop:
    """The part of the host a generator sees: arrays (z, y, x) of one shape, cut at ``box``."""

    hu: Field
    organ: MaskArray
    tumor: MaskArray
    box: Box
    spacing_zyx: Spacing
    organ_name: str

    def inner(self, box: Box) -> HostCrop:
        """The part of the crop at ``box`` (voxels of the scan), which must lie inside it."""
        cut = box.within(self.box)
        return HostCrop(
            hu=self.hu[cut],
            organ=self.organ[cut],
            tumor=self.tumor[cut],
            box=box,
            spacing_zyx=self.spacing_zyx,
            organ_name=self.organ_name,
        )

    @property
    def tissue(self) -> MaskArray:
        """The organ without its real tumors."""
        out: MaskArray = self.organ & ~self.tumor
        return out
