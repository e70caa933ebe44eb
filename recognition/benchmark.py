"""Times and memory of the recognition networks: each in a process of its own.

``python -m recognition.benchmark network NAME WIDTH`` times a training step and one window of a
network, ``python -m recognition.benchmark volume NAME WIDTH`` a whole CT; each writes one line of
JSON. ``manage.py benchmark recognition`` runs them all.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recognition.engine.checkpoints import Loaded

SIDE = 96
CLASSES = ("background", "liver", "liver tumor")
#: A CT of the usual size, (z, y, x), and its voxels (x, y, z) in mm.
SHAPE, SPACING = (150, 512, 512), (0.75, 0.75, 2.5)
#: Runs of which the quickest counts; no further one is begun once they took this long together.
_WINDOWS, _STEPS, _LONGEST_S = 3, 2, 20.0


def _spent(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the clock, and of all threads together."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def _best(work: Callable[[], object], runs: int) -> tuple[float, float]:
    """The quickest of several runs after a first one, which counts only where it took very long."""
    first = _spent(work)
    if first[0] > _LONGEST_S:
        return first
    spent: list[tuple[float, float]] = []
    while len(spent) < runs and (not spent or sum(wall for wall, _ in spent) < _LONGEST_S):
        spent.append(_spent(work))
    return min(spent)


def _peak_mb() -> float:
    """Largest resident memory (MB, 10**6 bytes) of this process since it started."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not getrusage: on Linux that starts from what the parent had at the fork.
        for row in status.read_text().splitlines():
            if row.startswith("VmHWM"):
                return int(row.split()[1]) * 1024 / 1e6
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / 1e6 if sys.platform == "darwin" else largest * 1024 / 1e6


def _loaded(name: str, width: int) -> Loaded:
    from recognition.engine.checkpoints import Loaded
    from recognition.engine.networks import NetworkConfig, build

    config = NetworkConfig(name=name, width=width, classes=CLASSES)
    return Loaded(name, config, build(config).eval(), "", {})


def network(name: str, width: int) -> dict[str, Any]:
    """A window and a training step of one crop of 96³, in fp32 and bf16."""
    import torch

    from recognition.engine.inference import use_bf16
    from recognition.engine.training.loss import dice_cross_entropy

    loaded = _loaded(name, width)
    net = loaded.network
    generator = torch.Generator().manual_seed(1)
    crop = torch.rand(1, 1, SIDE, SIDE, SIDE, generator=generator)
    label = torch.randint(0, 3, (1, SIDE, SIDE, SIDE), generator=generator)
    annotated = torch.ones(1, 3, dtype=torch.bool)
    out: dict[str, Any] = {
        "parameters_m": sum(p.numel() for p in net.parameters()) / 1e6,
        "bf16_in_hardware": use_bf16("auto", torch.device("cpu")),
    }
    for precision in ("fp32", "bf16"):

        def window(half: bool = precision == "bf16") -> None:
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
                net(crop)

        out[f"window_{precision}"] = _best(window, _WINDOWS)
    out["window_mb"] = _peak_mb()
    net.train()
    optimizer = torch.optim.AdamW(net.parameters())
    for precision in ("fp32", "bf16"):

        def step(half: bool = precision == "bf16") -> None:
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                logits = net(crop)
            dice_cross_entropy(logits, label, annotated).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        out[f"step_{precision}"] = _best(step, _STEPS)
    out["step_mb"] = _peak_mb()
    return out


def volume(name: str, width: int) -> dict[str, Any]:
    """A whole CT that is body everywhere, so that no window can be left out."""
    import numpy as np

    from recognition.engine.inference import recognize

    loaded = _loaded(name, width)
    rng = np.random.default_rng(1)
    hu = rng.integers(-100, 200, SHAPE, dtype=np.int16)
    before = _peak_mb()
    counted = []
    wall, cpu = _spent(
        lambda: recognize(loaded, hu, SPACING, tell=lambda done, total: counted.append(total))
    )
    return {
        "wall": wall,
        "cpu": cpu,
        "mb": _peak_mb(),
        "mb_before": before,
        "windows": counted[-1],
    }


def main(part: str, name: str, width: str) -> None:
    work = {"network": network, "volume": volume}[part]
    sys.stdout.write(json.dumps(work(name, int(width))) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:4])
