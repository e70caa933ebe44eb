"""How fast reading is when many readers answer at once.

It runs on a site of its own in a temporary folder, with the web server that users get.
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
    """What the scripted readers sent, and how long each answer took (ms).

    `cpu`: processor seconds of the web processes before each burst, and after the last.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.together: list[float] = []
        self.paced: list[float] = []
        self.sent: set[str] = set()
        self.cpu: list[float] = []

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
        _drive(load, robots, base)
        memory = _web_memory(base)
        stored = json.loads(_python(folder, "print(json.dumps(bench_trial.counts()))"))
    each = 1000 * (load.cpu[-1] - load.cpu[0]) / len(load.together)
    return Section(
        title,
        _answer_measures(load, stored, memory, readers, each),
        _answer_notes(readers, each),
    )


def _drive(load: Load, robots: Sequence[Robot], base: str) -> None:
    barrier = threading.Barrier(len(robots), lambda: load.cpu.append(_web_cpu(base)))

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
    load.cpu.append(_web_cpu(base))


def _answer_measures(
    load: Load, stored: dict[str, int], memory: float, readers: int, each: float
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
        Measure("Processor time of the server for an answer in a burst", round(each, 1), "ms"),
        Measure("Answers sent", len(load.sent), ""),
        Measure("Answers lost", lost, "", "0", lost == 0),
        Measure("Answers doubled", doubled, "", "0", doubled == 0),
        Measure("Answers with one event in a chain that holds",
                stored["events"] * stored["chain_ok"], "", str(len(load.sent)),
                stored["events"] * stored["chain_ok"] == len(load.sent)),
        Measure("Memory of the largest web process", memory, "MB", f"< {MEMORY_TARGET_MB}",
                memory < MEMORY_TARGET_MB),
    ]  # fmt: skip


def _answer_notes(readers: int, each: float) -> list[str]:
    cores = os.cpu_count() or 1
    return [
        f"{readers} signed-in readers over kept-alive HTTP, SQLite with WAL and synchronous=FULL, "
        f"granian with {WORKERS} processes of {THREADS} threads. The readers run on the same "
        "machine and share its cores. An answer takes from the request to the whole reply, which "
        "holds the next case.",
        f"At their own pace: {PACED} answers each, {THINK_SECONDS[0]:g} to {THINK_SECONDS[1]:g} s "
        "of thought before each (radiologists take minutes). In the same instant: all readers "
        f"wait for each other and then send, {ROUNDS} times. Answers that wait for the same "
        "commit share it, and each is on the disk before it is confirmed. What bounds a burst is "
        f"the processor: {readers} answers of {each:.1f} ms on {cores} cores are "
        f"{readers * each / cores:.0f} ms of work before the last can be confirmed, on top of what "
        "the readers and everything else on the machine take.",
    ]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` per cent of the values do not exceed."""
    ordered = sorted(values)
    return round(ordered[max(0, -(-len(ordered) * share // 100).__int__() - 1)], 1)


def _web_processes(base: str, file: str) -> Iterator[str]:
    """This file in /proc of every process of the server at `base`; none off Linux."""
    port = base.rsplit(":", 1)[1].encode()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
            if b"web" in command and port in command:
                yield (entry / file).read_text()
        except OSError:
            continue


def _web_memory(base: str) -> float:
    """Resident memory (MB) of the largest process of the server at `base`; 0 off Linux."""
    largest = 0.0
    for status in _web_processes(base, "status"):
        rows = [row.split() for row in status.splitlines() if row.startswith("VmRSS")]
        largest = max([largest, *(int(row[1]) / 1000 for row in rows)])
    return round(largest, 1)


def _web_cpu(base: str) -> float:
    """Processor seconds that the server at `base` has used so far; 0 off Linux."""
    ticks = 0
    for stat in _web_processes(base, "stat"):
        fields = stat.rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
