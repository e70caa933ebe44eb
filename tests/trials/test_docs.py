"""The documents say what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from readerstudy.trials.design import allocation, seeds
from readerstudy.trials.design.messages import _model_in
from readerstudy.trials.design.protocol import FORMAT, Protocol

DOCS = Path(__file__).resolve().parents[2] / "docs"
REFERENCE = (DOCS / "reference-protocol.md").read_text(encoding="utf-8")


def keys(model: type[BaseModel], prefix: str = "") -> dict[str, Any]:
    """Every key of the document with its default."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        inner = _model_in(field.annotation)
        listed = inner is not None and "tuple" in str(field.annotation)
        if inner is None or listed:
            found[f"{prefix}{name}{'[]' if listed else ''}"] = field
        else:
            found |= keys(inner, f"{prefix}{name}.")
    return found


def test_every_key_is_in_the_reference_and_no_other() -> None:
    first_cells = re.findall(r"^\| (`.+?`) \|", REFERENCE, re.MULTILINE)
    documented = {key for cell in first_cells for key in re.findall(r"`([^`]+)`", cell)}
    assert documented == set(keys(Protocol))


def test_defaults_in_the_reference_are_the_defaults() -> None:
    rows = re.findall(r"^\| (`.+?`) \| (.+?) \|", REFERENCE, re.MULTILINE)
    fields = keys(Protocol)
    checked = 0
    for cell, said in rows:
        names = re.findall(r"`([^`]+)`", cell)
        if any(word in said for word in ("…", "tags")):
            continue
        values = said.split(", ") if len(names) > 1 else [said]
        for name, value in zip(names, values, strict=True):
            field = fields[name]
            if field.is_required():
                assert value == "–", name
                continue
            default = field.default
            text = str(default).lower() if isinstance(default, bool) else f"{default}"
            text = f"{default:g}" if isinstance(default, float) else text
            assert value.strip("`") == text, name
            checked += 1
    assert checked > 20


def test_names_in_the_reference_are_those_in_the_code() -> None:
    assert f"`{FORMAT}`" in REFERENCE
    assert f"`{allocation.ALGORITHM}`" in REFERENCE
    assert "`readerstudy-design-1`" in REFERENCE
    assert seeds.generator.__doc__ is not None


def test_D1_the_reference_is_enough_to_redo_a_shuffle() -> None:
    """Written from the document's words alone."""
    import hashlib

    import numpy as np

    text = "readerstudy-design-1\n42\nblocks"
    words = np.random.PCG64(int(hashlib.sha256(text.encode()).hexdigest(), 16)).random_raw(5)
    expected = [item for _, item in sorted(zip(words.tolist(), "abcde", strict=True))]
    assert seeds.shuffled(seeds.generator(42, "blocks"), "abcde") == expected
