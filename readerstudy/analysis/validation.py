"""The validation badge: how the engine did against the numbers of other software.

`check_statistics DIR --record` stores the outcome beside the engine; a report prints it for the
version it was recorded for, and says so when there is no record.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .stats import ENGINE_VERSION

if TYPE_CHECKING:
    from .stats.reference import Outcome

RECORD = Path(__file__).parent / "stats" / "reference" / "validation.json"


def summary(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Counts by data set and in all."""
    sets: dict[str, Counter[str]] = {}
    for outcome in outcomes:
        sets.setdefault(outcome.dataset, Counter())[outcome.state] += 1
    states = ("passed", "failed", "skipped")
    return {
        "engine": ENGINE_VERSION,
        **{state: sum(counts[state] for counts in sets.values()) for state in states},
        "sets": [
            {"name": name, **{state: counts[state] for state in states}}
            for name, counts in sorted(sets.items())
        ],
    }


def stored() -> dict[str, Any] | None:
    """The record, if it is about this version of the engine."""
    if not RECORD.is_file():
        return None
    record: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
    return record if record["engine"] == ENGINE_VERSION else None
