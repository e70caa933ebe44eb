"""A radiomics reader: what the lesion looks like, in numbers, and a ridge logistic regression.

First-order statistics, shape and texture (gray-level co-occurrence, Haralick, IEEE Trans Syst Man
Cybern 3:610, 1973) of the lesion, its rim and the tissue around, in HU relative to that tissue
and in mm. The definitions follow the Image Biomarker Standardisation Initiative (Zwanenburg,
Radiology 295:328, 2020) in spirit; levels and distances are fixed here, so numbers are comparable
among cases of one trial and not with other software.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

from recognition.engine.arrays import MaskArray, equivalent_diameter_mm, voxel_ml, zyx
from recognition.engine.readers.logistic import FeatureReader
from recognition.engine.readers.view import View

Values = NDArray[np.floating]
#: Width of a gray level (HU), levels on each side of the surroundings, distance of voxels (mm).
_LEVEL_HU, _LEVELS, _APART_MM = 25.0, 12, 1.5
_FIRST = ("mean", "sd", "skewness", "kurtosis", "low decile", "high decile")
_TEXTURE = ("contrast", "homogeneity", "correlation", "entropy")
_SHAPE = ("log volume", "diameter", "sphericity", "elongation", "flatness")
_EDGE = ("rim sd", "rim gradient", "gradient over contrast", "contrast to noise")

FEATURES = (
    *_FIRST,
    "around sd",
    "around skewness",
    *(f"texture {name}" for name in _TEXTURE),
    *(f"around texture {name}" for name in _TEXTURE),
    *_SHAPE,
    *_EDGE,
)


def features(view: View) -> Values:
    """``FEATURES`` of a view; NaN where a region is too small for a number."""
    inside = view.hu[view.lesion].astype(np.float64) - view.level
    outside = view.hu[view.around].astype(np.float64) - view.level
    return np.array([
        *_first_order(inside),
        float(outside.std()) if outside.size else np.nan,
        float(stats.skew(outside)) if outside.size > 8 else np.nan,
        *_cooccurrence(view, view.lesion),
        *_cooccurrence(view, view.around),
        *_shape(view),
        *_edge(view, inside, outside),
    ])  # fmt: skip


def _first_order(values: Values) -> tuple[float, ...]:
    if values.size < 8 or float(values.std()) == 0.0:
        return (float(values.mean()) if values.size else np.nan, *[np.nan] * 5)
    low, high = np.percentile(values, (10, 90))
    return (
        float(values.mean()), float(values.std()), float(stats.skew(values)),
        float(stats.kurtosis(values)), float(low), float(high),
    )  # fmt: skip


def _cooccurrence(view: View, region: MaskArray) -> tuple[float, ...]:
    """Contrast, homogeneity, correlation and entropy within the slice, both axes together."""
    level = np.clip(np.rint((view.hu - view.level) / _LEVEL_HU), -_LEVELS, _LEVELS).astype(np.int64)
    level += _LEVELS
    side = 2 * _LEVELS + 1
    counts = np.zeros((side, side))
    for axis, mm in ((1, view.spacing[1]), (2, view.spacing[0])):
        step = max(1, round(_APART_MM / mm))
        first, second = [slice(None)] * 3, [slice(None)] * 3
        first[axis], second[axis] = slice(None, -step), slice(step, None)
        both = region[tuple(first)] & region[tuple(second)]
        a, b = level[tuple(first)][both], level[tuple(second)][both]
        counts += np.bincount(a * side + b, minlength=side * side).reshape(side, side)
    counts += counts.T
    if counts.sum() < 60:
        return (np.nan,) * 4
    p = counts / counts.sum()
    i, j = np.indices(p.shape)
    apart = (i - j).astype(np.float64)
    mean = float((i * p).sum())
    variance = float(((i - mean) ** 2 * p).sum())
    covariance = float(((i - mean) * (j - mean) * p).sum())
    filled = p[p > 0]
    return (
        float((apart**2 * p).sum()), float((p / (1 + apart**2)).sum()),
        covariance / variance if variance > 0 else np.nan, float(-(filled * np.log2(filled)).sum()),
    )  # fmt: skip


def _shape(view: View) -> tuple[float, ...]:
    ml = float(view.lesion.sum()) * voxel_ml(view.spacing)
    step = np.asarray(zyx(view.spacing))
    area = 0.0
    padded = np.pad(view.lesion, 1)
    for axis in range(3):  # faces of voxels; a factor of 2/3 makes that of a ball its surface
        faces = np.diff(padded.astype(np.int8), axis=axis) != 0
        area += float(faces.sum()) * float(np.prod(np.delete(step, axis))) * 2.0 / 3.0
    volume = 1000.0 * ml
    sphericity = np.pi ** (1 / 3) * (6 * volume) ** (2 / 3) / area if area > 0 else np.nan
    points = np.argwhere(view.lesion) * step
    if len(points) < 8:
        return (np.log(max(ml, 1e-4)), equivalent_diameter_mm(ml), sphericity, np.nan, np.nan)
    axes = np.sqrt(np.maximum(np.linalg.eigvalsh(np.cov(points.T)), 1e-6))
    return (
        float(np.log(max(ml, 1e-4))), equivalent_diameter_mm(ml), float(sphericity),
        float(axes[1] / axes[2]), float(axes[0] / axes[2]),
    )  # fmt: skip


def _edge(view: View, inside: Values, outside: Values) -> tuple[float, ...]:
    step = zyx(view.spacing)
    soft = ndimage.gaussian_filter(view.hu.astype(np.float32), [1.0 / mm for mm in step])
    slope = np.sqrt(sum(np.gradient(soft, mm, axis=a) ** 2 for a, mm in enumerate(step)))
    rim = view.hu[view.rim].astype(np.float64)
    steep = float(slope[view.rim].mean()) if view.rim.any() else np.nan
    contrast = abs(float(np.median(inside))) if inside.size else np.nan
    noise = float(outside.std()) if outside.size else np.nan
    return (
        float(rim.std()) if rim.size else np.nan, steep,
        steep / contrast if contrast and contrast > 5 else np.nan,
        contrast / noise if noise and noise > 0 else np.nan,
    )  # fmt: skip


class Radiomics(FeatureReader):
    """See the module."""

    name = "radiomics"
    title = "Radiomics"
    looks_at = (
        "brightness, shape and texture of the lesion, its rim and the tissue around "
        f"({len(FEATURES)} features), weighed by a ridge logistic regression"
    )
    features = FEATURES

    def prepare(self, view: View) -> Values:
        return features(view)
