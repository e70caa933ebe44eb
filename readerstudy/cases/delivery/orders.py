"""Which CTs a batch takes, and which masks belong to each: by a pattern, a folder or a list.

``{case}`` in ``--ct`` stands for what differs between the CTs and names them; in a mask it is
replaced by that name. A folder of CTs names them by file or folder. A list is that of the Medical
Decathlon, whose ``labels`` say which values are the organ and which its tumor.
"""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from readerstudy.cases.errors import CasesError
from readerstudy.cases.recognition.finding import find_scans
from readerstudy.library.importing import parse_spec

CASE = "{case}"
_NIFTI = re.compile(r"\.nii(\.gz)?$")


@dataclass(frozen=True)
class Order:
    """One CT of a batch: its files, and the folder of its result.

    Masks are ``FILE`` or ``FILE#PARTS``; parts that a file does not mark are left out of it.
    """

    name: str
    ct: Path
    organ_mask: str
    tumor_mask: str | None
    out: Path


def is_many(ct: str, organ_mask: str | None) -> bool:
    """Whether a command asks for a batch."""
    return CASE in ct or ct.endswith(".json") or CASE in (organ_mask or "")


def find_orders(
    ct: str, organ_mask: str | None, tumor_mask: str | None, organ: str, out: Path
) -> list[Order]:
    """Every CT of a batch, by name, with absolute paths.

    Raises:
        CasesError: nothing fits, or CT and masks do not say which belong together.
    """
    out = out.resolve()
    if ct.endswith(".json") and CASE not in ct:
        if organ_mask or tumor_mask:
            raise CasesError(f"The list {ct} names the masks; leave --organ-mask and so on out.")
        return _listed(Path(ct).resolve(), organ, out)
    for option, value in (("--organ-mask", organ_mask), ("--tumor-mask", tumor_mask)):
        if value is not None and CASE not in value:
            raise CasesError(
                f"With several CTs {option} must hold {CASE}, which stands for the name of each; "
                f"for example labels/{CASE}.nii.gz."
            )
    if organ_mask is None:
        raise CasesError(f"--organ-mask is missing; give one with {CASE} for the name of each CT.")
    found = _by_pattern(ct) if CASE in ct else _in_folder(ct, out)
    orders = [
        Order(
            name,
            path,
            _absolute(organ_mask, name),
            None if tumor_mask is None else _if_there(tumor_mask, name),
            out / name,
        )
        for name, path in found
    ]
    if tumor_mask is not None and not any(order.tumor_mask for order in orders):
        raise CasesError(f"No CT has a tumor mask like {tumor_mask}; correct or leave it out.")
    return orders


def _by_pattern(pattern: str) -> list[tuple[str, Path]]:
    before, _, after = os.path.abspath(pattern).partition(CASE)
    if CASE in after:
        raise CasesError(f"--ct holds {CASE} twice; once is enough.")
    fits = re.compile(re.escape(before) + r"([^/]+)" + re.escape(after))
    paths = sorted(glob.glob(f"{glob.escape(before)}*{glob.escape(after)}"))
    found = [(match[1], Path(path)) for path in paths if (match := fits.fullmatch(path))]
    if not found:
        raise CasesError(f"Nothing fits {pattern}; {CASE} stands for a part of one name.")
    return found


def _in_folder(ct: str, out: Path) -> list[tuple[str, Path]]:
    return [(one.name, Path(os.path.abspath(one.ct))) for one in find_scans(Path(ct), out)]


def _absolute(mask: str, name: str) -> str:
    path, parts = parse_spec(mask.replace(CASE, name))
    return os.path.abspath(path) + (f"#{parts}" if parts else "")


def _if_there(mask: str, name: str) -> str | None:
    spec = _absolute(mask, name)
    return spec if Path(parse_spec(spec)[0]).is_file() else None


# ------------------------------------------------------------------------------------- the lists
def _listed(path: Path, organ: str, out: Path) -> list[Order]:
    document = _read(path)
    organs, tumors = _values(path, document.get("labels"), organ)
    items = [
        item for part in ("training", "validation", "unlabelled") for item in document.get(part, [])
    ]
    if not items:
        raise CasesError(f'{path} lists no volume under "training".')
    orders = []
    for number, item in enumerate(items, 1):
        if not isinstance(item, dict) or not {"image", "label"} <= set(item):
            raise CasesError(f'{path}: item {number} needs an "image" and a "label".')
        image, label = (path.parent / str(item[key]) for key in ("image", "label"))
        name = _NIFTI.sub("", image.name)
        tumor = f"{label}#{_parts(tumors)}" if tumors else None
        orders.append(Order(name, image, f"{label}#{_parts(organs)}", tumor, out / name))
    return orders


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CasesError(f"There is no list {path}; check the path.") from None
    except (OSError, ValueError, RecursionError):
        raise CasesError(f"{path} is not valid JSON; correct it.") from None
    if not isinstance(document, dict) or not isinstance(document.get("labels"), dict):
        raise CasesError(f'{path} has no "labels"; write them as in the Medical Decathlon.')
    return document


def _values(path: Path, labels: Any, organ: str) -> tuple[list[int], list[int]]:
    """Label values of the organ, tumor included, and of its tumor."""
    from synthesis.engine.training.lists import class_of

    classes = ("background", organ, f"{organ} tumor")
    meaning = {
        int(value): class_of(str(name), classes)
        for value, name in labels.items()
        if str(value).isdigit()
    }
    organs = sorted(value for value, found in meaning.items() if found)
    if 1 not in meaning.values():
        raise CasesError(f'{path} names no {organ}; correct its "labels" or --organ.')
    return organs, sorted(value for value, found in meaning.items() if found == 2)


def _parts(values: Sequence[int]) -> str:
    return "+".join(map(str, values))
