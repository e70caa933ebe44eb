"""`manage.py demo`: everything a newcomer needs, from an empty folder to a page in the browser."""

from __future__ import annotations

import fcntl
import sqlite3
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.management import call_command
from django.db import connections

from readerstudy.command import Command as BaseCommand
from readerstudy.errors import UserError
from readerstudy.ops.demo import ACCOUNTS
from readerstudy.ops.health import is_healthy
from readerstudy.ops.ports import check_port
from readerstudy.ops.supervisor import Child, Supervisor

READY_SECONDS = 90.0


class Command(BaseCommand):
    help = "Set up demo data once, start the web server and the worker, and keep them running."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="port on 127.0.0.1")
        parser.add_argument("--ct", metavar="DIR", help="seed from real CT volumes in DIR")

    def handle(self, *args: Any, **options: Any) -> None:
        started = time.monotonic()
        if not settings.DEMO:
            raise UserError(
                "READERSTUDY_DEMO is 0: the demo has known passwords, so it runs only where "
                "READERSTUDY_DEMO is 1 (`python3 dev.py demo` sets it)."
            )
        port, folder = options["port"], options["ct"]
        if folder is not None and not Path(folder).is_dir():
            raise UserError(f"--ct {folder} is not a folder; give the one that holds the volumes.")
        with the_only_demo(Path(settings.DATA_DIR), port):
            check_port("127.0.0.1", port)
            self._prepare(folder)
            self._run(port, started)

    def say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def _prepare(self, folder: str | None) -> None:
        check_database(Path(settings.DATA_DIR) / "db.sqlite3")
        Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)
        self.say("[1/3] Database")
        call_command("migrate", verbosity=0, interactive=False)
        call_command("createcachetable", verbosity=0)
        connections.close_all()
        self.say("[2/3] Demo trial")
        command = [sys.executable, "manage.py", "seed_demo"]
        if folder is not None:
            command += ["--ct", str(Path(folder).resolve())]
        # A process of its own, so that the supervisor never carries the imaging packages.
        status = subprocess.run(command, cwd=settings.BASE_DIR, check=False).returncode
        if status in (-2, 130):
            raise KeyboardInterrupt
        if status != 0:
            raise UserError("The demo trial could not be made; the lines above say why.")

    def _run(self, port: int, started: float) -> None:
        logs = Path(settings.DATA_DIR) / "logs"
        manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
        web = Child("web server", [*manage, "web", "--port", str(port)], logs / "web.log")
        worker = Child("worker", [*manage, "worker"], logs / "worker.log")
        supervisor = Supervisor([web, worker], self.say)
        supervisor.listen()
        self.say("[3/3] Web server and worker")
        try:
            ready, waiting_since = False, time.monotonic()
            while not supervisor.stopping:
                supervisor.tend()
                if not ready and is_healthy(port):
                    ready = True
                    self._welcome(port, time.monotonic() - started)
                if not ready and time.monotonic() - waiting_since > READY_SECONDS:
                    raise UserError(f"The web server does not answer; {web.log} says why.")
                time.sleep(0.2)
        finally:
            self.say("\nStopping ...")
            supervisor.stop()
        self.say("Stopped. Everything is kept; the same command goes on from here.")

    def _welcome(self, port: int, seconds: float) -> None:
        width = max(len(account.email) for account in ACCOUNTS)
        people = "\n".join(
            f"    {account.role:<14} {account.email:<{width}}  {account.password}"
            for account in ACCOUNTS
        )
        self.say(
            f"\nReady after {seconds:.0f} s:  http://127.0.0.1:{port}/\n\n"
            f"    {'role':<14} {'e-mail':<{width}}  password\n{people}\n\n"
            f"Data and logs are in {settings.DATA_DIR}. Ctrl-C stops everything.\n"
            "Not a medical device: for research on image synthesis only."
        )


@contextmanager
def the_only_demo(data_dir: Path, port: int) -> Iterator[IO[str]]:
    """Hold the data directory. Raises UserError when another demo runs on it."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        file = (data_dir / "demo.lock").open("a+", encoding="ascii")
    except OSError as error:
        raise UserError(
            f"The data directory {data_dir} cannot be written ({error.strerror}); set "
            "READERSTUDY_DATA_DIR to a folder of yours."
        ) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise UserError(
                f"A demo already runs on {data_dir}: open {file.read().strip() or 'its page'}, "
                "or set READERSTUDY_DATA_DIR to another folder for a second one."
            ) from None
        file.truncate(0)
        file.write(f"http://127.0.0.1:{port}/")
        file.flush()
        yield file


def check_database(path: Path) -> None:
    """Raises UserError when the SQLite file of an earlier run is damaged."""
    if not path.exists():
        return
    try:
        with sqlite3.connect(path, timeout=20) as connection:
            (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        connection.close()
    except sqlite3.DatabaseError as error:
        answer = str(error)
    if answer != "ok":
        raise UserError(
            f"The database {path} is damaged ({answer}); move it away and restore a backup "
            "(`python3 dev.py manage restore FILE`), or remove its folder to start afresh."
        )
