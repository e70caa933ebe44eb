"""Files handed to the queue, workers killed in the middle: nothing lost, nothing doubled."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from tests.library import makers
from tests.ops.conftest import Installation, eventually
from tests.synthesis.hosts import ball_host

CASES = 8


@pytest.fixture(
    params=[
        "embedded",
        pytest.param("served", marks=[pytest.mark.postgres, pytest.mark.redis]),
    ]
)
def installation(request: pytest.FixtureRequest) -> Installation:
    made: Installation = request.getfixturevalue(request.param)
    return made


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Eight CTs of a ball, and one file that is none; the masks have a folder of their own."""
    folder, masks = tmp_path / "scans", tmp_path / "masks"
    folder.mkdir()
    masks.mkdir()
    affine = np.diag([-1.5, -1.5, 3.0, 1.0])
    for number in range(CASES):
        scan = ball_host((1.5, 1.5, 3.0), radius_mm=26, seed=number)
        makers.write_nifti(folder / f"c{number}.nii.gz", scan.hu, affine=affine)
        mask = scan.organ_mask.astype(np.uint8)
        makers.write_nifti(masks / f"c{number}.nii.gz", mask, affine=affine)
    (folder / "broken.nii.gz").write_bytes(b"nothing")
    makers.write_nifti(masks / "broken.nii.gz", mask, affine=affine)
    return folder


def made(out: Path) -> dict[str, int]:
    return {p.parent.name: p.stat().st_mtime_ns for p in out.glob("[!.]*/manifest.json")}


@pytest.mark.slow
def test_a_killed_worker_loses_nothing_and_doubles_nothing(
    installation: Installation, scans: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    said = installation.manage(
        *("synthesize", "--ct", str(scans), "--organ", "liver", "--n", "4"),
        *("--organ-mask", str(tmp_path / "masks" / "{case}.nii.gz"), "--diameter-mm", "8-12"),
        *("--seed", "7", "--out", str(out), "--queue", "gpu"),
    )
    assert said.returncode == 0, said.stderr
    assert f"{CASES + 1} jobs for the queue gpu" in said.stdout
    worker = installation.start("worker", "--queues", "gpu", "--concurrency", "2")
    assert eventually(lambda: len(made(out)) >= 2 and bool(list(out.glob(".*.part"))), 60)
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    before = made(out)
    assert len(before) < CASES
    installation.start("worker", "--queues", "cpu,gpu")
    followed = installation.manage("batch", "status", "--follow")
    assert f"{CASES} of {CASES + 1} done, 1 failed" in followed.stdout, followed
    assert "  broken: " in followed.stdout
    after = made(out)
    assert len(after) == CASES
    assert {name: after[name] for name in before} == before, "what was done was left alone"
    requests = {json.loads(path.read_text())["sha256"] for path in out.glob("c*/request.json")}
    assert len(requests) == CASES
