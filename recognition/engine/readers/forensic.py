"""A forensic reader: traces that tampering leaves in pixels, whatever the lesion looks like.

Each feature compares the lesion with the tissue around it, so that a noisy scanner is no clue:

* noise: its level in the lesion and in shells around the outline, over that of the surroundings;
* correlation of the grain with its neighbor in x, y and z: repainted voxels are often smoother,
  or of another reconstruction kernel;
* spectrum: fine over coarse grain;
* edge: how steep it is, and how far its profile is from a smooth rise;
* numbers: how HU are rounded (last digits, share of all values that occur).

The idea is that of image forensics, e.g. inconsistent noise (Mahdian and Saic, Image Vis Comput
27:1497, 2009); the features are defined here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from recognition.engine.arrays import MaskArray
from recognition.engine.readers.logistic import FeatureReader
from recognition.engine.readers.view import View, robust_sd

Values = NDArray[np.floating]
#: Shells (mm from the outline, positive inside) whose noise is compared with the surroundings.
_SHELLS = ((3.0, 40.0), (1.0, 3.0), (-1.0, 1.0), (-3.0, -1.0), (-6.0, -3.0))
#: The profile across the outline is read in steps of 1 mm from -7 to 7.
_PROFILE_MM = 7
_ENOUGH = 40

FEATURES = (
    "noise inside",
    *(f"noise from {low:g} to {high:g} mm" for low, high in _SHELLS),
    *(f"correlation along {axis}" for axis in "xyz"),
    "fine over coarse",
    "curvature of noise",
    "edge steepness",
    "edge unevenness",
    "even values",
    "multiples of five",
    "values used",
)


def features(view: View) -> Values:
    """``FEATURES`` of a view; NaN where a region is too small for a number."""
    inner: MaskArray = view.lesion & (view.depth >= min(1.0, 0.5 * float(view.depth.max())))
    outer = view.around
    grain = view.grain
    reference = _noise(grain, outer)
    shells = [
        _ratio(_noise(grain, (view.depth >= low) & (view.depth < high)), reference)
        for low, high in _SHELLS
    ]
    return np.array([
        _ratio(_noise(grain, inner), reference), *shells,
        *(_correlation(grain, inner, k) - _correlation(grain, outer, k) for k in (2, 1, 0)),
        *_spectrum(view, inner, outer),
        *_profile(view, reference),
        *_numbers(view, inner, outer),
    ])  # fmt: skip


def _noise(grain: NDArray[np.float32], region: MaskArray) -> float:
    return robust_sd(grain[region]) if int(region.sum()) >= _ENOUGH else float("nan")


def _ratio(one: float, other: float) -> float:
    """Natural logarithm of a ratio of standard deviations."""
    return float(np.log((one + 0.25) / (other + 0.25)))


def _correlation(grain: NDArray[np.float32], region: MaskArray, axis: int) -> float:
    """Correlation of the grain of neighbors along an axis, both in the region."""
    first, second = [slice(None)] * 3, [slice(None)] * 3
    first[axis], second[axis] = slice(None, -1), slice(1, None)
    both = region[tuple(first)] & region[tuple(second)]
    if int(both.sum()) < _ENOUGH:
        return float("nan")
    a, b = grain[tuple(first)][both], grain[tuple(second)][both]
    spread = float(a.std() * b.std())
    return float(((a - a.mean()) * (b - b.mean())).mean()) / spread if spread > 0 else 0.0


def _spectrum(view: View, inner: MaskArray, outer: MaskArray) -> tuple[float, float]:
    values = view.hu.astype(np.float32)
    bands = [ndimage.gaussian_filter(values, (0.0, s, s)) for s in (0.6, 1.2, 2.4)]
    fine, coarse = values - bands[0], bands[1] - bands[2]
    ratios = [_ratio(_noise(fine, region), _noise(coarse, region)) for region in (inner, outer)]
    bent = ndimage.laplace(values)
    return ratios[0] - ratios[1], _ratio(_noise(bent, inner), _noise(bent, outer))


def _profile(view: View, noise: float) -> tuple[float, float]:
    """Steepest step of the mean profile over its height, and what is not a smooth rise."""
    means = []
    for middle in range(-_PROFILE_MM, _PROFILE_MM + 1):
        shell = (view.depth > middle - 0.5) & (view.depth <= middle + 0.5)
        means.append(float(view.hu[shell].mean()) if int(shell.sum()) >= 12 else np.nan)
    profile = np.asarray(means)
    known = np.isfinite(profile)
    if known.sum() < 8:
        return (np.nan, np.nan)
    profile = profile[known]
    height = float(profile[-2:].mean() - profile[:4].mean())
    steps = np.diff(profile)
    if abs(height) < 5.0:
        return (np.nan, float(np.abs(np.diff(steps)).max()) / (noise + 0.5))
    return (
        float(np.abs(steps).max() / abs(height)),
        float(np.abs(np.diff(profile, n=3)).mean() / abs(height)),
    )


def _numbers(view: View, inner: MaskArray, outer: MaskArray) -> tuple[float, float, float]:
    """How the HU of the lesion are rounded, less the same of the surroundings."""
    if min(int(inner.sum()), int(outer.sum())) < _ENOUGH:
        return (np.nan, np.nan, np.nan)
    a, b = view.hu[inner].astype(np.int64), view.hu[outer].astype(np.int64)
    count = min(len(a), len(b))
    even = float((a % 2 == 0).mean() - (b % 2 == 0).mean())
    fives = float((a % 5 == 0).mean() - (b % 5 == 0).mean())
    return even, fives, _used(a, count) - _used(b, count)


def _used(values: NDArray[np.int64], count: int) -> float:
    """Share of the HU between the quartiles that occur, among evenly picked ``count`` voxels."""
    some = values[np.linspace(0, len(values) - 1, count).astype(int)]
    low, high = np.percentile(some, (25, 75))
    middle = some[(some >= low) & (some <= high)]
    return len(np.unique(middle)) / max(1.0, float(high - low) + 1.0)


class Forensic(FeatureReader):
    """See the module."""

    name = "forensic"
    title = "Forensic features"
    looks_at = (
        "traces of tampering: noise and its correlation in the lesion against the tissue around, "
        f"the profile of the edge, the rounding of HU ({len(FEATURES)} features), weighed by a "
        "ridge logistic regression"
    )
    features = FEATURES

    def prepare(self, view: View) -> Values:
        return features(view)
