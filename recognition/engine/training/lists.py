"""Decathlon-style JSON lists, and the folds that the labelled volumes are cut into."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recognition.engine.checkpoints import file_sha256
from recognition.engine.errors import RecognitionError

_TUMOR = frozenset({"tumor", "tumour", "tumors", "tumours", "cancer", "lesion", "lesions"})
_TUMOR |= {"nodule", "metastasis", "covid", "infection"}


@dataclass(frozen=True)
class Entry:
    """One volume: its files, what its label values mean, and which classes it annotates.

    ``values`` maps label values to classes; a class that is not annotated hides in another one.
    ``patient`` groups volumes that must stay in one fold.
    """

    image: Path
    label: Path
    patient: str
    values: tuple[tuple[int, int], ...]
    annotated: tuple[bool, ...]


@dataclass(frozen=True)
class Split:
    """Volumes to train on and to test on, with the SHA-256 of every file and its fold."""

    train: tuple[Entry, ...]
    test: tuple[Entry, ...]
    document: dict[str, Any]


def read_list(name: str, classes: Sequence[str], *, tumors: bool) -> tuple[Entry, ...]:
    """The volumes of one list; paths count from its own folder.

    With ``tumors`` false the labels only say where the organs are: tumor values mean organ.

    Raises:
        RecognitionError: a file is missing or damaged, or names no class that is learned.
    """
    path = Path(name)
    document = _read(path)
    values, annotated = _meaning(path, document["labels"], classes, tumors=tumors)
    items = [item for part in ("training", "unlabelled") for item in document.get(part, [])]
    if not items:
        raise RecognitionError(f'{path} lists no volume under "training".')
    out = []
    for number, item in enumerate(items, 1):
        if not isinstance(item, dict) or not {"image", "label"} <= set(item):
            raise RecognitionError(f'{path}: item {number} needs an "image" and a "label".')
        files = [path.parent / str(item[key]) for key in ("image", "label")]
        for file in files:
            if not file.is_file():
                raise RecognitionError(f"{path}: there is no file {file}; correct the list.")
        patient = str(item.get("patient", item["image"]))
        out.append(Entry(files[0], files[1], patient, values, annotated))
    return tuple(out)


def split(entries: Sequence[Entry], folds: int, fold: int, seed: int) -> Split:
    """Cut the patients into folds; the same files and seed give the same folds.

    Patients are dealt out in a seeded order, so that folds differ by one patient at most. With
    ``fold`` -1 nothing is held out.

    Raises:
        RecognitionError: fewer patients than folds.
    """
    patients = sorted({entry.patient for entry in entries})
    if fold >= 0 and len(patients) < folds:
        raise RecognitionError(
            f"{len(patients)} patients cannot be cut into {folds} folds; set data.folds lower or "
            "data.fold to -1."
        )
    order = np.random.default_rng([seed, folds]).permutation(len(patients))
    of = {patients[int(k)]: place % folds for place, k in enumerate(order)}
    rows = [
        {
            "image": entry.image.name,
            "sha256": file_sha256(entry.image),
            "label_sha256": file_sha256(entry.label),
            "patient": entry.patient,
            "fold": of[entry.patient],
        }
        for entry in entries
    ]
    text = json.dumps(rows, sort_keys=True)
    document = {
        "folds": folds,
        "held_out": fold,
        "seed": seed,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "volumes": rows,
    }
    return Split(
        tuple(e for e in entries if of[e.patient] != fold),
        tuple(e for e in entries if of[e.patient] == fold),
        document,
    )


def class_of(name: str, classes: Sequence[str]) -> int:
    """The class a label name means: ``liver_tumour`` and ``Liver cancer`` are ``liver tumor``.

    A tumor without an organ belongs to the only organ learned; a cyst is organ; a name of
    something else is background (0).
    """
    words = name.lower().replace("_", " ").replace("-", " ").split()
    organs = [c for c in classes[1:] if not c.endswith(" tumor")]
    rest = " ".join(w for w in words if w not in _TUMOR and w not in ("cyst", "cysts"))
    rest = rest.removesuffix("s") if rest not in organs else rest
    tumor = any(word in _TUMOR for word in words)
    if not rest and tumor and len(organs) == 1:
        rest = organs[0]
    wanted = f"{rest} tumor" if tumor else rest
    return list(classes).index(wanted) if rest and wanted in classes else 0


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RecognitionError(f"There is no data list {path}; check the path.") from error
    except (OSError, ValueError) as error:
        raise RecognitionError(f"{path} is not valid JSON ({error}); correct it.") from error
    if not isinstance(document, dict) or not isinstance(document.get("labels"), dict):
        raise RecognitionError(f'{path} has no "labels"; write them as in the Medical Decathlon.')
    return document


def _meaning(
    path: Path, labels: dict[str, Any], classes: Sequence[str], *, tumors: bool
) -> tuple[tuple[tuple[int, int], ...], tuple[bool, ...]]:
    values = []
    for value, name in labels.items():
        if not str(value).isdigit() or int(value) > 255 or not isinstance(name, str):
            raise RecognitionError(
                f'{path}: "labels" must map numbers from 0 to 255 to names, not {value!r}.'
            )
        found = class_of(name, classes)
        if not tumors and classes[found].endswith(" tumor"):
            found -= 1
        values.append((int(value), found))
    present = {found for _, found in values} - {0}
    if not present:
        raise RecognitionError(
            f"{path} names none of the classes that are learned ({', '.join(classes[1:])}); "
            'correct its "labels" or data.organs.'
        )
    return tuple(sorted(values)), tuple(c == 0 or c in present for c in range(len(classes)))
