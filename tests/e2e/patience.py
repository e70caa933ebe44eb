"""Waiting for what a busy machine will show in its own time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def until(holds: Callable[[], Any], what: str, seconds: float = 30) -> None:
    """Ask again and again; a page that is on its way to another one counts as "not yet"."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if holds():
                return
        except Exception:  # noqa: BLE001 - the page is on its way to another
            pass
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.05)
