"""How fast reading is: many readers answering at once, and one reader at a real browser.

Both run on a site of their own in a temporary folder, with the web server that users get.
"""

from __future__ import annotations

import json
import os
import random  # noqa: TID251 - thinking times of the load, no result follows from them
import secrets
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from django.conf import settings

from readerstudy.errors import UserError
from readerstudy.measure import Measure, Section

from . import server
from .robot import Robot

SLUG = "bench"
SHAPE = (150, 512, 512)
SMALL = (8, 128, 128)
ANSWER_TARGET_MS = 150
MEMORY_TARGET_MB = 250
ROUNDS, PACED = 8, 12
THINK_SECONDS = (1.0, 3.0)
WORKERS, THREADS = 2, 4


# ------------------------------------------------------------------------------------- the site
@contextmanager
def site(*, readers: int, cases: int, shape: tuple[int, int, int]) -> Iterator[tuple[Path, str]]:
    """A data directory with an open trial, and the password of its readers."""
    with tempfile.TemporaryDirectory(prefix="readerstudy-bench-") as name:
        folder, password = Path(name), secrets.token_urlsafe(18)
        _manage(folder, "migrate", "--verbosity", "0")
        _manage(folder, "createcachetable")
        arguments = {"readers": readers, "cases": cases, "shape": shape, "password": password}
        _python(folder, f"bench_trial.build(**json.loads({json.dumps(arguments)!r}))")
        yield folder, password


def _environment(folder: Path) -> dict[str, str]:
    return os.environ | {
        "READERSTUDY_DATA_DIR": str(folder),
        "READERSTUDY_SECRET_KEY": settings.SECRET_KEY,
        "READERSTUDY_HTTPS": "0",
        "DJANGO_SETTINGS_MODULE": "readerstudy.settings",
    }


def _run(folder: Path, command: list[str]) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        env=_environment(folder),
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise UserError(f"The benchmark could not be set up: {done.stderr.strip()[-300:]}")
    return done.stdout


def _manage(folder: Path, *arguments: str) -> None:
    _run(folder, ["manage.py", *arguments])


def _python(folder: Path, code: str) -> str:
    # A process of its own: this one is bound to the site's database.
    prelude = "import json, django; django.setup()\nfrom readerstudy.ops import bench_trial\n"
    return _run(folder, ["-c", prelude + code])


# ---------------------------------------------------------------------------- answering at once
class Load:
    """What the scripted readers sent, and how long each answer took (ms)."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.together: list[float] = []
        self.paced: list[float] = []
        self.sent: set[str] = set()

    def answer(self, robot: Robot, work: dict[str, Any], into: list[float]) -> dict[str, Any]:
        """Answer the current case; the time runs from the request to the whole reply."""
        name = str(uuid.uuid4())
        answer = {
            "client_uuid": name,
            "token": work["current"]["token"],
            "rating": 1 + int(name[0], 16) % 6,
            "client": {
                "active_ms": 4000,
                "elapsed_ms": 4200,
                "slices_seen": list(range(work["current"]["frames"]["count"])),
                "windows_used": work["current"]["windows"][:1],
                "screen": {"width": 1920, "height": 1080, "dpr": 1, "canvas": [1400, 1000]},
            },
        }
        start = time.perf_counter()
        following = robot.judge(SLUG, answer)
        spent = 1000 * (time.perf_counter() - start)
        with self.lock:
            into.append(spent)
            self.sent.add(name)
        return following


def answer_benchmark(title: str = "Fifty readers answer at once", *, readers: int = 50) -> Section:
    """`readers` scripted readers answer over HTTP: first at their own pace, then all in the same
    instant, again and again. Then the database is asked what it has."""
    with (
        site(readers=readers, cases=PACED + ROUNDS, shape=SMALL) as (folder, password),
        server.running(folder, workers=WORKERS, threads=THREADS) as base,
    ):
        robots = [Robot(base) for _ in range(readers)]
        for number, robot in enumerate(robots, start=1):
            robot.sign_in(f"bench-{number:02d}@example.org", password)
            robot.enter(SLUG)
        load, memory = Load(), _web_memory(base)
        _drive(load, robots)
        memory = _web_memory(base)
        stored = json.loads(_python(folder, "print(json.dumps(bench_trial.counts()))"))
    return Section(title, _answer_measures(load, stored, memory, readers), _answer_notes(readers))


def _drive(load: Load, robots: Sequence[Robot]) -> None:
    barrier = threading.Barrier(len(robots))

    def read(robot: Robot) -> None:
        work = robot.worklist(SLUG)
        for _ in range(PACED):
            time.sleep(random.uniform(*THINK_SECONDS))  # noqa: S311 - no secret
            work = load.answer(robot, work, load.paced)
        for _ in range(ROUNDS):
            barrier.wait(120)
            work = load.answer(robot, work, load.together)
        robot.close()

    with ThreadPoolExecutor(max_workers=len(robots)) as pool:
        for done in [pool.submit(read, robot) for robot in robots]:
            done.result()


def _answer_measures(
    load: Load, stored: dict[str, int], memory: float, readers: int
) -> list[Measure]:
    lost = len(load.sent) - stored["judgments"]
    doubled = stored["judgments"] - stored["assignments"]
    paced, together = percentile(load.paced, 95), percentile(load.together, 95)
    target = f"< {ANSWER_TARGET_MS}"
    return [
        Measure("An answer, 95th percentile, at their own pace", paced, "ms", target,
                paced < ANSWER_TARGET_MS),
        Measure("An answer, median, at their own pace", round(median(load.paced), 1), "ms"),
        Measure(f"An answer, 95th percentile, {readers} in the same instant", together, "ms",
                target, together < ANSWER_TARGET_MS),
        Measure(f"An answer, median, {readers} in the same instant",
                round(median(load.together), 1), "ms"),
        Measure("Answers sent", len(load.sent), ""),
        Measure("Answers lost", lost, "", "0", lost == 0),
        Measure("Answers doubled", doubled, "", "0", doubled == 0),
        Measure("Answers with one event in a chain that holds",
                stored["events"] * stored["chain_ok"], "", str(len(load.sent)),
                stored["events"] * stored["chain_ok"] == len(load.sent)),
        Measure("Memory of the largest web process", memory, "MB", f"< {MEMORY_TARGET_MB}",
                memory < MEMORY_TARGET_MB),
    ]  # fmt: skip


def _answer_notes(readers: int) -> list[str]:
    return [
        f"{readers} signed-in readers over kept-alive HTTP, SQLite with WAL and synchronous=FULL, "
        f"granian with {WORKERS} processes of {THREADS} threads. The readers run on the same "
        "machine and share its cores. An answer takes from the request to the whole reply, which "
        "holds the next case.",
        f"At their own pace: {PACED} answers each, {THINK_SECONDS[0]:g} to {THINK_SECONDS[1]:g} s "
        "of thought before each (radiologists take minutes). In the same instant: all readers "
        f"wait for each other and then send, {ROUNDS} times. Each answer is on the disk "
        "before it is confirmed, one after the other, so the last of a burst waits for all.",
    ]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` per cent of the values do not exceed."""
    ordered = sorted(values)
    return round(ordered[max(0, -(-len(ordered) * share // 100).__int__() - 1)], 1)


def _web_memory(base: str) -> float:
    """Resident memory (MB) of the largest process of the server at `base`; 0 off Linux."""
    port = base.rsplit(":", 1)[1]
    largest = 0.0
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
            if b"web" not in command or port.encode() not in command:
                continue
            status = (entry / "status").read_text()
        except OSError:
            continue
        rows = [row.split() for row in status.splitlines() if row.startswith("VmRSS")]
        largest = max([largest, *(int(row[1]) / 1000 for row in rows)])
    return round(largest, 1)


# --------------------------------------------------------------------------------- in a browser
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
