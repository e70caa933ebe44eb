"""The reference of the configuration names every key with its own words."""

from __future__ import annotations

from recognition.engine.training.reading import all_keys
from tests.conftest import ROOT

TEXT = (ROOT / "docs" / "reference-recognition.md").read_text(encoding="utf-8")


def test_every_key_is_documented_and_nothing_else():
    rows = [line.split(" | ") for line in TEXT.splitlines() if line.startswith("| `")]
    told = {row[0].strip("| `"): row[-1].removesuffix(" |") for row in rows}
    assert told == {name: field.description for name, field in all_keys()}
