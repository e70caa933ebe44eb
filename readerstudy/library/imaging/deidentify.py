"""What an import takes from a header, and a report of everything it leaves behind.

Two sieves, one after the other: Kitware's dicom-anonymizer applies the Basic Application
Confidentiality Profile of DICOM PS3.15 to each header, then only attributes on the allow-list below
are read from what remains, each through a check of its own. The header itself is never stored. The
report names attributes and counts files; it holds no value that was removed.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag

PROFILE = "dicomfields_2026c"
PROFILE_NAME = "DICOM PS3.15 2026c, Basic Application Confidentiality Profile"

# Attributes that become the grid and the HU of the stored volume.
USED = frozenset(
    Tag(keyword)
    for keyword in (
        "SOPClassUID", "Modality", "ImageType", "Rows", "Columns", "NumberOfFrames",
        "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "SamplesPerPixel",
        "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit",
        "PixelRepresentation", "RescaleSlope", "RescaleIntercept", "RescaleType",
        "LossyImageCompression", "BurnedInAnnotation", "PixelPaddingValue",
        "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "PixelData",
    )
)  # fmt: skip
VENDORS = ("SIEMENS", "GE", "PHILIPS", "CANON", "TOSHIBA", "HITACHI", "FUJIFILM", "NEUSOFT",
           "UNITED IMAGING", "UIH", "ADAC", "PICKER", "IMATRON", "SAMSUNG")  # fmt: skip
# Recognized in practice as kernels: "B30f", "Br38f", "STANDARD", "FC08", "I41f\\3", "SOFT".
KERNEL = re.compile(r"[A-Za-z]{1,3}\d{1,3}[A-Za-z]{0,2}|[0-9]{1,2}|STANDARD|SOFT|LUNG|BONE\w*|"
                    r"CHEST|DETAIL|EDGE|BODY|BRAIN|SHARP|SMOOTH|YA|YB|YC|YD|[A-D]")  # fmt: skip


def _positive(value: Any) -> str | None:
    with contextlib.suppress(TypeError, ValueError):
        amount = float(value)
        return f"{amount:g}" if 0 < amount < 1e6 else None
    return None


def _vendor(value: Any) -> str | None:
    text = str(value).upper()
    return next((vendor for vendor in VENDORS if re.search(rf"\b{vendor}\b", text)), None)


def _kernel(value: Any) -> str | None:
    text = str(value).strip()
    return text if KERNEL.fullmatch(text) else None


# Technical attributes kept as words or numbers, each only in the form its check lets through.
KEPT: dict[BaseTag, Callable[[Any], str | None]] = {
    Tag("Manufacturer"): _vendor,
    Tag("SliceThickness"): _positive,
    Tag("KVP"): _positive,
    Tag("ConvolutionKernel"): _kernel,
    Tag("ReconstructionDiameter"): _positive,
}


class HeaderTally:
    """Collects, over the files of one series, what was kept, replaced, removed."""

    def __init__(self) -> None:
        self.files = 0
        self.private = 0
        self.replaced: Counter[str] = Counter()
        self.removed: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()
        self.used: set[str] = set()
        self.kept: dict[str, set[str]] = {}

    def add(self, dataset: Dataset) -> None:
        """Count one header. The dataset is de-identified in place: read its pixels before."""
        self.files += 1
        with contextlib.suppress(KeyError):
            del dataset["PixelData"]
        before = {tag: _fingerprint(dataset, tag) for tag in list(dataset.keys())}
        before = {tag: value for tag, value in before.items() if value}
        cleaned = _apply_profile(dataset)
        for tag, value in before.items():
            if tag.is_private:
                self.private += 1
                continue
            name = keyword_for_tag(tag) or "unknown attribute"
            if tag in USED:
                self.used.add(name)
            elif not cleaned or tag not in dataset:
                self.removed[name] += 1
            elif _fingerprint(dataset, tag) != value:
                self.replaced[name] += 1
            elif not self._keep(dataset, tag, name):
                self.left_out[name] += 1

    def _keep(self, dataset: Dataset, tag: BaseTag, name: str) -> bool:
        check = KEPT.get(tag)
        if check is None:
            return False
        value = dataset[tag].value
        items = list(value) if isinstance(value, MultiValue) else [value]
        passed = [text for text in (check(item) for item in items) if text]
        if not passed:
            return False
        self.kept.setdefault(name, set()).add("/".join(passed))
        return True

    def report(self) -> dict[str, Any]:
        """JSON for the library: names of attributes and numbers of files, never a removed value."""
        return {
            "profile": PROFILE_NAME,
            "tool": f"dicom-anonymizer {version('dicom-anonymizer')}",
            "files": self.files,
            "kept": {name: sorted(values)[:3] for name, values in sorted(self.kept.items())},
            "used": sorted(self.used),
            "removed": dict(sorted(self.removed.items())),
            "replaced": dict(sorted(self.replaced.items())),
            "left_out": dict(sorted(self.left_out.items())),
            "private": self.private,
        }


@cache
def _actions() -> dict[Any, Any]:
    from dicomanonymizer.simpledicomanonymizer import initialize_actions

    return dict(initialize_actions(PROFILE))


def _apply_profile(dataset: Dataset) -> bool:
    """Whether the profile ran to its end; if not, the whole header counts as removed."""
    from dicomanonymizer import simpledicomanonymizer

    try:
        simpledicomanonymizer.anonymize_dataset(dataset, base_rules_gen=_actions)
    except Exception:  # noqa: BLE001 - an odd value must not stop an import that stores no header
        return False
    finally:
        # the package keeps a map from original to new UIDs for the life of the process
        simpledicomanonymizer.dictionary.clear()
    return True


def _fingerprint(dataset: Dataset, tag: BaseTag) -> str:
    try:
        element = dataset[tag]
        if element.VR == "SQ":
            return f"{len(element.value)} items" if element.value else ""
        return "" if element.value is None else str(element.value)[:400]
    except Exception:  # noqa: BLE001 - a value that cannot be parsed is only counted
        return "unreadable"


def looks_burned_in(hu: npt.NDArray[np.int16]) -> bool:
    """Whether letters seem to be drawn into the pixels of a volume ``(z, y, x)``.

    Drawn text has the largest value of the image in thin strokes on air, at the same place in
    most slices. Bone, contrast and metal are neither constant over slices nor edged by air on
    both sides.
    """
    peak = int(hu.max())
    if peak < 1000 or hu.shape[2] < 3:
        return False
    planes = hu[:: max(1, hu.shape[0] // 8)]
    constant = (planes == peak).mean(axis=0) >= 0.75
    ys, xs = np.nonzero(constant[:, 1:-1])
    if len(ys) < 20:
        return False
    left = planes[:, ys, xs].max(axis=0) < -500
    right = planes[:, ys, xs + 2].max(axis=0) < -500
    return int(np.count_nonzero(left | right)) >= 20
