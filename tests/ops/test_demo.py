"""`manage.py demo` as a person meets it: start, sign in, kill, stop, start again."""

from __future__ import annotations

import http.cookiejar
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from readerstudy.ops.demo import ACCOUNTS
from tests.ops.conftest import Installation, clean_environment, eventually

READY_SECONDS = 300


class Demo:
    """A running demo and what it has printed so far."""

    def __init__(self, installation: Installation, port: int, *arguments: str) -> None:
        self.url, self.lines = f"http://127.0.0.1:{port}", list[str]()
        self.process = installation.start("demo", "--port", str(port), *arguments)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(iter(self.process.stdout.readline, ""))

    @property
    def said(self) -> str:
        return "".join(self.lines)

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.said
        return f"http://127.0.0.1:{self.url.rpartition(':')[2]}/" in self.said

    def is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=10) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def children(self, name: str) -> list[int]:
        """Process ids of the group leaders that run `manage.py NAME` for this demo."""
        listed = subprocess.run(
            ["ps", "-ww", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True
        )
        rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
        return [
            int(pid)
            for pid, parent, command in rows
            if int(parent) == self.process.pid and f"manage.py {name}" in command
        ]

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("demo")
    made = Installation(folder, clean_environment(folder, READERSTUDY_JOB_LEASE_SECONDS="3"))
    yield made
    made.end()


def sign_in(url: str, email: str, password: str) -> str:
    """The address where a browser ends up after the sign-in form."""
    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    page = opener.open(f"{url}/accounts/login/", timeout=30).read().decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert token is not None, page[:500]
    form = {"csrfmiddlewaretoken": token[1], "login": email, "password": password}
    answer = opener.open(
        urllib.request.Request(
            f"{url}/accounts/login/",
            data=urllib.parse.urlencode(form).encode(),
            headers={"Referer": f"{url}/accounts/login/"},
        ),
        timeout=30,
    )
    return str(answer.geturl())


def rows(data_dir: Path) -> dict[str, int]:
    with closing(sqlite3.connect(data_dir / "db.sqlite3")) as connection:
        return {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("accounts_user", "trials_trial", "trials_case", "cases_candidate")
        }


@pytest.mark.slow
@pytest.mark.xdist_group("demo")
def test_it_starts_is_used_survives_kills_stops_and_goes_on(
    seeded: Installation, port: int
) -> None:
    demo = Demo(seeded, port)
    assert eventually(demo.is_ready, READY_SECONDS), demo.said
    for account in ACCOUNTS:
        assert account.email in demo.said
        assert account.password in demo.said
        where = sign_in(demo.url, account.email, account.password)
        assert "/accounts/login/" not in where, f"{account.email} cannot sign in"
    before = rows(seeded.data_dir)
    assert before["trials_trial"] == 1
    assert before["trials_case"] >= 20

    for name, title in (("worker", "worker"), ("web", "web server")):
        assert f"The {title} stopped" not in demo.said, demo.said
        assert eventually(lambda n=name: len(demo.children(n)) == 1), demo.said
        (pid,) = demo.children(name)
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda t=title: f"The {t} stopped (signal 9)" in demo.said), demo.said
        assert eventually(lambda n=name, p=pid: demo.children(n) not in ([], [p])), demo.said
    assert eventually(demo.is_healthy), demo.said

    (worker,), (web,) = demo.children("worker"), demo.children("web")
    assert demo.interrupt() == 0, demo.said
    assert "Everything is kept" in demo.said
    for group in (worker, web):
        with pytest.raises(ProcessLookupError):
            os.killpg(group, 0)

    again = Demo(seeded, port)
    assert eventually(again.is_ready, 60), again.said
    assert rows(seeded.data_dir) == before
    sign_in(again.url, ACCOUNTS[0].email, ACCOUNTS[0].password)
    (worker,), (web,) = again.children("worker"), again.children("web")
    again.process.kill()
    again.process.wait()
    assert eventually(lambda: not again.is_healthy(), 10), "the web server outlived its supervisor"
    for group in (worker, web):
        assert eventually(lambda g=group: not group_exists(g), 10)


def group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    listed = subprocess.run(
        ["ps", "-eo", "pgid=,stat="], capture_output=True, text=True, check=True
    )
    members = [line.split() for line in listed.stdout.splitlines()]
    return any(int(pgid) == group and not stat.startswith("Z") for pgid, stat in members)


@pytest.mark.parametrize("command", ["demo", "web"])
def test_a_taken_port_is_one_sentence(embedded: Installation, port: int, command: str) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        done = embedded.manage(command, "--port", str(port))
    assert done.returncode == 2
    assert done.stderr == (
        f"CommandError: Port {port} is taken by another program; stop that one or choose another "
        f"port, for example --port {port + 1}.\n"
    )


def test_a_second_demo_on_the_same_data_is_one_sentence(embedded: Installation, port: int) -> None:
    holder = embedded.data_dir / "demo.lock"
    code = "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2); "
    code += (
        "f.write('http://127.0.0.1:8000/'); f.flush(); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(holder)], stdout=-1) as first:
        assert first.stdout is not None
        first.stdout.readline()
        done = embedded.manage("demo", "--port", str(port))
        first.kill()
    assert done.returncode == 2
    assert "A demo already runs on" in done.stderr
    assert "http://127.0.0.1:8000/" in done.stderr


def test_a_damaged_database_is_one_sentence(embedded: Installation, port: int) -> None:
    database = embedded.data_dir / "db.sqlite3"
    database.write_bytes(b"not a database, " * 1000)
    done = embedded.manage("demo", "--port", str(port))
    assert done.returncode == 2
    assert "is damaged" in done.stderr
    assert "restore a backup" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_of_another_machine_is_one_sentence(embedded: Installation) -> None:
    done = embedded.manage("web", "--host", "192.0.2.1")
    assert done.returncode == 2
    assert "192.0.2.1 is no address of this machine" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "environ", "said"),
    [
        (["--ct", "/nowhere"], {}, "--ct /nowhere is not a folder"),
        (["--port", "70000"], {}, "--port 70000 is no port"),
        (
            [],
            {"READERSTUDY_DEMO": "0", "READERSTUDY_SECRET_KEY": "k" * 60},
            "READERSTUDY_DEMO is 0",
        ),
    ],
)
def test_a_wrong_start_is_one_sentence(
    tmp_path: Path, arguments: list[str], environ: dict[str, str], said: str
) -> None:
    made = Installation(tmp_path / "data", clean_environment(tmp_path / "data", **environ))
    done = made.manage("demo", *arguments)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
