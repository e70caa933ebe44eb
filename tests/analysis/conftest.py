"""Trials of this room's tests, filled from the reference judgments."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from readerstudy.analysis import services
from readerstudy.analysis.models import ResultsSnapshot
from readerstudy.trials.models import Membership, Trial

from .factory import demo_rows, make_trial


@pytest.fixture
def small_rows() -> list[dict[str, str]]:
    """4 readers x 40 cases: quick, and complete enough for every table."""
    return demo_rows(4, 40)


@pytest.fixture
def unblinded(coordinator: Any, researcher: Any, small_rows: list[dict[str, str]]) -> Trial:
    trial = make_trial(coordinator, rows=small_rows, patients=30)
    Membership.objects.create(trial=trial, user=researcher, role="researcher", code="A01")
    return trial


@pytest.fixture
def closed(coordinator: Any, small_rows: list[dict[str, str]]) -> Trial:
    return make_trial(coordinator, slug="sealed", state="closed", rows=small_rows)


@pytest.fixture(scope="session")
def drawn_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the files of the first computed results are kept for the tests that follow."""
    return tmp_path_factory.mktemp("results") / "kept"


@pytest.fixture
def computed(unblinded: Trial, drawn_once: Path) -> ResultsSnapshot:
    """Stored results of `unblinded`; drawing the same figures for each test takes seconds."""
    if not drawn_once.exists():
        snapshot = services.compute_results(unblinded)
        shutil.copytree(snapshot.folder, drawn_once)
        (drawn_once / "sha256").write_text(snapshot.sha256)
        return snapshot
    snapshot = ResultsSnapshot.objects.create(
        trial=unblinded,
        engine=services.ENGINE_VERSION,
        protocol_sha256=unblinded.active_protocol.sha256,
        sha256=(drawn_once / "sha256").read_text(),
    )
    shutil.copytree(drawn_once, snapshot.folder, ignore=shutil.ignore_patterns("sha256"))
    return snapshot
