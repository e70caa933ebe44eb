"""All reads of the reading room."""

from __future__ import annotations

from typing import Any


def reader_trials(user: Any) -> list[Any]:
    """What the home page shows a reader: one entry per trial they read, with their progress."""
    return []
