"""A web server of one's own for scripts that read over HTTP: simulation and benchmark."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from django.conf import settings

from readerstudy.errors import UserError

START_SECONDS = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(base: str) -> bool:
    try:
        with urlopen(f"{base}/healthz", timeout=5) as reply:  # noqa: S310 - our own address
            return bool(reply.status == 200)
    except (URLError, OSError):
        return False


def start(
    port: int, data_dir: Path, *, workers: int = 1, threads: int = 4
) -> subprocess.Popen[bytes]:
    """Start the web server on loopback over plain HTTP, with the database of `data_dir`.

    Raises UserError when it does not answer within a minute. The caller stops it.
    """
    environment = os.environ | {
        "READERSTUDY_DATA_DIR": str(data_dir),
        "READERSTUDY_SECRET_KEY": settings.SECRET_KEY,
        "READERSTUDY_AUDIT_KEY": settings.AUDIT_KEY,
        "READERSTUDY_HTTPS": "0",
        "READERSTUDY_ALLOWED_HOSTS": "127.0.0.1",
        "READERSTUDY_STATIC_FROM_SOURCE": "1",
    }
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "web", "--port", str(port)]
    command += ["--workers", str(workers), "--threads", str(threads)]
    log = data_dir / "logs" / f"web-{port}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
    base, deadline = f"http://127.0.0.1:{port}", time.monotonic() + START_SECONDS
    while not answers(base):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise UserError(f"The web server did not start; {log} says why.")
        time.sleep(0.1)
    return process


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def running(data_dir: Path | None = None, *, workers: int = 1, threads: int = 4) -> Iterator[str]:
    """The address of a server that runs while the block does."""
    port = free_port()
    process = start(port, data_dir or Path(settings.DATA_DIR), workers=workers, threads=threads)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        stop(process)
