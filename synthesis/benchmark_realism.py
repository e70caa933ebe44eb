"""Made lesions beside the real ones of the shared CT set, by the proxies of ``engine.realism``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from synthesis.engine.arrays import MaskArray, Spacing
    from synthesis.engine.generators import Generator
    from synthesis.engine.quality import Gate
    from synthesis.engine.realism import Appearance
    from synthesis.engine.records import Scan

#: Lesions of each generator in each scan, and the sizes they are asked for (mm).
PER_SCAN, DIAMETER_MM = 5, (10.0, 30.0)
#: Real lesions below this (ml) have no inside to measure.
_SMALLEST_ML = 0.3


@dataclass(frozen=True)
class Case:
    """A scan of the shared set: where it lies, its organ, the files with its real lesions."""

    folder: str
    organ: str
    organ_file: str
    tumors: tuple[str, ...] = ()
    avoid: tuple[str, ...] = ()


CASES = (
    Case("liver_crlm-ct-1006", "liver", "liver.nii.gz", ("tumour_draft.nii.gz",)),
    Case("abdomen_cptac-pda-c3l-00189", "liver", "liver.nii.gz"),
    Case("lung_lidc-idri-0001", "lung", "lung.nii.gz", ("tumour.nii.gz",)),
    # The lymph nodes of this scan lie in the mediastinum: no lung lesions.
    Case(
        "lung_4dlung-p113", "lung", "lung.nii.gz", ("tumour.nii.gz",), avoid=("tumour_ln.nii.gz",)
    ),
)


def _read(path: Path) -> tuple[NDArray[np.int16], Spacing]:
    import nibabel as nib

    image: Any = nib.load(path)
    x, y, z = (float(step) for step in image.header.get_zooms()[:3])
    return np.ascontiguousarray(np.asarray(image.dataobj).T).astype(np.int16), (x, y, z)


def _scan(root: Path, case: Case) -> tuple[Scan, MaskArray]:
    """The host, its real lesions counted as tumor; and the mask of the lesions to compare with."""
    from synthesis.engine.records import Scan

    folder = root / case.folder
    hu, spacing = _read(folder / "ct.nii.gz")
    real = np.zeros(hu.shape, np.bool_)
    for name in case.tumors:
        real |= _read(folder / name)[0] > 0
    tumor = real.copy()
    for name in case.avoid:
        tumor |= _read(folder / name)[0] > 0
    organ = _read(folder / case.organ_file)[0] > 0
    return Scan(hu, spacing, case.organ, organ | real, tumor), real


def _real(scan: Scan, real: MaskArray) -> Iterator[Appearance]:
    """Each connected lesion, the others never taken for tissue."""
    from scipy import ndimage

    from synthesis.engine.arrays import voxel_ml
    from synthesis.engine.realism import describe

    pieces, count = ndimage.label(real, np.ones((3, 3, 3)))
    for index in range(1, count + 1):
        one = pieces == index
        if float(one.sum()) * voxel_ml(scan.spacing) >= _SMALLEST_ML:
            yield describe(
                scan.hu, one, scan.spacing, organ=scan.organ_mask, other_tumors=scan.tumor_mask
            )


def _made(scan: Scan, generator: Generator, gate: Gate) -> tuple[list[Appearance], int]:
    """Accepted lesions in the untouched scan, and how many were tried."""
    from synthesis.engine.pipeline import prepare, synthesize
    from synthesis.engine.realism import describe
    from synthesis.engine.records import Accepted, LesionSpec

    prepared, made, tried = prepare(scan), [], 0
    spec = LesionSpec(DIAMETER_MM, 0.5, max_attempts=3)
    for seed in range(PER_SCAN):
        outcome = synthesize(prepared, spec, generator, seed, gate)
        tried += len(outcome.rejected)
        if isinstance(outcome.verdict, Accepted):
            tried += 1
            lesion = outcome.verdict.lesion
            mask = np.zeros(scan.hu.shape, np.bool_)
            mask[lesion.box.slices] = lesion.mask
            made.append(
                describe(
                    lesion.apply(scan.hu),
                    mask,
                    scan.spacing,
                    organ=scan.organ_mask,
                    other_tumors=scan.tumor_mask,
                )
            )
    return made, tried


def realism(root: Path, generator: Path, segmentor: Path) -> dict[str, Any]:
    """Proxies of (a), (b) and the real lesions under ``root``, by organ."""
    from synthesis.benchmark import judged_networks
    from synthesis.engine.generators import get_generator
    from synthesis.engine.quality import judge

    ways = {
        "textural": (get_generator("textural"), judge),
        "learned": judged_networks(generator, segmentor),
    }
    found: dict[str, Any] = {}
    scans = [(case, *_scan(root, case)) for case in CASES]
    for organ in dict.fromkeys(case.organ for case in CASES):
        ours = [(scan, real) for case, scan, real in scans if case.organ == organ]
        groups = {"real": [look for scan, real in ours for look in _real(scan, real)]}
        tried = {}
        for name, (paint, gate) in ways.items():
            answers = [_made(scan, paint, gate) for scan, _ in ours]
            groups[name] = [look for looks, _ in answers for look in looks]
            tried[name] = sum(count for _, count in answers)
        found[organ] = {name: _numbers(name, groups, tried.get(name)) for name in groups}
    return found


def _numbers(name: str, groups: dict[str, list[Appearance]], tried: int | None) -> dict[str, Any]:
    from synthesis.engine.realism import feature_spread, histogram_distance, nearest_real

    group, real = groups[name], groups["real"]
    unit = feature_spread(list(groups.values()))
    ratios = [look.measure.noise_ratio for look in group]
    known = [ratio for ratio in ratios if np.isfinite(ratio)]
    rises = [look.edge_rise_mm for look in group]
    return {
        "n": len(group),
        "tried": tried,
        "diameter_mm": _middle([look.measure.diameter_mm for look in group]),
        "contrast_hu": _middle([look.measure.contrast_hu for look in group]),
        "histogram_hu": _finite(histogram_distance(group, real)),
        "noise_ratio": _middle(known),
        "noise_n": len(known),
        "noise_within": sum(0.8 <= ratio <= 1.25 for ratio in known),
        "edge_mm": _middle(rises),
        "edge_n": sum(bool(np.isfinite(rise)) for rise in rises),
        "edge_distance_mm": _edge_distance(group, real),
        "nearest": _mean(nearest_real(group, real, unit)),
    }


def _edge_distance(group: Sequence[Appearance], real: Sequence[Appearance]) -> float | None:
    """Mean difference (mm) of the edge rise over all pairs with a real lesion."""
    pairs = [abs(a.edge_rise_mm - b.edge_rise_mm) for a in group for b in real if a is not b]
    return _mean([pair for pair in pairs if np.isfinite(pair)])


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _middle(values: Sequence[float]) -> float | None:
    known = [value for value in values if np.isfinite(value)]
    return float(np.median(known)) if known else None


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
