"""`manage.py worker`: real processes, killed in the middle, on both set-ups."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

import pytest

from tests.ops.conftest import Installation, eventually

DRIVER = [sys.executable, "-m", "tests.ops.driver"]


@pytest.fixture(
    params=[
        "embedded",
        pytest.param("served", marks=[pytest.mark.postgres, pytest.mark.redis]),
    ]
)
def installation(request: pytest.FixtureRequest) -> Installation:
    made: Installation = request.getfixturevalue(request.param)
    made.environ["DJANGO_SETTINGS_MODULE"] = "tests.ops.worker_settings"
    return made


def enqueue(installation: Installation, steps: int, seconds: float, count: int = 1) -> list[str]:
    done = installation.run(*DRIVER, "enqueue", str(steps), str(seconds), str(count))
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def wait(
    installation: Installation, ids: list[str], steps: int, seconds: float = 30
) -> list[dict[str, Any]]:
    done = installation.run(*DRIVER, "wait", str(seconds), str(steps), *ids)
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def all_done(installation: Installation, ids: list[str]) -> bool:
    return all(row["state"] == "done" for row in wait(installation, ids, 0))


@pytest.mark.slow
def test_O1_a_job_whose_worker_is_killed_goes_on_from_its_checkpoint(
    installation: Installation,
) -> None:
    (job,) = enqueue(installation, steps=15, seconds=0.3)
    worker = installation.start("worker")
    (row,) = wait(installation, [job], steps=3)
    assert 3 <= row["done"] < 15, row
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    installation.start("worker")
    assert eventually(lambda: all_done(installation, [job]), 40), wait(installation, [job], 0)
    (row,) = wait(installation, [job], 0)
    assert (row["attempts"], row["done"], row["result"]) == (2, 15, {"counted": 15})
    steps = (installation.data_dir / "steps.txt").read_text().split()
    assert sorted(set(map(int, steps))) == list(range(15)), "every step was done"
    assert len(steps) <= 16, "at most the step in hand was done twice"


@pytest.mark.slow
def test_O2_two_workers_do_every_job_once(installation: Installation) -> None:
    ids = enqueue(installation, steps=1, seconds=0.01, count=30)
    for _ in range(2):
        installation.start("worker")
    assert eventually(lambda: all_done(installation, ids), 40), wait(installation, ids, 0)
    rows = wait(installation, ids, 1)
    assert [row["attempts"] for row in rows] == [1] * 30
    assert len((installation.data_dir / "steps.txt").read_text().split()) == 30


def test_a_queue_that_does_not_exist_is_one_sentence(embedded: Installation) -> None:
    done = embedded.manage("worker", "--queues", "cpu,tpu")
    assert done.returncode == 2
    assert done.stderr == (
        "CommandError: There is no queue 'tpu'; --queues takes cpu, gpu or both.\n"
    )
