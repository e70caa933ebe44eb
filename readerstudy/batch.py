"""Batch work over many volumes: several processes, resumable, one bad volume stops nothing.

Each item writes its own result, beside and then renamed; so an item whose result is there is
done, whoever killed the run before, and a second run only makes what is missing. An item that
takes its process down with it (no memory left) is tried once more alone, and then given up.
"""

from __future__ import annotations

import csv
import io
import logging
import multiprocessing
import os
import shutil
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from readerstudy.errors import UserError
from readerstudy.storage import atomic_write_bytes

logger = logging.getLogger(__name__)

Item = TypeVar("Item")

#: Seconds between two lines of progress.
_SAY_EVERY_S = 2.0
#: What failed, beside the results: a row each, with the reason.
FAILED = "failed.csv"
#: In the folder of a result: what it was made of, where its other files do not say.
REQUEST = "request.json"


class SomeFailed(UserError):
    """A batch was worked through, and some of its items could not be."""

    exit_status = 3


@dataclass
class Outcome:
    """What became of a batch: names of items made now, found done, and failed with a sentence."""

    made: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def __str__(self) -> str:
        parts = [f"{len(self.made)} made"]
        if self.found:
            parts.append(f"{len(self.found)} were there already")
        if self.failed:
            parts.append(f"{len(self.failed)} failed")
        rate = f", {len(self.made) / max(self.seconds, 1) * 60:.1f} a minute" if self.made else ""
        return ", ".join(parts) + rate + "."

    def close(self, out: Path, what: str = "volumes") -> None:
        """Leave failed.csv in the folder ``out`` where items failed, and none where none did.

        Raises:
            SomeFailed: items failed; exit status 3.
        """
        if not self.failed:
            (out / FAILED).unlink(missing_ok=True)
            return
        atomic_write_bytes(out / FAILED, failed_table(self.failed))
        total = len(self.made) + len(self.found) + len(self.failed)
        raise SomeFailed(
            f"{len(self.failed)} of {total} {what} failed; {out / FAILED} says why. The same "
            "command tries them again and leaves the others as they are."
        )


def check_names(names: Iterable[str]) -> None:
    """Raises UserError when two items have one name, and so one result."""
    twice = [name for name, n in Counter(names).items() if n > 1]
    if twice:
        raise UserError(f"Two items have the name {twice[0]!r}; rename one.")


def stamp(path: Path) -> list[Any]:
    """What tells that a file was changed: name, size and time; of a folder, of all that is in it.

    Reading thousands of volumes to hash them would take longer than most work on them.
    """
    try:
        files = [p for p in sorted(path.rglob("*")) if p.is_file()] if path.is_dir() else [path]
        stats = [file.stat() for file in files]
    except OSError:
        return [path.name, "missing"]
    sizes, times = sum(s.st_size for s in stats), max((s.st_mtime_ns for s in stats), default=0)
    return [path.name, len(files), sizes, times]


def sweep(out: Path) -> None:
    """Remove what killed runs left half-written in ``out``; nobody may be at work there."""
    for path in out.glob(".*.part"):
        shutil.rmtree(path, ignore_errors=True)


def failed_table(failed: dict[str, str]) -> bytes:
    """CSV with the columns name and reason, in the order of the names."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "reason"])
    writer.writerows(sorted(failed.items()))
    return text.getvalue().encode()


@dataclass(frozen=True)
class Batch(Generic[Item]):
    """What to do with each item.

    ``work`` makes the result of one item; it runs in another process when there are several
    workers, so it and the items must be picklable. ``name`` is unique; ``done`` says whether the
    result is there.
    """

    name: Callable[[Item], str]
    done: Callable[[Item], bool]
    work: Callable[[Item], None]

    def run(
        self, items: Sequence[Item], *, workers: int = 1, tell: Callable[[str], object] = print
    ) -> Outcome:
        """Work through the items; ``tell`` gets progress with throughput and time left.

        Raises:
            UserError: less than one worker, or two items of one name.
        """
        if workers < 1:
            raise UserError(f"--workers is at least 1, not {workers}.")
        check_names(map(self.name, items))
        outcome, todo = Outcome(), []
        for item in items:
            if self.done(item):
                outcome.found.append(self.name(item))
            else:
                todo.append(item)
        begun = said = time.monotonic()
        for name, fault in self._results(todo, workers):
            if fault is None:
                outcome.made.append(name)
            else:
                outcome.failed[name] = fault
                tell(f"{name}: {fault}")
            now = time.monotonic()
            if now - said >= _SAY_EVERY_S:
                said = now
                tell(_progress(len(outcome.made) + len(outcome.failed), len(todo), now - begun))
        outcome.seconds = time.monotonic() - begun
        return outcome

    def _results(self, todo: Sequence[Item], workers: int) -> Iterator[tuple[str, str | None]]:
        if workers == 1 or len(todo) < 2:
            for item in todo:
                yield self.name(item), _attempt(self.work, item)
            return
        waiting = deque(todo)
        while waiting:
            running: dict[Future[str | None], Item] = {}
            try:
                yield from self._together(waiting, running, min(workers, len(waiting)))
            except BrokenProcessPool:
                # one of these took its process down: which one, each of them shows alone
                for item in running.values():
                    yield self.name(item), self._alone(item)

    def _together(
        self, waiting: deque[Item], running: dict[Future[str | None], Item], workers: int
    ) -> Iterator[tuple[str, str | None]]:
        """Results as they come; ``running`` holds what was begun and has none yet."""
        pool = _pool(workers)
        try:
            while waiting or running:
                # a short queue: thousands of items are not all pickled at once
                while waiting and len(running) < 2 * workers:
                    future = pool.submit(_attempt, self.work, waiting[0])
                    running[future] = waiting.popleft()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    fault = future.result()
                    yield self.name(running.pop(future)), fault
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _alone(self, item: Item) -> str | None:
        with _pool(1) as pool:
            try:
                return pool.submit(_attempt, self.work, item).result()
            except BrokenProcessPool:
                return "The process that worked on it was killed; there may be too little memory."


def _pool(workers: int) -> ProcessPoolExecutor:
    # spawn: a forked copy of a process that runs torch's threads may hang
    context = multiprocessing.get_context("spawn")
    threads = max(1, (os.cpu_count() or 1) // workers)
    return ProcessPoolExecutor(
        workers, mp_context=context, initializer=_set_up, initargs=(threads,)
    )


def _set_up(threads: int) -> None:
    """A fresh process knows nothing of Django yet; and the processes share the cores evenly."""
    import django

    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    django.setup()


def _attempt(work: Callable[[Item], None], item: Item) -> str | None:
    """The sentence of what went wrong, or None."""
    try:
        work(item)
    except UserError as error:
        return str(error)
    except MemoryError:
        return "There was not enough memory for it."
    except Exception as error:
        logger.exception("An item of a batch failed.")
        return f"It could not be worked on ({type(error).__name__}: {error})."
    return None


def _progress(done: int, total: int, seconds: float) -> str:
    left = seconds / done * (total - done)
    return f"{done} of {total}, {done / seconds * 60:.1f} a minute, about {_duration(left)} left"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
