"""Organ masks for volumes that come without: lungs by thresholding, others by TotalSegmentator.

TotalSegmentator is no part of the installation (extra ``organs``). Only its open task ``total`` is
used; other tasks of it need a licence. It downloads its weights when it runs for the first time.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recognition.engine.arrays import Hu, MaskArray, Spacing
from recognition.engine.errors import RecognitionError

THRESHOLD, TOTAL = "threshold", "totalsegmentator"
METHODS = (THRESHOLD, TOTAL)
#: Organ -> the classes of the task ``total`` (version 2) that make it up.
CLASSES: dict[str, tuple[str, ...]] = {
    "adrenal gland": ("adrenal_gland_right", "adrenal_gland_left"),
    "bladder": ("urinary_bladder",),
    "colon": ("colon",),
    "esophagus": ("esophagus",),
    "gallbladder": ("gallbladder",),
    "kidney": ("kidney_right", "kidney_left"),
    "liver": ("liver",),
    "lung": (
        "lung_upper_lobe_left",
        "lung_lower_lobe_left",
        "lung_upper_lobe_right",
        "lung_middle_lobe_right",
        "lung_lower_lobe_right",
    ),
    "pancreas": ("pancreas",),
    "prostate": ("prostate",),
    "spleen": ("spleen",),
    "stomach": ("stomach",),
}
EXTRA = (
    "TotalSegmentator is not installed here: install the extra 'organs' "
    "(pip install 'readerstudy[organs]'), or bring a mask along"
)


def has_totalsegmentator() -> bool:
    """Whether the package is there; it is not imported."""
    return importlib.util.find_spec("totalsegmentator") is not None


def method_for(organ: str, method: str = "auto") -> str:
    """The method that will be used.

    Raises:
        RecognitionError: no method makes this organ, or the one that does is not installed.
    """
    if method not in ("auto", *METHODS):
        raise RecognitionError(
            f"There is no method {method!r}; choose auto, {' or '.join(METHODS)}."
        )
    if organ not in CLASSES:
        raise RecognitionError(
            f"No mask of the {organ} can be made; choose one of: {', '.join(CLASSES)}."
        )
    if method == THRESHOLD and organ != "lung":
        raise RecognitionError(
            f"Thresholding finds lungs alone, not the {organ}; use {TOTAL} for it."
        )
    if method == THRESHOLD or (method == "auto" and organ == "lung"):
        return THRESHOLD
    if not has_totalsegmentator():
        raise RecognitionError(f"{EXTRA}.")
    return TOTAL


def segment_organ(
    hu: Hu, spacing: Spacing, affine: NDArray[np.float64], organ: str, method: str = "auto"
) -> MaskArray:
    """The mask of one organ.

    Args:
        hu: (z, y, x), axial slices that grow to the head, the back and the left.
        spacing: (x, y, z) in mm.
        affine: (4, 4), index (x, y, z) to mm in RAS, as NIfTI has it.
        organ: a key of ``CLASSES``.
        method: ``threshold``, ``totalsegmentator``, or ``auto``: the first for lungs.

    Raises:
        RecognitionError: see `method_for`; or the organ is not in this volume.
    """
    if method_for(organ, method) == THRESHOLD:
        from recognition.engine.lungs import segment_lungs  # scipy: not where a page is served

        return segment_lungs(hu, spacing)
    mask = _total(hu, affine, organ)
    if not mask.any():
        raise RecognitionError(f"TotalSegmentator found no {organ} in this volume.")
    return mask


def _total(hu: Hu, affine: NDArray[np.float64], organ: str) -> MaskArray:
    import nibabel as nib

    api: Any = importlib.import_module("totalsegmentator.python_api")
    names: dict[int, str] = importlib.import_module("totalsegmentator.map_to_binary").class_map[
        "total"
    ]
    _no_statistics()
    image = nib.Nifti1Image(np.ascontiguousarray(hu.transpose(2, 1, 0)), affine)
    wanted = CLASSES[organ]
    try:
        # falls back to the CPU by itself; the classes asked for make it look at less
        found = api.totalsegmentator(
            image, None, ml=True, task="total", roi_subset=list(wanted), device="gpu", quiet=True
        )
    except (Exception, SystemExit) as error:
        raise RecognitionError(
            f"TotalSegmentator failed ({type(error).__name__}: {error}); at its first run it "
            "downloads weights and needs a network."
        ) from error
    labels = np.asarray(found.dataobj)
    if labels.shape != image.shape:
        raise RecognitionError(
            f"TotalSegmentator answered on another grid {labels.shape} than the volume's "
            f"{image.shape}; another version of it is installed than this was written for."
        )
    numbers = [number for number, name in names.items() if name in wanted]
    mask: MaskArray = np.ascontiguousarray(np.isin(np.rint(labels), numbers).transpose(2, 1, 0))
    return mask


def _no_statistics() -> None:
    """It tells its makers of every run unless this is set; the setting is kept in its folder."""
    config: Any = importlib.import_module("totalsegmentator.config")
    config.setup_totalseg()
    config.set_config_key("send_usage_stats", False)
