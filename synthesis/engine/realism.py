"""How far made lesions are from real ones, in numbers: proxies, not a reader's eye.

Each lesion is described by itself (``describe``), then groups are compared. Every distance from
made to real lesions comes with the same distance among the real ones, the yardstick: no
generator can be asked to lie closer to real lesions than they lie to each other. With few real
lesions the yardstick is as uncertain as everything measured with it.

* **HU histogram**: Wasserstein distance (HU) between the histograms of two lesions, each in HU
  relative to the organ around; mean over all pairs.
* **Noise ratio**: high-pass noise inside over around (``measure``); 0.8 to 1.25 is asked for.
* **Edge rise**: distance (mm) over which the lesion's edge goes from 10 to 90 % of its height.
* **Nearest neighbor**: distance to the nearest real lesion over ``FEATURES``, each in units of
  its spread. Features are defined here and written out; shape follows from the mask, texture from
  gray-level co-occurrence (Haralick 1973) at about 1.5 mm within the slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize, special, stats

from synthesis.engine.arrays import (
    Field,
    Hu,
    MaskArray,
    Spacing,
    bounding_box,
    voxel_ml,
    zyx,
)
from synthesis.engine.measure import RING_MM, LesionMeasure, measure_lesion

FEATURES = (
    "contrast",
    "sd",
    "skewness",
    "kurtosis",
    "low decile",
    "high decile",
    "glcm contrast",
    "glcm homogeneity",
    "glcm correlation",
    "glcm entropy",
    "sphericity",
    "elongation",
    "flatness",
    "edge rise",
)
#: Width of a gray level (HU) and distance (mm) of the two voxels of a co-occurrence.
_LEVEL_HU = 25.0
_APART_MM = 1.5
#: The edge is read this far (mm) on both sides of the outline.
_EDGE_MM = 7.0
_ENOUGH_VOXELS = 30
#: From 10 to 90 % of a normal distribution function, in its standard deviations.
_RISE = float(2.0 * special.ndtri(0.9))
#: Bounds of an edge's standard deviation (mm).
_SHARPEST_MM, _SOFTEST_MM = 0.05, 8.0

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Appearance:
    """One lesion as it is compared: NaN where it is too small for a number."""

    measure: LesionMeasure
    hu: Values
    edge_rise_mm: float
    features: Values


def describe(
    hu: Hu | Field,
    mask: MaskArray,
    spacing: Spacing,
    *,
    organ: MaskArray | None = None,
    other_tumors: MaskArray | None = None,
) -> Appearance:
    """Describe the lesion ``mask`` in ``hu``; arguments as in ``measure_lesion``.

    Raises:
        ValueError: the mask is empty.
    """
    measure = measure_lesion(hu, mask, spacing, organ=organ, other_tumors=other_tumors)
    tight = bounding_box(mask)
    assert tight is not None  # noqa: S101 - measure_lesion has refused an empty mask
    step = zyx(spacing)
    box = tight.grown(RING_MM[1], step).clipped(mask.shape)
    crop = np.asarray(hu[box.slices], np.float32)
    lesion = np.asarray(mask[box.slices], bool)
    around = ~lesion
    if organ is not None:
        around &= np.asarray(organ[box.slices], bool)
    if other_tumors is not None:
        around &= ~np.asarray(other_tumors[box.slices], bool)
    level = measure.ring_hu if np.isfinite(measure.ring_hu) else 0.0
    values = crop[lesion].astype(np.float64) - level
    rise = edge_rise_mm(crop, lesion, around, step)
    features = np.array(
        [
            *_first_order(values),
            *_cooccurrence(crop, lesion, step),
            *_shape(lesion, step),
            rise,
        ]
    )
    return Appearance(measure, values, rise, features)


# -- one lesion ------------------------------------------------------------------------------------


def edge_rise_mm(hu: Field, lesion: MaskArray, around: MaskArray, spacing_zyx: Spacing) -> float:
    """Distance in mm over which the edge goes from 10 to 90 %; NaN where there is no edge.

    HU against the distance from the outline, within the slice, is fitted by
    ``a + b * Phi(d / s)``, the answer of a step to a Gaussian blur; the rise is ``2.563 s``.
    Slices with less than half the lesion's largest cross-section are left out: there the surface
    slants through the slice.

    Args:
        hu: crop, (z, y, x).
        lesion: the lesion on it.
        around: tissue that may be read outside it.
        spacing_zyx: voxel size (z, y, x) in mm.
    """
    areas = lesion.sum(axis=(1, 2))
    distances, values = [], []
    for z in np.flatnonzero(areas >= 0.5 * areas.max(initial=1)):
        inside = lesion[z]
        step = spacing_zyx[1:]
        # Both transforms count from voxel centers: the outline lies half a voxel before them.
        half = 0.25 * (step[0] + step[1])
        gap = ndimage.distance_transform_edt(~inside, sampling=step) - half
        depth = ndimage.distance_transform_edt(np.pad(inside, 1), sampling=step)[1:-1, 1:-1] - half
        signed = np.where(inside, depth, -gap)
        read = (np.abs(signed) <= _EDGE_MM) & (inside | around[z])
        distances.append(signed[read])
        values.append(hu[z][read])
    d = np.concatenate(distances) if distances else np.zeros(0)
    v = np.concatenate(values).astype(np.float64) if values else np.zeros(0)
    return _fitted_rise(d, v)


def _fitted_rise(d: Values, v: Values) -> float:
    """The rise of values ``v`` at distances ``d`` (positive inside), or NaN."""
    middle, deep, off = np.abs(d) < 1.5, d > 1.5, d < -1.5
    if min(int(part.sum()) for part in (middle, deep, off)) < _ENOUGH_VOXELS:
        return float("nan")
    low, high = float(np.median(v[off])), float(np.median(v[deep]))

    def edge(x: Values, a: float, b: float, shift: float, s: float) -> Values:
        out: Values = a + b * special.ndtr((x - shift) / s)
        return out

    try:
        (_, height, _, s), _ = optimize.curve_fit(
            edge,
            d,
            v,
            p0=(low, high - low, 0.0, 1.0),
            bounds=((-2000, -4000, -3.0, _SHARPEST_MM), (4000, 4000, 3.0, _SOFTEST_MM)),
            max_nfev=200,
        )
    except RuntimeError:
        return float("nan")
    noise = float(np.std(v[off])) if off.any() else 0.0
    # Without a step there is nothing whose width could be told.
    if abs(height) < 0.5 * noise or s > 0.99 * _SOFTEST_MM:
        return float("nan")
    return float(_RISE * s)


def _first_order(values: Values) -> list[float]:
    """Median, SD, skewness, excess kurtosis, lowest and highest decile about the median."""
    median = float(np.median(values))
    low, high = np.percentile(values, (10, 90)) - median
    if values.size < _ENOUGH_VOXELS or float(values.std()) == 0.0:
        return [median, float(values.std()), float("nan"), float("nan"), float(low), float(high)]
    return [
        median,
        float(values.std()),
        float(stats.skew(values)),
        float(stats.kurtosis(values)),
        float(low),
        float(high),
    ]


def cooccurrence(
    levels: NDArray[np.int64], lesion: MaskArray, apart: tuple[int, int]
) -> NDArray[np.float64]:
    """Symmetric gray-level co-occurrence matrix of voxel pairs in the lesion, sum 1.

    ``apart`` is the distance in voxels down and across: pairs lie along each of both axes.
    """
    size = int(levels[lesion].max(initial=0)) + 1
    counts = np.zeros((size, size))
    for axis, n in ((1, apart[0]), (2, apart[1])):
        first: list[slice] = [slice(None)] * 3
        second: list[slice] = [slice(None)] * 3
        first[axis], second[axis] = slice(None, -n), slice(n, None)
        a, b = tuple(first), tuple(second)
        both = lesion[a] & lesion[b]
        np.add.at(counts, (levels[a][both], levels[b][both]), 1.0)
    counts += counts.T
    out: NDArray[np.float64] = counts / max(float(counts.sum()), 1.0)
    return out


def _cooccurrence(hu: Field, lesion: MaskArray, spacing_zyx: Spacing) -> list[float]:
    """Contrast, homogeneity, correlation and entropy (bits) of the co-occurrence matrix."""
    if int(lesion.sum()) < _ENOUGH_VOXELS:
        return [float("nan")] * 4
    lowest = float(hu[lesion].min())
    levels = np.clip((hu - lowest) // _LEVEL_HU, 0, 255).astype(np.int64)
    apart = tuple(max(1, round(_APART_MM / s)) for s in spacing_zyx[1:])
    p = cooccurrence(levels, lesion, (apart[0], apart[1]))
    i, j = np.indices(p.shape)
    mean = float((i * p).sum())
    variance = float(((i - mean) ** 2 * p).sum())
    positive = p[p > 0]
    return [
        float(((i - j) ** 2 * p).sum()),
        float((p / (1.0 + (i - j) ** 2)).sum()),
        float(((i - mean) * (j - mean) * p).sum() / variance) if variance > 0 else float("nan"),
        float(-(positive * np.log2(positive)).sum()),
    ]


def _shape(lesion: MaskArray, spacing_zyx: Spacing) -> list[float]:
    """Sphericity, and middle and least over greatest axis of the ellipsoid of inertia.

    The surface of the sphericity is that of all outer voxel faces over 1.5, which is what they
    exceed a smooth surface by when its directions are evenly spread (Cauchy).
    """
    points = np.argwhere(lesion) * np.asarray(spacing_zyx)
    if len(points) < _ENOUGH_VOXELS:
        return [float("nan")] * 3
    # A voxel is not a point: its own extent belongs to the inertia.
    own = np.diag(np.asarray(spacing_zyx) ** 2 / 12.0)
    least, middle, greatest = np.sqrt(np.linalg.eigvalsh(np.cov(points.T) + own))
    padded = np.pad(lesion, 1)
    face = [
        spacing_zyx[1] * spacing_zyx[2],
        spacing_zyx[0] * spacing_zyx[2],
        spacing_zyx[0] * spacing_zyx[1],
    ]
    stairs = sum(
        float((np.diff(padded.astype(np.int8), axis=axis) != 0).sum()) * area
        for axis, area in enumerate(face)
    )
    surface = stairs / 1.5
    volume = len(points) * 1000.0 * voxel_ml(spacing_zyx)
    sphericity = float(np.pi ** (1 / 3) * (6.0 * volume) ** (2 / 3) / surface)
    return [sphericity, float(middle / greatest), float(least / greatest)]


# -- groups ----------------------------------------------------------------------------------------


def histogram_distance(first: Sequence[Appearance], second: Sequence[Appearance]) -> float:
    """Mean Wasserstein distance (HU) over all pairs of one lesion each; NaN without a pair.

    Given the same group twice, a lesion is not compared with itself.
    """
    pairs = [
        float(stats.wasserstein_distance(a.hu, b.hu)) for a in first for b in second if a is not b
    ]
    return float(np.mean(pairs)) if pairs else float("nan")


def feature_spread(groups: Sequence[Sequence[Appearance]]) -> Values:
    """Unit of each feature: the mean over the groups of its SD within the group.

    Within the groups, so that a group far away does not shorten the distance to it.
    """
    spreads = [np.nanstd([a.features for a in group], axis=0) for group in groups if len(group) > 1]
    if not spreads:
        return np.ones(len(FEATURES))
    unit: Values = np.nanmean(spreads, axis=0)
    out: Values = np.where(np.isfinite(unit) & (unit > 0), unit, 1.0)
    return out


def feature_distance(a: Appearance, b: Appearance, unit: Values) -> float:
    """Root mean square difference over the features that both lesions have, in ``unit``."""
    difference = (a.features - b.features) / unit
    known = np.isfinite(difference)
    return float(np.sqrt(np.mean(difference[known] ** 2))) if known.any() else float("nan")


def nearest_real(
    lesions: Sequence[Appearance], real: Sequence[Appearance], unit: Values
) -> list[float]:
    """Distance of each lesion to the nearest of n - 1 real ones; empty for fewer than two.

    A real lesion has only n - 1 others. To give made lesions no better chance, theirs is the mean
    over leaving out each real one in turn.
    """
    if len(real) < 2:
        return []
    out = []
    for lesion in lesions:
        distances = [feature_distance(lesion, other, unit) for other in real if other is not lesion]
        if len(distances) < len(real):
            out.append(min(distances))
            continue
        nearest, *others = sorted(distances)
        # Only leaving out the nearest changes the answer.
        out.append(((len(real) - 1) * nearest + others[0]) / len(real))
    return out
