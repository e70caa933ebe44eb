"""Decathlon-style JSON lists: which volumes there are, and which classes each one names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthesis.engine.errors import SynthesisError
from synthesis.engine.organs import canonical_organ

_TUMOR_WORDS = frozenset(
    {
        "tumor",
        "tumour",
        "tumors",
        "tumours",
        "cancer",
        "lesion",
        "lesions",
        "nodule",
        "metastasis",
        "covid",
        "infection",
    }
)


@dataclass(frozen=True)
class Entry:
    """One volume: its files, what its label values mean, and which classes it annotates.

    ``values`` maps label values to classes (0 for what is none of ours); ``annotated`` has one
    entry for each class. A class that is not annotated hides in the background of the labels.
    """

    image: Path
    label: Path
    values: tuple[tuple[int, int], ...]
    annotated: tuple[bool, ...]


@dataclass(frozen=True)
class Lists:
    """Every volume of a run."""

    labelled: tuple[Entry, ...]
    unlabelled: tuple[Entry, ...]
    validation: tuple[Entry, ...]


def read_lists(labelled: Sequence[str], unlabelled: Sequence[str], classes: Sequence[str]) -> Lists:
    """Read all JSON lists of a run.

    ``training`` and ``validation`` of the labelled lists are used as such; of the unlabelled
    lists ``training`` and ``unlabelled`` are. Paths in a list count from its own folder.

    Raises:
        SynthesisError: a file is missing, damaged, or names no class that is learned.
    """
    train: list[Entry] = []
    held_out: list[Entry] = []
    free: list[Entry] = []
    for name in labelled:
        document = _read(Path(name))
        train += _entries(Path(name), document, "training", classes, tumors=True)
        held_out += _entries(Path(name), document, "validation", classes, tumors=True)
    for name in unlabelled:
        document = _read(Path(name))
        for part in ("training", "unlabelled"):
            free += _entries(Path(name), document, part, classes, tumors=False)
    return Lists(tuple(train), tuple(free), tuple(held_out))


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SynthesisError(f"There is no data list {path}; check the path.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise SynthesisError(f"{path} is not valid JSON ({error}); correct it.") from error
    if not isinstance(document, dict) or not isinstance(document.get("labels"), dict):
        raise SynthesisError(f'{path} has no "labels"; write them as in the Medical Decathlon.')
    return document


def _entries(
    path: Path, document: dict[str, Any], part: str, classes: Sequence[str], *, tumors: bool
) -> list[Entry]:
    values, annotated = _meaning(path, document["labels"], classes, tumors=tumors)
    items = document.get(part, [])
    if not isinstance(items, list):
        raise SynthesisError(f"{path}: {part!r} is no list; write one item for each volume.")
    out = []
    for number, item in enumerate(items):
        if not isinstance(item, dict) or not isinstance(item.get("image"), str):
            raise SynthesisError(f'{path}: item {number + 1} of {part!r} has no "image".')
        if not isinstance(item.get("label"), str):
            raise SynthesisError(
                f'{path}: item {number + 1} of {part!r} has no "label"; unlabelled volumes need '
                "one that says where the organs are (a predicted one will do)."
            )
        files = [path.parent / item[key] for key in ("image", "label")]
        for file in files:
            if not file.is_file():
                raise SynthesisError(f"{path}: there is no file {file}; correct the list.")
        out.append(Entry(files[0], files[1], values, annotated))
    return out


def class_of(name: str, classes: Sequence[str]) -> int:
    """The class a label name means: ``liver_tumour`` and ``Liver cancer`` are ``liver tumor``.

    A tumor without an organ belongs to the only organ learned; a cyst is organ; a name of
    something else is background (0).
    """
    words = name.lower().replace("_", " ").replace("-", " ").split()
    is_tumor = any(word in _TUMOR_WORDS for word in words)
    rest = " ".join(w for w in words if w not in _TUMOR_WORDS and w not in ("cyst", "cysts"))
    organ = canonical_organ(rest) if rest else ""
    organs = [c for c in classes[1:] if not c.endswith(" tumor")]
    if not organ and is_tumor and len(organs) == 1:
        organ = organs[0]
    wanted = f"{organ} tumor" if is_tumor else organ
    return list(classes).index(wanted) if organ and wanted in classes else 0


def _meaning(
    path: Path, labels: dict[str, Any], classes: Sequence[str], *, tumors: bool
) -> tuple[tuple[tuple[int, int], ...], tuple[bool, ...]]:
    values = []
    for value, name in labels.items():
        if not str(value).isdigit() or int(value) > 255 or not isinstance(name, str):
            raise SynthesisError(
                f'{path}: "labels" must map numbers from 0 to 255 to names, not {value!r}.'
            )
        found = class_of(name, classes)
        if not tumors and classes[found].endswith(" tumor"):
            found -= 1  # an unlabelled list only says where the organs are
        values.append((int(value), found))
    present = {found for _, found in values} - {0}
    if not present:
        raise SynthesisError(
            f"{path} names none of the classes that are learned ({', '.join(classes[1:])}); "
            'correct its "labels" or data.organs.'
        )
    return tuple(sorted(values)), tuple(index in present for index in range(len(classes)))
