"""From loose CT slices to stacks that are volumes, or a reason why they are not."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from readerstudy.library.imaging.dicom.headers import CtSlice
from readerstudy.library.imaging.errors import ImagingError
from readerstudy.library.imaging.geometry import Direction, FloatArray, Geometry
from readerstudy.library.imaging.limits import MAX_VOXELS, MIN_SLICES

# Steps may differ by this share of the step before the stack is not evenly spaced any more;
# above the lower share it is said as a warning. Scanners write positions to 0.1 mm or better.
UNEVEN = 0.05
NOTICEABLE = 0.01
# A sideways drift over the whole stack below this share of a pixel is rounding.
DRIFT = 0.1


@dataclass
class Stack:
    """Slices of one series that lie on one grid, sorted along their normal."""

    slices: list[CtSlice]
    geometry: Geometry
    warnings: list[str] = field(default_factory=list)

    @property
    def patient_key(self) -> str:
        return self.slices[0].patient_key

    @property
    def frame_uid(self) -> str:
        return self.slices[0].frame_uid

    @property
    def synthetic(self) -> bool:
        """Whether any of the files says that its data is synthetic."""
        return any(item.synthetic for item in self.slices)


@dataclass(frozen=True)
class Refused:
    """Slices that do not make a volume: their file names and one reason."""

    names: list[str]
    reason: str
    serious: bool = True


def group_slices(slices: Iterable[CtSlice]) -> tuple[list[Stack], list[Refused]]:
    """Sort slices into stacks by series and geometry; each that is no volume has its reason."""
    stacks: list[Stack] = []
    refused: list[Refused] = []
    groups: dict[tuple[object, ...], list[CtSlice]] = defaultdict(list)
    for item in slices:
        groups[_grid_key(item)].append(item)
    for members in groups.values():
        unique, doubles = _without_duplicates(members)
        refused.extend(
            Refused([double.name], f"the same instance as {first.name}", serious=False)
            for double, first in doubles
        )
        for part in _by_acquisition(unique):
            try:
                stacks.append(build_stack(part))
            except ImagingError as error:
                names = sorted({item.name for item in part})
                serious = len(part) >= MIN_SLICES
                refused.append(Refused(names, str(error), serious=serious))
    return stacks, refused


def build_stack(slices: list[CtSlice]) -> Stack:
    """Sort slices of one grid along their normal and check that they fill a straight box.

    Raises:
        ImagingError: too few, two at one place, a gap, mixed steps, a tilt, more than one patient.
    """
    if len(slices) < MIN_SLICES:
        raise ImagingError(f"only {_count(len(slices))} of this size and direction: not a volume")
    if len({item.patient_key for item in slices}) > 1:
        raise ImagingError("one series number holds slices of more than one patient")
    first = slices[0]
    normal = np.cross(first.along_row, first.along_column)
    ordered = sorted(slices, key=lambda item: float(np.dot(normal, item.position)))
    positions = np.array([item.position for item in ordered])
    warnings = list(dict.fromkeys(note for item in ordered for note in item.warnings))
    step = _even_step(ordered, positions @ normal, warnings)
    _check_straight(ordered, positions, normal)
    geometry = Geometry(
        shape=(len(ordered), first.rows, first.columns),
        spacing=(first.column_spacing, first.row_spacing, step),
        origin=ordered[0].position,
        direction=_columns(first.along_row, first.along_column, normal),
    )
    if math.prod(geometry.shape) > MAX_VOXELS:
        raise ImagingError(f"{len(ordered)} slices are more than can be read as one volume")
    return Stack(ordered, geometry, warnings)


def _grid_key(item: CtSlice) -> tuple[object, ...]:
    return (
        item.series_uid,
        item.frame_uid,
        item.rows,
        item.columns,
        round(item.row_spacing, 4),
        round(item.column_spacing, 4),
        *(round(value, 3) + 0.0 for value in (*item.along_row, *item.along_column)),
    )


def _without_duplicates(
    slices: list[CtSlice],
) -> tuple[list[CtSlice], list[tuple[CtSlice, CtSlice]]]:
    """The first file of each instance, and (double, first) for the others."""
    seen: dict[tuple[str, int], CtSlice] = {}
    doubles = []
    for item in sorted(slices, key=lambda item: (item.name, item.frame)):
        first = seen.setdefault((item.instance_uid or item.name, item.frame), item)
        if first is not item:
            doubles.append((item, first))
    return list(seen.values()), doubles


def _by_acquisition(slices: list[CtSlice]) -> list[list[CtSlice]]:
    """One list, or one per acquisition when places repeat (phases of contrast in one series)."""
    if not _places_repeat(slices):
        return [slices]
    parts: dict[str, list[CtSlice]] = defaultdict(list)
    for item in slices:
        parts[item.acquisition].append(item)
    if len(parts) > 1 and not any(_places_repeat(part) for part in parts.values()):
        return list(parts.values())
    return [slices]


def _places_repeat(slices: list[CtSlice]) -> bool:
    places = {tuple(round(value, 2) for value in item.position) for item in slices}
    return len(places) < len(slices)


def _even_step(ordered: list[CtSlice], along: FloatArray, warnings: list[str]) -> float:
    steps = np.diff(along)
    typical = float(np.median(steps))
    tightest = int(np.argmin(steps))
    if steps[tightest] < 0.01:
        a, b = ordered[tightest], ordered[tightest + 1]
        raise ImagingError(
            f"{_pair(a, b)} are two different images at the same place; import one phase at a time"
        )
    # the exact mean: what a reader of the first and last position would compute
    step = float(along[-1] - along[0]) / len(steps)
    worst = int(np.argmax(np.abs(steps - typical)))
    deviation = abs(float(steps[worst]) - typical) / typical
    if deviation > UNEVEN:
        raise ImagingError(_uneven(ordered, steps, typical, worst))
    if deviation > NOTICEABLE:
        warnings.append(
            f"Slice steps vary between {steps.min():.3f} and {steps.max():.3f} mm; "
            f"the mean, {step:.3f} mm, is used."
        )
    return step


def _uneven(ordered: list[CtSlice], steps: FloatArray, typical: float, worst: int) -> str:
    ratios = steps / typical
    whole = np.abs(ratios - np.round(ratios)) <= UNEVEN * np.maximum(1, np.round(ratios))
    wide = np.flatnonzero(ratios > 1.5)
    if whole.all() and len(wide) <= max(3, len(steps) // 10):
        missing = int(np.sum(np.round(ratios[wide]) - 1))
        a, b = ordered[int(wide[0])], ordered[int(wide[0]) + 1]
        return (
            f"{_count(missing)} missing: {_pair(a, b)} are {steps[wide[0]]:.2f} mm apart, "
            f"the others {typical:.2f} mm; export the series again"
        )
    return (
        f"its slice spacing is mixed ({steps.min():.2f} to {steps.max():.2f} mm), so it is no "
        "regular grid; export each reconstruction as its own series"
    )


def _check_straight(ordered: list[CtSlice], positions: FloatArray, normal: FloatArray) -> None:
    """Each slice must lie straight above the first, or the stack is sheared."""
    offset = positions - positions[0]
    height = offset @ normal
    sideways = np.linalg.norm(offset - height[:, None] * normal, axis=1)
    worst = int(np.argmax(sideways))
    pixel = min(ordered[0].row_spacing, ordered[0].column_spacing)
    if sideways[worst] <= DRIFT * pixel:
        return
    expected = sideways[-1] * height / height[-1]
    if np.abs(sideways - expected).max() <= DRIFT * pixel + 0.02 * sideways[-1]:
        angle = math.degrees(math.atan2(float(sideways[-1]), float(height[-1])))
        raise ImagingError(
            f"it was scanned with a gantry tilt of {angle:.1f} degrees, so its slices do not fill "
            "a straight box; resample it to untilted slices first"
        )
    raise ImagingError(
        f"slice {ordered[worst].name} lies {sideways[worst]:.1f} mm to the side of the others"
    )


def _columns(
    x: tuple[float, float, float], y: tuple[float, float, float], z: FloatArray
) -> Direction:
    a, b, c = ((x[row], y[row], float(z[row])) for row in range(3))
    return a, b, c


def _pair(a: CtSlice, b: CtSlice) -> str:
    if a.path == b.path:
        return f"frames {a.frame + 1} and {b.frame + 1} of {a.name}"
    return f"{a.name} and {b.name}"


def _count(number: int) -> str:
    return "1 slice" if number == 1 else f"{number} slices"
