"""Multi-reader inference for any number per reader that can be computed without a case.

A difference of two rates, a machine against a reader, the area of a type-2 curve: with the values
that leave one case (or patient) out, each gets the same Obuchowski-Rockette analysis as the AUC.
"""

from __future__ import annotations

import numpy as np

from readerstudy.analysis.stats.mrmc import MeanInference, infer_mean
from readerstudy.analysis.stats.types import FloatArray


def jackknife_covariance(left: FloatArray) -> FloatArray:
    """(J, J) from values with each of U units left out, (J, U)."""
    units = left.shape[1]
    centred = left - left.mean(axis=1, keepdims=True)
    matrix: FloatArray = (units - 1) / units * (centred @ centred.T)
    return matrix


def jackknife_mean(
    values: FloatArray,
    left: FloatArray,
    *,
    null: float = 0.0,
    margins: tuple[float, ...] = (),
    unit: str = "case",
) -> MeanInference:
    """Mean over readers with readers and cases random.

    Args:
        values: (J,) one per reader; NaN readers are left out.
        left: (J, U) the same without each unit; NaN where nothing would be left.
    """
    known = ~np.isnan(values)
    values, left = values[known], left[known]
    reason = None
    if left.shape[1] < 2:
        reason = f"fewer than two {unit}s"
    elif np.isnan(left).any():
        reason = f"leaving out one {unit} leaves a reader without a value"
    matrix = None if reason or not len(values) else jackknife_covariance(left)
    return infer_mean(values, matrix, null=null, margins=margins, reason=reason)
