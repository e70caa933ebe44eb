"""What the recognition networks cost on this machine, and how long a whole CT takes."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from django.conf import settings

from readerstudy.errors import UserError
from readerstudy.measure import Measure, Section
from recognition.benchmark import SHAPE, SIDE, SPACING

#: Networks in the sizes of the presets and of the published segmentor (SwinUNETR, width 48).
NETWORKS = (
    ("unet", 16),
    ("segresnet", 8),
    ("segresnet", 16),
    ("dynunet", 16),
    ("swinunetr", 24),
    ("swinunetr", 48),
)
#: The default of the trainings and of every preset, chosen from docs/benchmarks/recognition.md: of
#: these networks its window and its step cost by far the least on a processor.
DEFAULT = ("unet", 16)
VOLUME_TARGET_S, MB_TARGET = 60, 4000


def _part(part: str, name: str, width: int) -> dict[str, Any]:
    """Run one part of ``recognition.benchmark``. Raises UserError when it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "recognition.benchmark", part, name, str(width)],
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise UserError(f"The part {part} {name} failed: {done.stderr.strip()[-300:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def network_benchmark(title: str = "Networks") -> Section:
    """A window and a training step of every network, side by side in one run."""
    measures = []
    fastest: tuple[float, str] | None = None
    hardware = False
    for name, width in NETWORKS:
        seen = _part("network", name, width)
        hardware = bool(seen["bf16_in_hardware"])
        label = f"{name}-{width}"
        used = "bf16" if hardware else "fp32"
        if fastest is None or seen[f"window_{used}"][0] < fastest[0]:
            fastest = (seen[f"window_{used}"][0], label)
        measures.append(Measure(f"{label}: parameters", seen["parameters_m"], "M"))
        for what in ("window", "step"):
            for precision in ("fp32", "bf16"):
                wall, cpu = seen[f"{what}_{precision}"]
                measures.append(
                    Measure(f"{label}: {what}, {precision}, wall", round(wall * 1000), "ms")
                )
                measures.append(
                    Measure(f"{label}: {what}, {precision}, CPU", round(cpu * 1000), "ms")
                )
            measures.append(Measure(f"{label}: {what}, peak memory", seen[f"{what}_mb"], "MB"))
    notes = [
        f"Window: one forward pass of {SIDE}³ voxels, the best of three after a first one that is "
        "not counted. Step: forward, loss, backward and AdamW on one such crop, the better of two "
        "after a first one. Where one run takes more than 20 s there is no other. "
        "Each network ran in a process of its own; its memory is the largest resident size, "
        "libraries included, and that of the step includes the windows before it.",
        f"bf16 {'is' if hardware else 'is not'} computed in hardware here. "
        f"The quickest window belongs to {fastest[1] if fastest else 'none'}; the default of the "
        f"presets is {DEFAULT[0]}-{DEFAULT[1]}.",
    ]
    return Section(title, measures, notes)


def volume_benchmark(title: str = "A whole CT") -> Section:
    """Sliding-window inference with the default network over a CT of the usual size."""
    seen = _part("volume", *DEFAULT)
    z, y, x = SHAPE
    measures = [
        Measure(
            "Whole CT, wall",
            seen["wall"],
            "s",
            f"< {VOLUME_TARGET_S}",
            seen["wall"] < VOLUME_TARGET_S,
        ),
        Measure(
            "Whole CT, CPU",
            seen["cpu"],
            "s",
            f"< {VOLUME_TARGET_S}",
            seen["cpu"] < VOLUME_TARGET_S,
        ),
        Measure("Windows", seen["windows"], ""),
        Measure("Peak memory", seen["mb"], "MB", f"< {MB_TARGET}", seen["mb"] < MB_TARGET),
    ]
    mm = " x ".join(f"{value:g}" for value in SPACING)
    notes = [
        f"{x} x {y} x {z} voxels of {mm} mm, body everywhere, so that no window is left out; "
        f"network {DEFAULT[0]}-{DEFAULT[1]} on its 1.5 mm grid, windows of {SIDE}³ that overlap by "
        "a quarter, from HU in memory to mask and probability on the scanner's grid. Fresh "
        "weights: the time does not depend on them.",
        "Nothing in it waits for a disk or a network, so that alone on the machine wall is at most "
        "CPU. Where the load (see above) is more than the number of cores, wall says how busy the "
        "machine was.",
    ]
    return Section(title, measures, notes)
