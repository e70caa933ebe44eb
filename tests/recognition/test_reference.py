"""The reference of the configurations names every key with its own words."""

from __future__ import annotations

from recognition.engine.training.reading import all_keys
from recognition.engine.utility.config import StudyConfig
from tests.conftest import ROOT

TEXT = (ROOT / "docs" / "reference-recognition.md").read_text(encoding="utf-8")
TRAINING, STUDY = TEXT.split("## The utility study")


def told(text: str) -> dict[str, str]:
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return {row[0].strip("| `"): row[-1].removesuffix(" |") for row in rows}


def test_every_key_of_a_training_is_documented_and_nothing_else():
    assert told(TRAINING) == {name: field.description for name, field in all_keys()}


def test_every_key_of_a_study_is_documented_and_nothing_else():
    every = {name: field.description for name, field in all_keys(StudyConfig)}
    own = {name: text for name, text in every.items() if not name.startswith("training.")}
    assert told(STUDY) == own
