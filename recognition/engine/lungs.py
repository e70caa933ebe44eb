"""The lungs of a chest CT by thresholding: air that the outside does not reach, made whole.

For volumes that come without an organ mask. Vessels and tumors inside the lungs, and tumors that
sit against the chest wall up to the width of the closing, belong to the mask; the larger airways
do too, as far as they lie between the lungs. No network, no weights: the intensity of air makes
it possible, as in Hu, Hoffman & Reinhardt 2001 (IEEE Trans Med Imaging 20:490).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from recognition.engine.arrays import Hu, MaskArray, Spacing, bounds, voxel_ml, zyx
from recognition.engine.errors import RecognitionError

#: Between aerated lung (about -850 HU) and soft tissue (about 40 HU).
AIR_HU = -400.0
_SMOOTHING_MM = 0.5
#: A component that shows more of its voxels than this at the sides of the image is the outside.
_AT_THE_SIDES = 0.02
#: A second lung is at least so large beside the first; what is smaller is bowel or air elsewhere.
_SECOND_LUNG = 0.1
_SMALLEST_ML = 200.0


def segment_lungs(hu: Hu, spacing: Spacing, *, closing_mm: float = 10.0) -> MaskArray:
    """Both lungs of one volume.

    Args:
        hu: (z, y, x), axial slices.
        spacing: voxel size (x, y, z) in mm.
        closing_mm: indentations narrower than twice this are filled.

    Raises:
        RecognitionError: there is no air of the size of a lung.
        ValueError: not a volume, or a spacing that is none.
    """
    if hu.ndim != 3:
        raise ValueError(f"A volume has three axes, not {hu.ndim}.")
    mm = zyx(spacing)
    width = (0.0, _SMOOTHING_MM / mm[1], _SMOOTHING_MM / mm[2])
    air = ndimage.gaussian_filter(hu.astype(np.float32), width) < AIR_HU
    lungs = _inside(air, voxel_ml(spacing))
    box = bounds(lungs, margin=1)
    if box is None:
        raise RecognitionError(
            "No lung was found in this volume (no enclosed air of at least "
            f"{_SMALLEST_ML:.0f} ml); bring a lung mask along."
        )
    out = np.zeros(hu.shape, bool)
    out[box] = _whole(lungs[box], mm, closing_mm)
    return out


def _inside(air: MaskArray, ml: float) -> MaskArray:
    """The largest enclosed components of air: one where the lungs meet, or two."""
    labels, count = ndimage.label(air)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sides = np.zeros(count + 1, np.int64)
    for face in (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]):
        sides += np.bincount(face.ravel(), minlength=count + 1)
    enclosed = np.where(sides <= _AT_THE_SIDES * sizes, sizes, 0)
    enclosed[0] = 0
    largest = int(enclosed.max(initial=0))
    if largest * ml < _SMALLEST_ML:
        return np.zeros(air.shape, bool)
    first, second = np.argsort(-enclosed)[:2] if count > 1 else (int(enclosed.argmax()), 0)
    keep = [first] if enclosed[second] < _SECOND_LUNG * largest else [first, second]
    out: MaskArray = np.isin(labels, keep)
    return out


def _whole(lungs: MaskArray, mm: Spacing, closing_mm: float) -> MaskArray:
    """Fill vessels, tumors and notches: a closing by a ball, then holes slice by slice."""
    pad = [(int(np.ceil(closing_mm / s)) + 1,) * 2 for s in mm]
    padded = np.pad(lungs, pad)
    grown = _distance(~padded, mm) <= closing_mm
    closed = _distance(grown, mm) > closing_mm
    inner = tuple(slice(a, n - b) for (a, b), n in zip(pad, padded.shape, strict=True))
    whole: MaskArray = closed[inner] | lungs
    for k in range(len(whole)):
        whole[k] = ndimage.binary_fill_holes(whole[k])
    return whole


def _distance(mask: MaskArray, mm: Spacing) -> NDArray[np.float64]:
    """Millimetres from each set voxel to the nearest that is not."""
    out: NDArray[np.float64] = ndimage.distance_transform_edt(mask, sampling=mm)
    return out
