"""What the browser says about how an answer was reached: kept, bounded, flagged, never fatal.

A broken clock or an odd browser must not cost an answer. Whatever arrives is brought into a form
both databases store; what makes no sense becomes NULL, stays visible in `clock`, and is flagged.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

# For each flag of an answer: a few words, and what it means.
FLAGS = {
    "clock_absurd": ("broken clock", "A client time is negative, not a number, or over a week."),
    "clock_disagrees": (
        "clocks disagree",
        "The browser reports more activity than the server saw time for.",
    ),
    "fast": ("under 2 s", "Answered after less than two seconds of activity."),
    "few_slices": ("few slices", "Less than a tenth of the slices was on the screen."),
    "hidden": ("page hidden", "The page was hidden for more than a minute."),
    "frame_errors": ("slow loading", "Slices failed to load at first."),
    "cut": ("report cut", "The browser's report was too long and was shortened."),
}

WEEK_MS = 7 * 24 * 3600 * 1000
TOLERANCE = timedelta(seconds=5)
FAST_MS = 2000
HIDDEN_MS = 60_000
FEW_SLICES = 0.1
MAX_ITEMS = 2000
MAX_TEXT = 200
MAX_DEPTH = 4
MAX_EXTRAS = 40
CLOCK = ("started_at", "submitted_at", "elapsed_ms", "active_ms", "load_ms")
STORED = {*CLOCK, "slices_seen", "windows_used", "backend", "screen"}
DRAFT_TEXT = 4000


@dataclass
class Telemetry:
    """Cleaned report of the browser. Times in milliseconds of its monotonic clock."""

    elapsed_ms: int | None = None
    active_ms: int | None = None
    load_ms: int | None = None
    clock: dict[str, Any] = field(default_factory=dict)
    slices_seen: list[Any] = field(default_factory=list)
    windows_used: list[Any] = field(default_factory=list)
    backend: str = ""
    screen: dict[str, Any] = field(default_factory=dict)
    viewing: dict[str, Any] = field(default_factory=dict)
    flags: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, report: Any) -> Telemetry:
        """From the `client` object of a judgment, whatever it is."""
        report = report if isinstance(report, dict) else {}
        cleaner = _Cleaner()
        rest = [name for name in report if name not in STORED]
        made = cls(
            clock=_pick(cleaner, report, CLOCK),
            slices_seen=_list(cleaner, report.get("slices_seen")),
            windows_used=_list(cleaner, report.get("windows_used")),
            backend=clean_text(report.get("backend"), 20),
            screen=_dict(cleaner, report.get("screen")),
            viewing=_pick(cleaner, report, rest[:MAX_EXTRAS]),
        )
        for name in ("elapsed_ms", "active_ms", "load_ms"):
            setattr(made, name, made._milliseconds(report, name))
        if cleaner.cut or len(rest) > MAX_EXTRAS:
            made.flags.add("cut")
        return made

    def _milliseconds(self, report: dict[str, Any], name: str) -> int | None:
        value = report.get(name)
        if value is None:
            return None
        if _is_number(value) and 0 <= value <= WEEK_MS:
            return round(value)
        self.flags.add("clock_absurd")
        return None

    def flags_against(self, *, since_handed_out: timedelta, frames: int) -> list[str]:
        """All flags, given how long the case was out by the server's clock and its slices."""
        flags = set(self.flags)
        active, elapsed = self.active_ms, self.elapsed_ms
        if active is not None:
            limit = (since_handed_out + TOLERANCE).total_seconds() * 1000
            if active > limit or (elapsed is not None and active > elapsed + 1000):
                flags.add("clock_disagrees")
            if active < FAST_MS:
                flags.add("fast")
        seen = {item for item in self.slices_seen if type(item) is int}
        if len(seen) < FEW_SLICES * frames:
            flags.add("few_slices")
        if _above(self.viewing.get("hidden_ms"), HIDDEN_MS):
            flags.add("hidden")
        if self.viewing.get("frame_errors"):
            flags.add("frame_errors")
        return sorted(flags)


def clean_text(value: Any, limit: int) -> str:
    """Text that every database stores: no NUL, no lone surrogates, at most `limit` characters."""
    if not isinstance(value, str):
        return ""
    return value.replace("\x00", "").encode("utf-8", "replace").decode()[:limit]


def clean_draft(draft: Any) -> dict[str, Any]:
    return _dict(_Cleaner(text=DRAFT_TEXT), draft)


class _Cleaner:
    """Brings any JSON value within bounds; `cut` tells whether something was left out."""

    def __init__(self, items: int = MAX_ITEMS, text: int = MAX_TEXT) -> None:
        self.items_left = items
        self.text = text
        self.cut = False

    def clean(self, value: Any, depth: int = 0) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            self.cut |= len(value) > self.text
            return clean_text(value, self.text)
        if isinstance(value, (int, float)):
            # Neither NaN nor a number of a thousand digits is JSON that PostgreSQL keeps.
            return value if _is_number(value) else None
        if depth >= MAX_DEPTH or not isinstance(value, (list, tuple, dict)):
            self.cut = True
            return None
        if isinstance(value, dict):
            pairs = self._take(list(value.items()))
            return {clean_text(str(key), 60): self.clean(item, depth + 1) for key, item in pairs}
        return [self.clean(item, depth + 1) for item in self._take(list(value))]

    def _take(self, items: list[Any]) -> list[Any]:
        room = max(0, self.items_left)
        self.cut |= len(items) > room
        self.items_left -= len(items)
        return items[:room]


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and (isinstance(value, int) or math.isfinite(value))
        and abs(value) < 1e15
    )


def _above(value: Any, limit: float) -> bool:
    return _is_number(value) and value > limit


def _list(cleaner: _Cleaner, value: Any) -> list[Any]:
    return cleaner.clean(value) if isinstance(value, list) else []


def _dict(cleaner: _Cleaner, value: Any) -> dict[str, Any]:
    return cleaner.clean(value) if isinstance(value, dict) else {}


def _pick(cleaner: _Cleaner, report: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {clean_text(name, 60): cleaner.clean(report[name]) for name in names if name in report}
