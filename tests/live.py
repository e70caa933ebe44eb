"""A real site for tests: its own data directory, its own database file, real server and worker.

The test process never touches that database; it asks through `python`, as an administrator would.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from tests.conftest import ROOT

PRELUDE = "import json, django; django.setup()\n"


@dataclass
class Site:
    """A site at `data_dir`; `start` and `kill` work on its web server, `stop` ends everything."""

    data_dir: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    worker: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "readerstudy.settings",
            "READERSTUDY_DATA_DIR": str(self.data_dir),
            "READERSTUDY_DATABASE_URL": "",
            "PYTHONPATH": str(ROOT),
            **self.environment,
        }
        # SQLite in its own folder, whatever database the rest of the run is on.
        self.environment.pop("READERSTUDY_DATABASE_URL", None)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def manage(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "manage.py"), *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, env=self.environment, check=False, cwd=ROOT
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def python(self, code: str) -> Any:
        """Run code in a process of its own on this site's database; returns its last line as JSON
        (print it with `print(json.dumps(...))`), or None."""
        done = subprocess.run(
            [sys.executable, "-c", PRELUDE + code],
            capture_output=True, text=True, env=self.environment, check=False, cwd=ROOT,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        lines = done.stdout.strip().splitlines()
        return json.loads(lines[-1]) if lines else None

    def migrate(self) -> None:
        self.manage("migrate", "--verbosity", "0")
        self.manage("createcachetable")

    # ------------------------------------------------------------------------------ web server
    def start(self, *, threads: int = 4) -> None:
        logs = self.data_dir / "web.log"
        self.process = self._run(
            logs, "web", "--port", str(self.port), "--workers", "1", "--threads", str(threads)
        )
        deadline = time.monotonic() + 60
        while not self.answers():
            assert self.process.poll() is None, logs.read_text()
            assert time.monotonic() < deadline, logs.read_text()
            time.sleep(0.1)

    @staticmethod
    def wait(holds: Callable[[], bool], what: str, seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
            time.sleep(0.02)

    def answers(self) -> bool:
        try:
            with urlopen(f"{self.url}/healthz", timeout=5) as reply:
                return reply.status == 200
        except (URLError, OSError):
            return False

    def _run(self, logs: Path, *arguments: str) -> subprocess.Popen[bytes]:
        """A command in a process group of its own, which keeps running."""
        with logs.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, str(ROOT / "manage.py"), *arguments],
                env=self.environment, stdout=log, stderr=log, cwd=ROOT, start_new_session=True,
            )  # fmt: skip

    def kill(self) -> None:
        """kill -9 of the server and all its processes: no goodbye, nothing flushed."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None

    def start_worker(self) -> None:
        self.worker = self._run(self.data_dir / "worker.log", "worker")

    def kill_worker(self) -> None:
        """kill -9 of the worker and its pool."""
        assert self.worker is not None
        os.killpg(self.worker.pid, signal.SIGKILL)
        self.worker.wait()
        self.worker = None

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        if self.worker is not None and self.worker.poll() is None:
            self.kill_worker()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database file to copy: migrating takes seconds, copying does not."""
    site = Site(tmp_path_factory.mktemp("template"))
    site.migrate()
    return site.data_dir / "db.sqlite3"


@pytest.fixture(scope="module")
def site(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site of the test module, its database empty, no server yet; what was started is stopped."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(empty_database, folder / "db.sqlite3")
    site = Site(folder)
    yield site
    site.stop()
