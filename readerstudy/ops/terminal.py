"""One line that says how far a command is; silent where nobody watches."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def progress_line(stream: Any, title: str) -> Callable[[int, int], None]:
    """A `progress(done, total)` in bytes that redraws one line of `stream`, if a terminal."""
    started, last = time.monotonic(), 0.0

    def progress(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if not stream.isatty() or total <= 0 or (now - last < 0.2 and done < total):
            return
        last = now
        left = (now - started) * (total - done) / max(done, 1)
        ending = "\n" if done >= total else ""
        stream.write(
            f"\r\033[K{title}: {100 * done // total} %, about {left:.0f} s left", ending=ending
        )
        stream.flush()

    return progress
