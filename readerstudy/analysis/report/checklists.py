"""Reporting checklists, read from checklists.yaml beside this file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml


@dataclass(frozen=True)
class Item:
    """One item: where the report of a trial answers it, and where that of any other table."""

    item: str
    topic: str
    trial: str
    elsewhere: str


@dataclass(frozen=True)
class Guideline:
    name: str
    source: str
    items: tuple[Item, ...]


@cache
def guidelines() -> tuple[Guideline, ...]:
    """STARD with its AI items, CLAIM, GRRAS."""
    text = Path(__file__).with_name("checklists.yaml").read_text(encoding="utf-8")
    return tuple(
        Guideline(one["name"], one["source"], tuple(Item(*row[:3], row[-1]) for row in one["rows"]))
        for one in yaml.safe_load(text)
    )
