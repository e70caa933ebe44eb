"""Answers that wait for the same commit: one transaction, every answer on its own."""

from __future__ import annotations

import fcntl
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.conf import settings
from django.db import OperationalError, connection, connections, transaction

from readerstudy.audit.models import AuditEvent
from readerstudy.audit.services import SITE, record
from readerstudy.reading import services
from readerstudy.reading.models import Judgment
from readerstudy.reading.together import LOCK_FILE, Group
from tests.reading.world import Desk


@pytest.fixture
def sqlite(transactional_db):
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL groups commits itself")


def crowd(group: Group, works: list) -> list:
    """What each work returned or raised; all wait for their turn before the first has it."""

    def one(work):
        try:
            return group.write(work)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            return error
        finally:
            connections.close_all()

    with (Path(settings.DATA_DIR) / LOCK_FILE).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with ThreadPoolExecutor(len(works)) as pool:
            futures = [pool.submit(one, work) for work in works]
            for _ in range(1000):
                if len(group._waiting) == len(works):
                    break
                threading.Event().wait(0.01)
            fcntl.flock(file, fcntl.LOCK_UN)
            return [future.result() for future in futures]


def note(word: str):
    return lambda: record(None, "test.noted", data={"word": word}).seq


def words() -> list[str]:
    return sorted(e.data["word"] for e in AuditEvent.objects.filter(action="test.noted"))


def test_all_that_wait_are_one_commit_and_one_chain(sqlite, monkeypatch):
    begun = []
    honest = transaction.Atomic.__enter__

    def counting(self):
        if not transaction.get_connection(self.using).in_atomic_block:
            begun.append(threading.get_ident())
        honest(self)

    monkeypatch.setattr(transaction.Atomic, "__enter__", counting)
    before = AuditEvent.objects.filter(chain=SITE).count()
    found = crowd(Group(), [note(f"w{k}") for k in range(6)])
    assert len(begun) == 1
    assert words() == [f"w{k}" for k in range(6)]
    # Each has the event that it wrote itself.
    assert sorted(found) == [before + k for k in range(1, 7)]


def test_an_error_undoes_its_own_write_and_no_other(sqlite):
    def broken():
        note("undone")()
        raise RuntimeError("on purpose")

    found = crowd(Group(), [note("one"), broken, note("two")])
    assert [str(f) for f in found if isinstance(f, Exception)] == ["on purpose"]
    assert words() == ["one", "two"]


def test_nobody_is_told_of_a_commit_that_failed(sqlite, monkeypatch):
    group = Group()

    def refuse(self):
        raise OperationalError("the disk is full")

    monkeypatch.setattr(type(connections["default"]), "_commit", refuse)
    found = crowd(group, [note(f"w{k}") for k in range(3)])
    monkeypatch.undo()
    assert [str(f) for f in found] == ["the disk is full"] * 3
    assert words() == []
    assert group.write(note("after")) and words() == ["after"]


@pytest.mark.django_db
def test_an_answer_on_an_outdated_standing_is_looked_at_again(
    desk, reader, client_for, monkeypatch
):
    """Another window of the reader answers between the look and the write."""
    token = desk.worklist()["current"]["token"]
    look, looks = services._standing, []

    def overtaken(membership):
        standing = look(membership)
        looks.append(standing)
        if len(looks) == 1:
            assert Desk(client_for(reader)).post(token, 2).status_code == 200
        return standing

    monkeypatch.setattr(services, "_standing", overtaken)
    response = desk.post(token, 5, client_uuid=uuid.uuid4())
    assert response.status_code == 409
    assert response.json()["stored"] == {"rating": 2}
    assert Judgment.objects.get().rating == 2
    # Both counted: one answered, and the next is the second case.
    assert desk.worklist()["answered"] == 1
