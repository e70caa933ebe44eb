"""Which file of a prediction folder belongs to which reference mask."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from readerstudy.cases.errors import CasesError

_NIFTI = re.compile(r"\.nii(\.gz)?$")
_MASK = re.compile(r"[_-](mask|seg|label|labels|pred)$")
_PROBABILITY = re.compile(r"[_-](prob|probability)$")


@dataclass(frozen=True)
class Pair:
    """One scan of one method: the files to compare, and where the result goes."""

    method: str
    name: str
    patient: str
    prediction: Path
    probability: Path | None
    reference: Path
    result: Path


def find_pairs(
    methods: Sequence[tuple[str, Path]],
    reference: Path,
    out: Path,
    patients: dict[str, str] | None = None,
) -> list[Pair]:
    """Every reference mask with the prediction of every method.

    ``case.nii.gz`` belongs to ``case.nii``, ``case_mask.nii.gz`` or ``case_pred.nii.gz``;
    ``case_prob.nii.gz`` is the probability map of it.

    Raises:
        CasesError: a folder that is missing or empty, a name that is there twice, a scan without
            a prediction, a patient list that leaves a scan out.
    """
    references = _masks(reference)
    pairs = []
    for method, folder in methods:
        predictions, maps = _masks(folder), _masks(folder, probability=True)
        missing = sorted(set(references) - set(predictions))
        if missing:
            raise CasesError(
                f"{folder} has no mask for {_few(missing)} of {reference}; write an empty mask "
                "where nothing was found."
            )
        for name, path in sorted(references.items()):
            pairs.append(
                Pair(
                    method=method,
                    name=name,
                    patient=_patient(name, patients),
                    prediction=predictions[name],
                    probability=maps.get(name),
                    reference=path,
                    result=out / "scans" / method / f"{name}.json",
                )
            )
    return pairs


def _patient(name: str, patients: dict[str, str] | None) -> str:
    if patients is None:
        return name
    if name not in patients:
        raise CasesError(f"The patient list does not name the scan {name}; add a row for it.")
    return patients[name]


def _masks(folder: Path, probability: bool = False) -> dict[str, Path]:
    if not folder.is_dir():
        raise CasesError(f"The folder {folder} does not exist; name one that holds NIfTI masks.")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        stem, is_nifti = _NIFTI.subn("", path.name)
        if not is_nifti or path.name.startswith("."):
            continue
        bare, is_map = _PROBABILITY.subn("", stem)
        if bool(is_map) != probability:
            continue
        name = bare if probability else _MASK.sub("", stem)
        if name in found:
            raise CasesError(
                f"{folder} has two files for {name}: {found[name].name} and {path.name}; remove "
                "one."
            )
        found[name] = path
    if not found and not probability:
        raise CasesError(f"{folder} holds no NIfTI file (.nii or .nii.gz).")
    return found


def read_patients(path: Path) -> dict[str, str]:
    """Scan name to patient from a CSV with the columns ``scan`` and ``patient``.

    Raises:
        CasesError: not such a file.
    """
    import csv

    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error):
        raise CasesError(f"The patient list {path} cannot be read; give a CSV file.") from None
    if not rows or not {"scan", "patient"} <= set(rows[0]):
        raise CasesError(f"The patient list {path} needs the columns scan and patient.")
    return {row["scan"]: row["patient"] for row in rows}


def _few(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
