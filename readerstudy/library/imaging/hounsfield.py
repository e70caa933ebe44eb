"""Stored values to int16 HU, exactly or not at all."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from readerstudy.library.imaging.errors import ImagingError

# Floating-point noise of a float32 file at 3000 HU is 2e-4; a resampled image is off by far more.
ROUNDING = 1e-3
LOWEST, HIGHEST = np.iinfo(np.int16).min, np.iinfo(np.int16).max


def to_hu(stored: npt.NDArray[np.generic], slope: float, intercept: float) -> npt.NDArray[np.int16]:
    """``stored * slope + intercept`` as int16.

    Raises:
        ImagingError: a value is not finite, not a whole number of HU, or beyond int16.
    """
    if stored.size == 0:
        raise ImagingError("it holds no voxel")
    if stored.dtype.kind in "iu" and slope.is_integer() and intercept.is_integer():
        # the extremes first: exact Python integers, no overflow on the way
        ends = [int(stored.min()), int(stored.max())]
        _check_range(*sorted(value * int(slope) + int(intercept) for value in ends))
        if slope == 1 and intercept == 0:
            return stored.astype(np.int16)
        wide = stored.astype(np.int64)
        return (wide * int(slope) + int(intercept)).astype(np.int16)
    values = stored.astype(np.float64) * slope + intercept
    if not np.isfinite(values).all():
        missing = int(np.count_nonzero(~np.isfinite(values)))
        count = "1 voxel is" if missing == 1 else f"{missing:,} voxels are"
        raise ImagingError(f"{count} not a number (NaN or infinite); replace by HU and save again")
    whole = np.rint(values)
    _check_range(float(whole.min()), float(whole.max()))
    if np.abs(values - whole).max() > ROUNDING:
        raise ImagingError(
            "its values are not whole HU, so it was resampled or filtered; "
            "import the original series"
        )
    return whole.astype(np.int16)


def _check_range(low: float, high: float) -> None:
    if low < LOWEST or high > HIGHEST:
        raise ImagingError(f"its values reach from {low:,.0f} to {high:,.0f}, beyond HU (int16)")
