"""The one cast of users, the shared data, and helpers that drive the real thing.

The environment of the run (scratch data directory, database) is set in tests/environment.py.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("READERSTUDY_SHARED", ROOT.parent / "shared"))
PASSWORD = "correct horse battery"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`-m database` chooses what touches the database: the run on PostgreSQL needs no more."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if fixtures & {"db", "transactional_db"} or item.get_closest_marker("django_db"):
            item.add_marker("database")


def _shared(name: str) -> Path:
    path = SHARED / name
    if not path.is_dir():
        reason = f"the shared folder {name!r} is not at {SHARED}; set READERSTUDY_SHARED"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@pytest.fixture(scope="session")
def shared_ct() -> Path:
    """Folder of real CT volumes (never copied into the project)."""
    return _shared("ct")


@pytest.fixture(scope="session")
def shared_stats() -> Path:
    return _shared("stats")


@pytest.fixture(scope="session")
def shared_parity() -> Path:
    return _shared("parity")


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, settings: Any) -> Path:
    """Every test has a data directory of its own."""
    settings.DATA_DIR = tmp_path / "data"
    settings.DATA_DIR.mkdir()
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
            "LOCATION": str(tmp_path),
        }
    }
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return settings.DATA_DIR


def _person(email: str, **fields: Any) -> Any:
    from readerstudy.accounts.services import create_user

    return create_user(email, password=PASSWORD, **fields)


@pytest.fixture
def coordinator(db: None) -> Any:
    return _person("carol@example.org", display_name="Carol", site_role="coordinator")


@pytest.fixture
def other_coordinator(db: None) -> Any:
    return _person("cedric@example.org", display_name="Cedric", site_role="coordinator")


@pytest.fixture
def researcher(db: None) -> Any:
    return _person("rita@example.org", display_name="Rita", site_role="researcher")


@pytest.fixture
def reader(db: None) -> Any:
    return _person("alice@example.org", display_name="Alice", experience_years=9)


@pytest.fixture
def peer_reader(db: None) -> Any:
    return _person("bob@example.org", display_name="Bob", experience_years=4)


@pytest.fixture
def other_reader(db: None) -> Any:
    """A reader of some other trial."""
    return _person("oscar@example.org", display_name="Oscar")


@pytest.fixture
def nobody(db: None) -> Any:
    """Signed in, with no role in any trial."""
    return _person("nora@example.org", display_name="Nora")


@pytest.fixture
def client_for() -> Callable[..., Any]:
    """`client_for(user)`: a signed-in test client; `csrf=True` enforces the CSRF check."""
    from django.test import Client

    def make(user: Any = None, *, csrf: bool = False) -> Client:
        client = Client(enforce_csrf_checks=csrf)
        if user is not None:
            client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
        return client

    return make


@pytest.fixture
def run_jobs(db: None) -> Callable[[], list[Any]]:
    """Run every queued job here and now, as a worker would; returns the ended rows."""
    from readerstudy.jobs.models import Job
    from readerstudy.jobs.services import due, execute

    def run() -> list[Any]:
        ended = []
        while jobs := due(["cpu", "gpu"], 10):
            for job in jobs:
                execute(str(job.pk))
                ended.append(Job.objects.get(pk=job.pk))
        return ended

    return run


CHROMIUM = next(
    (
        path
        for path in (
            os.environ.get("READERSTUDY_CHROMIUM", ""),
            "/usr/bin/chromium",
            "/usr/bin/chromium-browser",
            "/usr/bin/google-chrome",
            "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
        )
        if path and Path(path).exists()
    ),
    None,
)
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """The system's Chromium; skips naming the package, and fails in CI, when there is none."""
    if CHROMIUM is None:
        reason = (
            "no Chromium found: install Debian's package chromium (or set READERSTUDY_CHROMIUM)"
        )
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import expect, sync_playwright

    # Pages answer in milliseconds; on a machine busy with other tests they may take seconds.
    expect.set_options(timeout=30_000)
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session", autouse=True)
def audit_triggers_step_aside_for_the_flush_between_tests() -> None:
    """SQLite empties tables by DELETE, which the audit triggers refuse; PostgreSQL truncates."""
    from django.db import connection

    if connection.vendor != "sqlite":
        return
    from django.db.backends.sqlite3.operations import DatabaseOperations

    migration = importlib.import_module("readerstudy.audit.migrations.0002_append_only")
    original = DatabaseOperations.sql_flush

    def sql_flush(self: Any, style: Any, tables: Any, **options: Any) -> list[str]:
        statements = original(self, style, tables, **options)
        if not statements:
            return statements
        verbs = ("update", "delete")
        drop = [f"DROP TRIGGER IF EXISTS audit_no_{verb}" for verb in verbs]
        create = [migration.SQLITE.format(verb=verb, VERB=verb.upper()) for verb in verbs]
        return [*drop, *statements, *create]

    DatabaseOperations.sql_flush = sql_flush
