"""Times and memory of making one lesion: each way in a process of its own.

``python -m synthesis.benchmark PART FOLDER [GENERATOR SEGMENTOR]`` runs one part and writes one
line of JSON. A part reads the volume that the part ``phantom`` left in FOLDER, so that its peak
memory is what that way needs and nothing else. ``manage.py benchmark synthesis`` runs them all.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from synthesis.engine.arrays import Hu, MaskArray
    from synthesis.engine.generators import Generator
    from synthesis.engine.quality import Gate

SHAPE = (150, 512, 512)
SPACING = (0.75, 0.75, 1.6)
ORGAN = "liver"
#: Sizes and mass effect of the lesions.
DIAMETER_MM, MASS_EFFECT = (10.0, 30.0), 0.5
LESIONS = 9
#: A generator whose lesions the gate keeps refusing is not waited for longer than this (s).
LONGEST_S = 45.0
#: The published recipe: windows of this side on this grid, sliding by a quarter of it.
ROI, OVERLAP, GRID_MM = 96, 0.75, 1.5
PUBLISHED_WINDOWS, OUR_WINDOWS = 2, 7
HU_FILE, ORGAN_FILE = "hu.npy", "organ.npy"


@dataclass(frozen=True)
class Spent:
    """Seconds on the clock, and of all threads together."""

    wall: float
    cpu: float


def timed(work: Callable[[], Any]) -> tuple[Any, Spent]:
    """The answer of ``work`` and what it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    answer = work()
    return answer, Spent(time.perf_counter() - wall, time.process_time() - cpu)


def peak_mb() -> float:
    """Largest resident memory (MB, 10**6 bytes) of this process since it started."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not getrusage: on Linux that starts from what the parent had at the fork.
        for row in status.read_text().splitlines():
            if row.startswith("VmHWM"):
                return int(row.split()[1]) * 1024 / 1e6
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / 1e6 if sys.platform == "darwin" else largest * 1024 / 1e6


# -- the volume ------------------------------------------------------------------------------------


def phantom_volume() -> tuple[Hu, MaskArray]:
    """A phantom at half the resolution, doubled, with noise of its own: HU and liver mask."""
    from scipy import ndimage

    from synthesis.engine.phantoms import make_phantom

    rng = np.random.default_rng(1)
    z, y, x = (size // 2 for size in SHAPE)
    double = (2 * SPACING[0], 2 * SPACING[1], 2 * SPACING[2])
    phantom = make_phantom(rng, "abdomen", shape=(z, y, x), spacing=double, lesions=0, noise_hu=4.0)
    hu, organ = phantom.hu, phantom.organs[ORGAN]
    for axis in range(3):
        hu, organ = np.repeat(hu, 2, axis=axis), np.repeat(organ, 2, axis=axis)
    for k in range(len(hu)):
        white = rng.standard_normal(hu.shape[1:], dtype=np.float32)
        noise = ndimage.gaussian_filter(white, 0.8)
        hu[k] += np.rint(noise * (12.0 / noise.std())).astype(np.int16)
    return np.clip(hu, -1024, 3071), organ


def phantom(folder: Path) -> dict[str, Any]:
    """Leave the volume in ``folder``."""
    (hu, organ), spent = timed(phantom_volume)
    np.save(folder / HU_FILE, hu)
    np.save(folder / ORGAN_FILE, organ)
    return {"wall_s": spent.wall, "shape": hu.shape, "spacing": SPACING}


# -- our two ways ----------------------------------------------------------------------------------


def textural(folder: Path) -> dict[str, Any]:
    """(a) The procedural generator, judged by measurements."""
    from synthesis.engine.generators import get_generator
    from synthesis.engine.quality import judge

    return _lesions(folder, get_generator("textural"), judge)


def learned(folder: Path, generator: Path, segmentor: Path) -> dict[str, Any]:
    """(b) Our learned generator, judged by measurements and by our segmentor."""
    (paint, gate), loading = timed(lambda: judged_networks(generator, segmentor))
    found = _lesions(folder, paint, gate)
    return found | {"loading_s": loading.wall, "precision": _precisions(paint, gate)}


def judged_networks(generator: Path, segmentor: Path) -> tuple[Any, Any]:
    """The learned generator and the default gate with its segmentor, from their files."""
    from synthesis.engine.checkpoints import load_checkpoint
    from synthesis.engine.generators import Weights, get_generator
    from synthesis.engine.quality import make_gate
    from synthesis.engine.segmenters import NetworkSegmenter

    paint = get_generator("freetumor", Weights(generator))
    segmenter = NetworkSegmenter(load_checkpoint(segmentor, kind="segmentor"))
    return paint, make_gate("default", segmenter)


def _precisions(paint: Any, gate: Any) -> str:
    return f"generator {paint.inference.name}, gate {gate.segmenter.inference.name}"


def _lesions(folder: Path, generator: Generator, gate: Gate) -> dict[str, Any]:
    """Lesions one after the other, each with its own placement map."""
    from synthesis.engine.pipeline import prepare, synthesize
    from synthesis.engine.records import Accepted, LesionSpec, Scan

    scan = Scan(np.load(folder / HU_FILE), SPACING, ORGAN, np.load(folder / ORGAN_FILE))
    spec = LesionSpec(DIAMETER_MM, MASS_EFFECT)
    prepare(scan)
    # The first lesion pays for imports and first calls; it is measured, and told apart.
    _, first = timed(lambda: synthesize(prepare(scan), spec, generator, LESIONS, gate))
    rows: list[dict[str, Any]] = []
    deadline = time.monotonic() + LONGEST_S
    for seed in range(LESIONS):
        if len(rows) >= 3 and time.monotonic() > deadline:
            break
        prepared, mapping = timed(lambda: prepare(scan))
        outcome, making = timed(
            lambda p=prepared, s=seed: synthesize(p, spec, generator, s, gate)  # type: ignore[misc]
        )
        made = isinstance(outcome.verdict, Accepted)
        rows.append(
            {
                "wall_s": mapping.wall + making.wall,
                "cpu_s": mapping.cpu + making.cpu,
                "mapping_s": mapping.wall,
                "tries": len(outcome.rejected) + int(made),
                "made": made,
            }
        )
    return {"lesions": rows, "first_s": first.wall, "peak_mb": peak_mb()}


# -- the published recipe --------------------------------------------------------------------------


def count_windows(shape: tuple[int, ...], roi: int = ROI, overlap: float = OVERLAP) -> int:
    """Windows of MONAI's sliding window over ``shape``.

    Along each axis they start every ``int(roi * (1 - overlap))`` voxels, and the last one ends
    with the volume; a volume smaller than the window is padded to it.
    """
    step = max(1, int(roi * (1.0 - overlap)))
    total = 1
    for size in shape:
        total *= -(-max(size - roi, 0) // step) + 1
    return total


def foreground(hu: NDArray[np.integer[Any]], low_hu: float) -> tuple[slice, slice, slice]:
    """The box of everything above ``low_hu``, to which the released code crops a scan."""
    above = hu > low_hu
    cuts = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        where = np.flatnonzero(above.any(axis=others))
        cuts.append(slice(int(where[0]), int(where[-1]) + 1))
    return (cuts[0], cuts[1], cuts[2])


def published(folder: Path, generator: Path, segmentor: Path) -> dict[str, Any]:
    """(c) The published networks on some windows of the whole volume, then ours on the same."""
    from scipy import ndimage

    from synthesis.engine.interop.recipe import ABDOMEN

    low, high = ABDOMEN.window_hu
    hu = np.load(folder / HU_FILE)
    scale = [s / GRID_MM for s in SPACING[::-1]]
    coarse = ndimage.zoom(hu[foreground(hu, low)].astype(np.float32), scale, order=1)
    window = _middle(coarse)
    theirs = _their_window(np.clip((window - low) / (high - low), 0.0, 1.0))
    return {
        "windows": count_windows(coarse.shape),
        "grid": coarse.shape,
        **theirs,
        "peak_mb": peak_mb(),
        "ours": _our_window(window, generator, segmentor),
    }


def _their_window(image: NDArray[np.floating[Any]]) -> dict[str, Any]:
    """The published generator and gate on one window in 0..1; fresh weights cost the same."""
    import torch

    from synthesis.engine.networks import (
        PublishedUNet3dConfig,
        SwinSegmentorConfig,
        build_network,
    )

    paint = build_network(PublishedUNet3dConfig()).requires_grad_(False)
    judge = build_network(SwinSegmentorConfig()).requires_grad_(False)
    block = torch.from_numpy(np.ascontiguousarray(image, np.float32))[None, None]
    with torch.inference_mode():
        painting = [timed(lambda: paint(block))[1] for _ in range(PUBLISHED_WINDOWS)]
        judging = [timed(lambda: judge(block))[1] for _ in range(PUBLISHED_WINDOWS)]
    return {"timed": PUBLISHED_WINDOWS, "generator": _least(painting), "gate": _least(judging)}


def _middle(volume: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """A window from the middle, padded where the volume is smaller."""
    pad = [(0, max(ROI - size, 0)) for size in volume.shape]
    volume = np.pad(volume, pad, mode="edge")
    starts = [(size - ROI) // 2 for size in volume.shape]
    z, y, x = (slice(a, a + ROI) for a in starts)
    return volume[z, y, x]


def _least(spent: list[Spent]) -> dict[str, float]:
    """The quickest of some: what the machine can do when nothing else asks for it."""
    return {"wall_s": min(s.wall for s in spent), "cpu_s": min(s.cpu for s in spent)}


def _our_window(hu: NDArray[np.floating[Any]], generator: Path, segmentor: Path) -> dict[str, Any]:
    """Our generator and gate on one window, as a lesion's synthesis asks them."""
    import torch

    paint, judge = judged_networks(generator, segmentor)
    crop = np.ascontiguousarray(hu, np.float32)
    block = torch.from_numpy(crop)[None, None]
    z, y, x = np.mgrid[-1 : 1 : ROI * 1j, -1 : 1 : ROI * 1j, -1 : 1 : ROI * 1j]
    soft = np.clip(1.2 - 4.0 * np.sqrt(z * z + y * y + x * x), 0.0, 1.0).astype(np.float32)
    mask = torch.from_numpy(soft)[None, None]
    noise = torch.randn(block.shape, generator=torch.Generator().manual_seed(0))

    organ = torch.tensor([paint.checkpoint.config.organ_index(ORGAN)])
    begun = -40.0 * mask if paint.mode == "hybrid" else None

    def answer() -> Any:
        with paint.inference():
            return paint.checkpoint.network.field(block, mask, noise, organ, begun)

    def verdict() -> Any:
        return judge.segmenter.segment(crop, (GRID_MM, GRID_MM, GRID_MM))

    answer(), verdict()
    return {
        "generator": _least([timed(answer)[1] for _ in range(OUR_WINDOWS)]),
        "gate": _least([timed(verdict)[1] for _ in range(OUR_WINDOWS)]),
        "timed": OUR_WINDOWS,
        "precision": _precisions(paint, judge),
    }


def realism(root: Path, generator: Path, segmentor: Path) -> dict[str, Any]:
    """Made lesions beside the real ones of the shared CT set under ``root``."""
    from synthesis import benchmark_realism

    return benchmark_realism.realism(root, generator, segmentor)


PARTS: dict[str, Callable[..., dict[str, Any]]] = {
    "phantom": phantom,
    "textural": textural,
    "learned": learned,
    "published": published,
    "realism": realism,
}


def main(arguments: list[str]) -> int:
    name, *paths = arguments
    answer = PARTS[name](*(Path(path) for path in paths))
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
