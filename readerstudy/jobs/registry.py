"""What may run in a worker: functions by kind, each registered in its room's jobs.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

#: What a worker may be told to serve.
QUEUES = ("cpu", "gpu")


class JobCancelled(Exception):
    """The user asked the job to stop; raised by `JobContext.progress`."""


class JobFenced(Exception):
    """The lease ran out and another attempt owns the job now; this one must stop writing."""


class JobContext(Protocol):
    """What a running job is given."""

    @property
    def job_id(self) -> str: ...

    @property
    def actor(self) -> Any: ...

    @property
    def checkpoint(self) -> dict[str, Any]: ...

    def save_checkpoint(self, data: dict[str, Any]) -> None: ...

    def progress(self, done: int, total: int, message: str = "") -> None: ...


JobFunction = Callable[..., "dict[str, Any] | None"]


@dataclass(frozen=True)
class Registered:
    kind: str
    function: JobFunction
    queue: str
    max_attempts: int
    title: str


_registry: dict[str, Registered] = {}


def job(
    kind: str, *, title: str, queue: str = "cpu", max_attempts: int = 3
) -> Callable[[JobFunction], JobFunction]:
    """Register a function `(ctx, **params) -> result dict or None` under a dotted kind.

    The function must be idempotent: after a kill it is called again with the same parameters
    and the last checkpoint it saved.
    """

    def register(function: JobFunction) -> JobFunction:
        if kind in _registry and _registry[kind].function is not function:
            raise ValueError(f"job kind {kind!r} is registered twice")
        _registry[kind] = Registered(kind, function, queue, max_attempts, title)
        return function

    return register


def registered(kind: str) -> Registered:
    try:
        return _registry[kind]
    except KeyError:
        raise LookupError(f"no job is registered as {kind!r}") from None
