"""Batch work over many volumes: several processes, resumable, one bad volume stops nothing.

Each item writes its own result, beside and then renamed; so an item whose result is there is
done, whoever killed the run before, and a second run only makes what is missing.
"""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from readerstudy.errors import UserError

logger = logging.getLogger(__name__)

Item = TypeVar("Item")

#: Seconds between two lines of progress.
_SAY_EVERY_S = 2.0


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
        rate = f", {len(self.made) / self.seconds * 60:.1f} a minute" if self.seconds > 1 else ""
        return ", ".join(parts) + rate + "."


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
        names = [self.name(item) for item in items]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise UserError(f"Two items have the name {twice!r}; rename one.")
        outcome = Outcome(found=[self.name(item) for item in items if self.done(item)])
        todo = [item for item in items if not self.done(item)]
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
        # spawn: a forked copy of a process that runs torch's threads may hang
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(workers, len(todo)), mp_context=context) as pool:
            yield from self._from(pool, iter(todo), workers)

    def _from(
        self, pool: ProcessPoolExecutor, todo: Iterator[Item], workers: int
    ) -> Iterator[tuple[str, str | None]]:
        running: dict[Future[str | None], str] = {}
        try:
            while True:
                # a short queue: thousands of items are not all pickled at once
                for item in todo:
                    running[pool.submit(_attempt, self.work, item)] = self.name(item)
                    if len(running) >= 2 * workers:
                        break
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    name = running.pop(future)
                    yield name, future.result()
        except BrokenProcessPool:
            raise UserError(
                "A worker process was killed (out of memory?); run the command again with fewer "
                "--workers: what is done stays done."
            ) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


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
