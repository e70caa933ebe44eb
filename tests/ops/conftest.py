"""Whole installations in scratch folders: real processes, real databases, real brokers."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
MANAGE = [sys.executable, str(ROOT / "manage.py")]


@dataclass
class Installation:
    """A data directory with the environment that makes processes use it."""

    data_dir: Path
    environ: dict[str, str]
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def run(self, *command: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=ROOT,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )

    def manage(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return self.run(*MANAGE, *arguments, timeout=timeout)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A manage.py command in a process group of its own; killed after the test."""
        process = subprocess.Popen(
            [*MANAGE, *arguments],
            cwd=ROOT,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def end(self) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
            if process.stdout is not None:
                process.stdout.close()


def clean_environment(data_dir: Path, **extra: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("READERSTUDY_", "DJANGO_"))}
    return {**kept, "READERSTUDY_DATA_DIR": str(data_dir), "PYTHONUNBUFFERED": "1", **extra}


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with an empty, migrated SQLite database, to be copied."""
    folder = tmp_path_factory.mktemp("migrated")
    made = Installation(folder, clean_environment(folder, READERSTUDY_DEMO="1"))
    for command in ("migrate", "createcachetable"):
        done = made.manage(command, "--verbosity=0", timeout=120)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def embedded(migrated: Path, tmp_path: Path) -> Iterator[Installation]:
    """SQLite and the broker inside the worker, as in the demo."""
    folder = tmp_path / "installation"
    shutil.copytree(migrated, folder)
    made = Installation(
        folder,
        clean_environment(folder, READERSTUDY_DEMO="1", READERSTUDY_JOB_LEASE_SECONDS="3"),
    )
    yield made
    made.end()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Installation]:
    """PostgreSQL and Redis, a database of its own; skips where the two are not given."""
    names = ("READERSTUDY_TEST_DATABASE_URL", "READERSTUDY_TEST_BROKER_URL")
    if missing := [name for name in names if not os.environ.get(name)]:
        pytest.skip(f"{' and '.join(missing)} not set: the servers of the larger set-up")
    import psycopg

    admin, name = os.environ[names[0]], f"ops_{uuid.uuid4().hex}"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    folder = tmp_path / "installation"
    folder.mkdir()
    made = Installation(
        folder,
        clean_environment(
            folder,
            READERSTUDY_SECRET_KEY="tests-only-" + "k" * 50,
            READERSTUDY_HTTPS="0",
            READERSTUDY_DATABASE_URL=f"{admin.rpartition('/')[0]}/{name}",
            READERSTUDY_BROKER_URL=os.environ[names[1]],
            READERSTUDY_REDIS_URL=os.environ[names[1]],
            READERSTUDY_JOB_LEASE_SECONDS="3",
        ),
    )
    done = made.manage("migrate", "--verbosity=0", timeout=120)
    assert done.returncode == 0, done.stderr
    yield made
    made.end()
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def eventually(check: Callable[[], bool], seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if check():
            return True
        time.sleep(0.1)
    return False
