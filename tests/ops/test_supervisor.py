"""The supervisor and its lifeline, with small real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from readerstudy.errors import UserError
from readerstudy.ops.supervisor import Child, Supervisor
from tests.ops.conftest import ROOT, eventually

SLEEP = "import time; time.sleep(60)"
# A parent that forks, like a worker with its pool, and writes both process ids.
FORKS = """
import os, pathlib, time
child = os.fork()
if child:
    pathlib.Path({pids!r}).write_text(f"{{os.getpid()}} {{child}}")
time.sleep(60)
"""
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie is dead: its parent has only not looked yet.
    listed = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, check=False)
    state = listed.stdout.strip()
    return bool(state) and not state.startswith(b"Z")


def child(tmp_path: Path, code: str, name: str = "worker") -> Child:
    return Child(name, [sys.executable, "-c", code], tmp_path / "logs" / f"{name}.log")


@pytest.fixture
def said() -> list[str]:
    return []


def test_a_killed_child_is_started_again_and_what_it_forked_goes_with_it(
    tmp_path: Path, said: list[str]
) -> None:
    pids = tmp_path / "pids"
    only = child(tmp_path, FORKS.format(pids=str(pids)))
    supervisor = Supervisor([only], said.append)
    try:
        supervisor.tend()
        assert eventually(pids.exists)
        assert eventually(lambda: len(pids.read_text().split()) == 2)
        parent, forked = map(int, pids.read_text().split())
        os.kill(parent, signal.SIGKILL)
        assert eventually(lambda: bool(supervisor.tend() or said))
        assert said == ["The worker stopped (signal 9); starting it again."]
        assert eventually(lambda: not is_alive(forked)), "the forked process was left behind"
        assert eventually(lambda: bool(supervisor.tend() or only.process is not None))
        assert only.process is not None
        assert only.process.pid != parent
    finally:
        supervisor.stop()


def test_stop_ends_even_a_child_that_will_not_listen(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("readerstudy.ops.supervisor.STOP_SECONDS", 1.0)
    children = [child(tmp_path, SLEEP, "web"), child(tmp_path, STUBBORN)]
    supervisor = Supervisor(children, said.append)
    supervisor.tend()
    pids = [one.process.pid for one in children if one.process is not None]
    time.sleep(0.5)  # so that the stubborn one has set its ears shut
    supervisor.stop()
    assert not any(is_alive(pid) for pid in pids)


def test_a_child_that_never_stays_up_ends_in_one_sentence_that_names_its_log(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("readerstudy.ops.supervisor.QUICK_DEATHS", 2)
    only = child(tmp_path, "raise SystemExit('the port is haunted')")
    supervisor = Supervisor([only], said.append)

    def tend_for_ever() -> bool:
        supervisor.tend()
        return False

    try:
        with pytest.raises(
            UserError, match=r"The worker does not stay up; the end of .*worker\.log"
        ):
            eventually(tend_for_ever)
    finally:
        supervisor.stop()
    assert "the port is haunted" in only.log.read_text()


def test_a_long_log_is_put_aside_at_the_next_start(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("readerstudy.ops.supervisor.KEPT_LOG_BYTES", 10)
    only = child(tmp_path, "print('new')")
    only.log.parent.mkdir()
    only.log.write_text("old " * 10)
    supervisor = Supervisor([only], said.append)
    supervisor.start(only)
    assert only.process is not None
    only.process.wait()
    supervisor.stop()
    assert only.log.read_text() == "new\n"
    assert only.log.with_suffix(".1.log").read_text() == "old " * 10


SUPERVISOR = """
import sys, time, pathlib
from readerstudy.ops.supervisor import Child, Supervisor
code = (
    "import os, pathlib, time; from readerstudy.ops.lifeline import hold_on; hold_on(); "
    "pathlib.Path({pid!r}).write_text(str(os.getpid())); time.sleep(60)"
)
child = Child("worker", [sys.executable, "-c", code], pathlib.Path({log!r}))
supervisor = Supervisor([child], print)
supervisor.tend()
time.sleep(60)
"""


def test_children_go_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    pid, log = tmp_path / "pid", tmp_path / "log"
    code = SUPERVISOR.format(pid=str(pid), log=str(log))
    supervisor = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    try:
        assert eventually(lambda: pid.exists() and bool(pid.read_text())), log.read_text()
        orphan = int(pid.read_text())
        assert is_alive(orphan)
        supervisor.kill()
        supervisor.wait()
        assert eventually(lambda: not is_alive(orphan), 8)
    finally:
        supervisor.kill()
        supervisor.wait()
