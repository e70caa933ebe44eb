"""How fast reading is for one reader at a real browser, on a site as in :mod:`benchmark`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from readerstudy.errors import UserError
from readerstudy.measure import Measure, Section

from . import server
from .benchmark import SLUG, THREADS, WORKERS, site
from .robot import Robot

SHAPE = (150, 512, 512)
BROWSER_CASES = 21
FIRST_TARGET_MS, SWAP_TARGET_MS, SCROLL_TARGET, GROWTH_TARGET_MB = 1000, 150, 55, 100
SCROLL = """async (seconds) => {
  const press = (key) => document.dispatchEvent(
    new KeyboardEvent("keydown", { key, code: key, bubbles: true }));
  const next = () => new Promise(requestAnimationFrame);
  const gaps = [];
  let key = "ArrowDown", shown = 0, last = -1, before = await next();
  const end = before + 1000 * seconds;
  while (before < end) {
    const { slice, count } = window.__viewer;
    if (slice <= 0) key = "ArrowUp";
    if (slice >= count - 1) key = "ArrowDown";
    press(key);
    const now = await next();
    gaps.push(now - before);
    before = now;
    if (window.__viewer.shownSlice !== last) { shown += 1; last = window.__viewer.shownSlice; }
  }
  return { shown: shown / seconds, frames: gaps.length / seconds, gap: Math.max(...gaps) };
}"""


def browser_benchmark(title: str = "In the browser") -> Section:
    """One reader at headless Chromium: first image, next case, scrolling, memory over 20 cases.

    Raises UserError when Chromium or the browser driver is missing.
    """
    with (
        site(readers=2, cases=BROWSER_CASES, shape=SHAPE) as (folder, password),
        server.running(folder, workers=WORKERS, threads=THREADS) as base,
        _chromium() as chromium,
    ):
        cold = [_first_image(chromium, base, password, warm=False) for _ in range(3)]
        warm = [_first_image(chromium, base, password, warm=True) for _ in range(3)]
        found = _read_all(chromium, base, password)
    return Section(
        title, _browser_measures(median(cold), median(warm), found), _browser_notes(found)
    )


@contextmanager
def _chromium() -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise UserError("The browser driver is missing: pip install playwright.") from None
    path = next(
        (p for p in (os.environ.get("READERSTUDY_CHROMIUM"), "/usr/bin/chromium",
                     "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
         if p and Path(p).exists()), None,
    )  # fmt: skip
    if path is None:
        raise UserError("No Chromium was found: install it or set READERSTUDY_CHROMIUM.")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            yield browser
        finally:
            browser.close()


def _page(chromium: Any, base: str, password: str, number: int) -> Any:
    """A fresh browser with an empty cache, signed in, consent given."""
    robot = Robot(base)
    robot.sign_in(f"bench-{number:02d}@example.org", password)
    robot.enter(SLUG)
    context = chromium.new_context(viewport={"width": 1280, "height": 953})
    context.add_cookies(
        [{"name": name, "value": value, "url": base} for name, value in robot.cookies.items()]
    )
    robot.close()
    return context.new_page()


def _until(page: Any, name: str, value: Any = True, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while page.evaluate(f"() => window.__viewer?.{name} ?? null") != value:
        if time.monotonic() > deadline:
            raise UserError(f"The viewer did not come to {name} = {value!r} in {seconds:g} s.")
        time.sleep(0.02)


def _first_image(chromium: Any, base: str, password: str, *, warm: bool) -> float:
    """Milliseconds from opening the reading page to the first picture on the screen.

    Cold: nothing of the site is in the browser. Warm: the instructions page was read before, as
    every reader's first visit goes; it has fetched the viewer. No frame is cached in either case.
    """
    page = _page(chromium, base, password, 1)
    if warm:
        page.goto(f"{base}/read/{SLUG}/instructions/", wait_until="load")
        page.wait_for_timeout(3000)
    page.goto(f"{base}/read/{SLUG}/case/")
    _until(page, "ready")
    opened: float = page.evaluate("() => window.__viewer.openedMs")
    page.context.close()
    return opened


def _read_all(chromium: Any, base: str, password: str) -> dict[str, Any]:
    """Read every case; returns times of the next case, scrolling and memory after each case."""
    page = _page(chromium, base, password, 2)
    page.goto(f"{base}/read/{SLUG}/case/")
    found: dict[str, Any] = {"swaps": [], "memory": []}
    for number in range(1, BROWSER_CASES + 1):
        _until(page, "position", number)
        _until(page, "loaded")
        if number == 1:
            found["load"] = page.evaluate("() => window.__viewer.loadMs")
            found["backend"] = page.evaluate("() => window.__viewer.backend")
            _until(page, "aheadLoaded")
            found["scroll"] = page.evaluate(SCROLL, 3)
        if number < BROWSER_CASES:
            _until(page, "aheadLoaded")
        page.keyboard.press("3")
        found["memory"].append(_renderer_memory(page))
        page.keyboard.press("Enter")
        if number < BROWSER_CASES:
            _until(page, "position", number + 1)
            _until(page, "ready")
            found["swaps"].append(page.evaluate("() => window.__viewer.swapMs"))
    page.context.close()
    return found


def _renderer_memory(page: Any) -> float:
    """Proportional memory (MB) of the page's process, garbage collected first; 0 off Linux."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    session.detach()
    browser = page.context.browser.new_browser_cdp_session()
    processes = browser.send("SystemInfo.getProcessInfo")["processInfo"]
    browser.detach()
    largest = 0.0
    for process in processes:
        rollup = Path(f"/proc/{process['id']}/smaps_rollup")
        if process["type"] != "renderer" or not rollup.exists():
            continue
        rows = [row.split() for row in rollup.read_text().splitlines() if row.startswith("Pss:")]
        largest = max([largest, *(int(row[1]) / 1000 for row in rows)])
    return round(largest, 1)


def _browser_measures(cold: float, warm: float, found: dict[str, Any]) -> list[Measure]:
    swap = median(found["swaps"])
    slices = found["scroll"]["shown"]
    # The first two cases fill the caches for the current case and the one ahead.
    growth = found["memory"][-1] - found["memory"][1]
    return [
        Measure("First image, nothing cached", round(cold), "ms", f"< {FIRST_TARGET_MS}",
                cold < FIRST_TARGET_MS),
        Measure("First image, after the instructions page", round(warm), "ms",
                f"< {FIRST_TARGET_MS}", warm < FIRST_TARGET_MS),
        Measure("All slices of the first case", round(found["load"]), "ms"),
        Measure("Next case, prefetched, from the key to the picture", round(swap), "ms",
                f"< {SWAP_TARGET_MS}", swap < SWAP_TARGET_MS),
        Measure("Slowest of the next cases", round(max(found["swaps"])), "ms"),
        Measure("Scrolling", round(slices, 1), "slices a second", f"≥ {SCROLL_TARGET}",
                slices >= SCROLL_TARGET),
        Measure("Longest gap between two frames while scrolling",
                round(found["scroll"]["gap"]), "ms"),
        Measure("Memory of the page after the second case", found["memory"][1], "MB"),
        Measure(f"Growth from the second to case {BROWSER_CASES}", round(growth, 1), "MB",
                f"< {GROWTH_TARGET_MB}", growth < GROWTH_TARGET_MB),
    ]  # fmt: skip


def _browser_notes(found: dict[str, Any]) -> list[str]:
    depth, rows, columns = SHAPE
    return [
        f"Headless Chromium, window 1280 x 953, {columns} x {rows} x {depth} voxels as JPEG-LS, "
        f"painted by the {found['backend']}; server and browser share the machine.",
        "First image: median of three fresh browsers. Next case: median of "
        f"{len(found['swaps'])}. Scrolling: one slice per display frame for three seconds.",
    ]
