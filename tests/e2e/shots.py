"""Pictures of pages for people to look at: off unless READERSTUDY_SCREENSHOTS names a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

# Pictures further down load when somebody scrolls to them; nobody does here.
LOAD_ALL = """() => Promise.all([...document.images].map((image) => {
  image.loading = "eager";
  return image.complete || new Promise((done) => (image.onload = image.onerror = done));
}))"""
SIZES = ((1280, 720), (1920, 1080))


class Album:
    """Takes each page in a narrow and a wide window, numbered in the order of the road."""

    def __init__(self) -> None:
        name = os.environ.get("READERSTUDY_SCREENSHOTS")
        self.folder = Path(name) if name else None
        self.count = 0
        if self.folder:
            self.folder.mkdir(parents=True, exist_ok=True)

    def take(self, page: Any, name: str) -> None:
        """The page as it stands; `page` gets its own window size back."""
        if self.folder is None:
            return
        self.count += 1
        before = page.viewport_size
        whole = page.locator("#viewer-root").count() == 0
        page.evaluate(LOAD_ALL)
        for width, height in SIZES:
            page.set_viewport_size({"width": width, "height": height})
            page.wait_for_timeout(300)
            path = self.folder / f"{self.count:02d}-{name}-{width}.png"
            page.screenshot(path=path, full_page=whole)
        page.set_viewport_size(before)
        page.wait_for_timeout(100)
