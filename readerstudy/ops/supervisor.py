"""Keeps a few child processes running, and ends them all together.

Each child leads a process group, so that what it has forked goes with it: a worker killed with
SIGKILL leaves no pool process behind, a web server no port taken.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from readerstudy.errors import UserError

from .lifeline import VARIABLE

STOP_SECONDS = 6.0
LONG_LIFE_SECONDS = 30.0
QUICK_DEATHS = 5
KEPT_LOG_BYTES = 5_000_000


@dataclass
class Child:
    name: str
    command: Sequence[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    restart_at: float = 0.0
    quick_deaths: int = field(default=0)


class Supervisor:
    def __init__(self, children: Sequence[Child], say: Callable[[str], None]) -> None:
        self.children = children
        self.say = say
        self.stopping = False
        self._lifeline, self._held = os.pipe()

    def start(self, child: Child) -> None:
        child.log.parent.mkdir(parents=True, exist_ok=True)
        if child.log.exists() and child.log.stat().st_size > KEPT_LOG_BYTES:
            os.replace(child.log, child.log.with_suffix(".1.log"))
        environ = {**os.environ, VARIABLE: str(self._lifeline)}
        if sys.platform == "darwin":
            # The worker forks; Apple's frameworks would abort the child of a threaded process.
            environ["OBJC_DISABLE_INITIALIZE_FORK_SAFETY"] = "YES"
        with child.log.open("ab") as log:
            child.process = subprocess.Popen(
                child.command,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(self._lifeline,),
            )
        child.started = time.monotonic()
        child.restart_at = 0.0

    def tend(self) -> None:
        """Start again what has died. Raises UserError when a child cannot be kept alive."""
        for child in self.children:
            if child.process is None:
                if time.monotonic() >= child.restart_at:
                    self.start(child)
                continue
            status = child.process.poll()
            if status is None:
                continue
            _signal_group(child.process.pid, signal.SIGKILL)
            child.process = None
            lived = time.monotonic() - child.started
            child.quick_deaths = 0 if lived > LONG_LIFE_SECONDS else child.quick_deaths + 1
            if child.quick_deaths >= QUICK_DEATHS:
                raise UserError(
                    f"The {child.name} does not stay up; the end of {child.log} says why."
                )
            child.restart_at = time.monotonic() + min(2.0**child.quick_deaths / 4, 10)
            why = f"signal {-status}" if status < 0 else f"exit status {status}"
            self.say(f"The {child.name} stopped ({why}); starting it again.")

    def listen(self) -> None:
        """End on Ctrl-C, on a polite kill and when the terminal is closed."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._asked)

    def _asked(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True

    def stop(self) -> None:
        """Ask every child, then its group, to end. Returns when all are gone."""
        running = [child.process for child in self.children if child.process is not None]
        for process in running:
            _signal(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for process in running:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            _signal_group(process.pid, signal.SIGKILL)
            process.wait()
        for child in self.children:
            child.process = None


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _signal_group(pid: int, number: int) -> None:
    # Nobody is left in the group: macOS says "not permitted" for a zombie.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
