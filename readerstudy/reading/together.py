"""Several answers in one commit, without any of them being confirmed before it is on the disk.

SQLite has one writer at a time, and each commit waits for the disk. When many readers answer in
the same instant, the commits stand in line, and whoever finds the database locked sleeps for up to
a tenth of a second before looking again. Here those who wait form a group: one of them, the first,
writes for all in one transaction, each in a savepoint of its own, and all go on when that is on
the disk. Processes take turns by a lock on a file, which wakes the next one at once.

Nothing of this is needed on PostgreSQL, which groups commits itself: there every write has a
transaction of its own.
"""

from __future__ import annotations

import fcntl
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.db import connection, transaction

T = TypeVar("T")
LOCK_FILE = "answers.lock"


class _Write(Generic[T]):
    """One write that waits for its turn, and what came of it."""

    def __init__(self, work: Callable[[], T]) -> None:
        self.work = work
        self.done = False
        self.result: T | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        """Do it in a savepoint: an error undoes this write and no other."""
        self.result = self.error = None
        try:
            with transaction.atomic():
                self.result = self.work()
        except Exception as error:  # noqa: BLE001 - raised again where the write came from
            self.error = error

    def outcome(self) -> T:
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]


class Group:
    """The writes of this process that wait for the same commit."""

    def __init__(self) -> None:
        self._waiting: deque[_Write[Any]] = deque()
        self._turn = threading.Lock()

    def write(self, work: Callable[[], T]) -> T:
        """What `work` returns, once it is committed; its error if it failed and was undone.

        `work` may run in another thread than this one, beside the works of others.
        """
        if connection.vendor != "sqlite" or connection.in_atomic_block:
            with transaction.atomic():
                return work()
        mine = _Write(work)
        self._waiting.append(mine)
        with self._turn:
            if not mine.done:
                self._commit()
        return mine.outcome()

    def _commit(self) -> None:
        """Write everything that waits by now: the work of the caller and of all behind it."""
        writes: list[_Write[Any]] = []
        try:
            with _turn_of_process(), transaction.atomic():
                while self._waiting:
                    writes.append(self._waiting.popleft())
                    writes[-1].run()
        except BaseException as error:
            # No begin or no commit: nothing of it stands. Whoever had no chance to begin shares
            # the fate of the caller, instead of waiting as long once more.
            while self._waiting:
                writes.append(self._waiting.popleft())
            for write in writes:
                write.error = error
            if not isinstance(error, Exception):
                raise
        finally:
            for write in writes:
                write.done = True


@contextmanager
def _turn_of_process() -> Iterator[None]:
    """Wait until no other process of this site writes answers."""
    with (Path(settings.DATA_DIR) / LOCK_FILE).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


group = Group()
