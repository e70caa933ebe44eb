"""`benchmark scale`: what one volume of the usual size costs at every step of the road."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from django.conf import settings

from readerstudy.cases.synthesis_benchmark import run_part as run_synthesis_part
from readerstudy.errors import UserError
from readerstudy.measure import Measure, Section

from . import plan

#: The part that measures each step.
_PARTS = {
    plan.IMPORT: "bring_in",
    plan.PREPARE: "prepare",
    plan.TEXTURAL: "textural",
    plan.LEARNED: "learned",
    plan.RECOGNIZE: "recognize",
    plan.EVALUATE: "evaluate",
}


def run_part(name: str, folder: Path) -> dict[str, Any]:
    """Run one part of ``scale.parts`` in a scratch installation. Raises UserError when it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "readerstudy.cases.scale.parts", name, str(folder)],
        cwd=settings.BASE_DIR,
        env=_scratch(folder / f"data-{name}"),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise UserError(f"The part {name!r} of the benchmark failed: {done.stderr.strip()[-300:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _scratch(data: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("READERSTUDY_")}
    return {**kept, "READERSTUDY_DATA_DIR": str(data), "READERSTUDY_DEMO": "1"}


def volume_benchmark(title: str = "One volume") -> Section:
    """Every step on a CT of 512 x 512 x 150 voxels, from files to files."""
    measures = []
    with tempfile.TemporaryDirectory(prefix="readerstudy-bench-") as name:
        folder = Path(name)
        run_synthesis_part("phantom", folder)
        source = run_part("volumes", folder)
        found = {step: run_part(part, folder) for step, part in _PARTS.items()}
    measures += [
        Measure("Source, NIfTI", round(source["nifti_mb"], 1), "MB"),
        Measure("Source, DICOM series", round(source["series_mb"], 1), "MB"),
    ]
    for step, seen in found.items():
        measures += [
            Measure(f"{step}: wall", round(seen["wall_s"], 2), "s"),
            Measure(f"{step}: CPU", round(seen["cpu_s"], 2), "s"),
            Measure(f"{step}: first of a process, wall", round(seen["first_wall_s"], 2), "s"),
            Measure(f"{step}: disk", round(seen["disk_mb"], 3), "MB"),
            Measure(f"{step}: peak memory", round(seen["peak_mb"]), "MB"),
        ]
    seen = found[plan.RECOGNIZE]
    measures += [
        Measure("Recognition: windows", seen["windows"], ""),
        Measure("Recognition: one window", round(seen["gflop"], 1), "GFLOP"),
    ]
    x, y, z = reversed(source["shape"])
    notes = [
        f"A phantom of {x} x {y} x {z} voxels, made on the spot; from files to files. Each step "
        "ran on two such volumes in a process of its own: the first pays for loading libraries and "
        "networks, the second is what each of many costs. Wall depends on what else the machine "
        "does (see the load above), CPU much less: it is what the plan is computed from. Memory is "
        "the largest resident size of the process, libraries included.",
        f"Import: 150 DICOM files into the library, headers de-identified. Preparation: CT and "
        "label onto 1.5 mm. Synthesis: one lesion of 10 to 30 mm, written as CT, mask, SEG, "
        f"picture and manifest. Recognition: {seen['network']}, the network that ships, windows "
        "of 96³ that overlap by a quarter. Evaluation: what was found against the lesion made.",
    ]
    return Section(title, measures, notes)


def queue_benchmark(title: str = "The queue") -> Section:
    """A batch of all volumes in SQLite."""
    with tempfile.TemporaryDirectory(prefix="readerstudy-bench-") as name:
        seen = run_part("queue", Path(name))
    rows = seen["rows"]
    measures = [
        Measure("Queue: rows", rows, ""),
        Measure("Queue: handing in", round(seen["submit_s"] / rows * 1000, 3), "ms a row"),
        Measure("Queue: taking a job", round(seen["take_ms"], 1), "ms"),
        Measure("Queue: how far it is", round(seen["status_ms"]), "ms"),
        Measure("Queue: a row", round(seen["database_mb"] / rows * 1000, 3), "kB"),
    ]
    notes = [
        "SQLite on the local disk, one batch of that many jobs. Taking: what a dispatcher does for "
        "one job while all the others wait behind it, the mean of 20."
    ]
    return Section(title, measures, notes)


def network_benchmark(title: str = "Operations of the networks") -> Section:
    """Counted, not timed: what a plan for GPUs is computed from."""
    with tempfile.TemporaryDirectory(prefix="readerstudy-bench-") as name:
        found = run_part("flops", Path(name))
    measures = [
        Measure(f"{network}: one window", round(gflop, 1), "GFLOP")
        for network, gflop in found.items()
    ]
    notes = [
        "One forward pass of a window of 96³, counted by PyTorch; a multiplication and an addition "
        "are two. A step of a training is taken as three times that."
    ]
    return Section(title, measures, notes)
