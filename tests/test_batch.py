"""Batch work: several processes, resumable, one bad item stops nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from readerstudy.batch import Batch, SomeFailed
from readerstudy.errors import UserError


@dataclass(frozen=True)
class Item:
    name: str
    out: Path


def work(item: Item) -> None:
    if item.name == "bad":
        raise UserError("This volume is cut off.")
    if item.name == "odd":
        raise ZeroDivisionError("by zero")
    if item.name == "kill":
        os._exit(9)
    item.out.write_text(f"{item.name} by {os.getpid()}")


def batch() -> Batch[Item]:
    return Batch(name=lambda i: i.name, done=lambda i: i.out.exists(), work=work)


def items(folder: Path, *names: str) -> list[Item]:
    return [Item(name, folder / name) for name in names]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_bad_item_is_reported_and_the_rest_is_made(tmp_path, workers):
    told: list[str] = []
    wanted = items(tmp_path, "a", "bad", "b", "odd", "c")
    outcome = batch().run(wanted, workers=workers, tell=told.append)
    assert sorted(outcome.made) == ["a", "b", "c"]
    assert outcome.failed["bad"] == "This volume is cut off."
    assert "ZeroDivisionError" in outcome.failed["odd"]
    assert "bad: This volume is cut off." in told
    makers = {(tmp_path / name).read_text().split()[-1] for name in "abc"}
    assert (str(os.getpid()) in makers) == (workers == 1)


def test_what_is_there_is_not_made_again(tmp_path):
    batch().run(items(tmp_path, "a"), tell=print)
    before = (tmp_path / "a").stat().st_mtime_ns
    outcome = batch().run(items(tmp_path, "a", "b"), tell=print)
    assert (outcome.found, outcome.made) == (["a"], ["b"])
    assert (tmp_path / "a").stat().st_mtime_ns == before


def test_an_item_that_kills_its_process_is_given_up_and_the_rest_is_made(tmp_path):
    wanted = items(tmp_path, "a", "kill", "b", "c", "d", "e", "f")
    outcome = batch().run(wanted, workers=2, tell=print)
    assert sorted(outcome.made) == ["a", "b", "c", "d", "e", "f"]
    assert list(outcome.failed) == ["kill"]
    assert "was killed" in outcome.failed["kill"]


def test_what_failed_is_listed_beside_the_results_until_nothing_fails(tmp_path):
    outcome = batch().run(items(tmp_path, "a", "odd", "bad"), tell=print)
    with pytest.raises(SomeFailed, match="2 of 3 volumes failed") as error:
        outcome.close(tmp_path)
    assert error.value.exit_status == 3
    rows = (tmp_path / "failed.csv").read_text().splitlines()
    assert rows[:2] == ["name,reason", "bad,This volume is cut off."]
    assert rows[2].startswith("odd,")
    batch().run(items(tmp_path, "a"), tell=print).close(tmp_path)
    assert not (tmp_path / "failed.csv").exists()


def test_bad_wishes_are_refused(tmp_path):
    with pytest.raises(UserError, match="--workers"):
        batch().run([], workers=0)
    with pytest.raises(UserError, match="Two items have the name 'a'"):
        batch().run(items(tmp_path, "a", "a"))
