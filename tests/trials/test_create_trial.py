"""`manage.py create_trial`: one sentence and exit status 2 for every bad input."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from readerstudy.trials import selectors
from readerstudy.trials.design import files
from readerstudy.trials.design.protocol import read
from readerstudy.trials.models import Trial

from . import world


@pytest.fixture
def protocol_file(tmp_path: Path) -> Path:
    path = tmp_path / "protocol.yaml"
    path.write_text(files.dump(read(world.document())), encoding="utf-8")
    return path


def run(*args: Any) -> str:
    out = io.StringIO()
    call_command("create_trial", *map(str, args), stdout=out)
    return out.getvalue()


def sentence(*args: Any) -> str:
    with pytest.raises(CommandError) as caught:
        run(*args)
    assert caught.value.returncode == 2
    assert not Trial.objects.exists()
    return str(caught.value)


def test_makes_a_draft(coordinator: Any, protocol_file: Path) -> None:
    out = run("--protocol", protocol_file, "--slug", "first", "--seed", 12)
    trial = Trial.objects.get()
    protocol = selectors.active_protocol(trial)
    assert protocol is not None
    assert out == f"Trial first made: protocol {protocol.sha256}.\n"
    assert (trial.slug, trial.seed, trial.state) == ("first", 12, "draft")
    assert trial.memberships.get().user == coordinator


def test_names_the_coordinator_when_there_are_several(
    coordinator: Any, other_coordinator: Any, protocol_file: Path
) -> None:
    assert sentence("--protocol", protocol_file) == (
        "This site has more than one coordinator: say who coordinates with --coordinator EMAIL."
    )
    assert sentence("--protocol", protocol_file, "--coordinator", "x@y.org") == (
        "There is no coordinator with the e-mail x@y.org; check --coordinator."
    )
    run("--protocol", protocol_file, "--coordinator", other_coordinator.email)
    assert Trial.objects.get().created_by == other_coordinator


def test_needs_a_coordinator(db: None, protocol_file: Path) -> None:
    assert sentence("--protocol", protocol_file).startswith("This site has no coordinator yet")


def test_a_misspelt_key_is_named_with_the_nearest_valid_one(
    coordinator: Any, protocol_file: Path
) -> None:
    text = protocol_file.read_text().replace("minimum_gap:", "minimal_gap:")
    protocol_file.write_text(text)
    assert sentence("--protocol", protocol_file) == (
        "`repeats.minimal_gap` is not a key of the protocol; did you mean `minimum_gap`?"
    )


def test_a_file_that_is_not_there(coordinator: Any, tmp_path: Path) -> None:
    missing = tmp_path / "none.yaml"
    assert sentence("--protocol", missing) == (
        f"The protocol file {missing} cannot be read (No such file or directory); check the path."
    )
    assert "Is a directory" in sentence("--protocol", tmp_path)


def test_bad_address_and_bad_seed(coordinator: Any, protocol_file: Path) -> None:
    assert "cannot be the trial's address" in sentence("--protocol", protocol_file, "--slug", "A B")
    assert sentence("--protocol", protocol_file, "--seed", -1) == (
        "--seed must be between 0 and 2^63 - 1."
    )
