"""How long one case takes: lesion and transplant on a 512x512x150 volume, then its rendition."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

from readerstudy.measure import Measure, Section
from synthesis.benchmark import SHAPE, SPACING, phantom_volume

LESIONS = 5
FRAMES = 30


def lesion_benchmark(title: str = "Making a case") -> Section:
    """Median times over several lesions and frames, on a phantom made on the spot."""
    import numpy as np

    from synthesis.engine.generators import get_generator
    from synthesis.engine.pipeline import prepare, synthesize
    from synthesis.engine.records import LesionSpec, Scan

    from . import codec

    (hu, organ), making = _timed(phantom_volume)
    scan = Scan(hu, SPACING, "liver", organ)
    generator = get_generator("textural")
    times: dict[float, list[float]] = {}
    for diameter in (12.0, 20.0, 30.0):
        for seed in range(LESIONS):
            spec = LesionSpec((diameter, diameter), 0.5)
            # Placement is prepared anew here, which a run does once per organ and volume.
            work = partial(lambda s, k: synthesize(prepare(scan), s, generator, k), spec, seed)
            times.setdefault(diameter, []).append(_timed(work)[1])
    encoded = [_timed(lambda k=k: codec.encode_frame(hu[k])) for k in range(FRAMES)]
    decoding = [_timed(lambda d=d: codec.decode_frame(d)) for (d, _) in encoded]
    exact = all(np.array_equal(frame, hu[k]) for k, (frame, _) in enumerate(decoding))
    encode = median(seconds for _, seconds in encoded)
    measures = [
        Measure(
            f"Procedural lesion of {diameter:g} mm, placed, made and transplanted",
            round(median(seconds), 3),
            "s",
            "< 1" if diameter == 20.0 else "",
            median(seconds) < 1.0 if diameter == 20.0 else None,
        )
        for diameter, seconds in times.items()
    ]
    measures += [
        Measure("JPEG-LS encoding of a frame", round(1000 * encode, 1), "ms"),
        Measure("JPEG-LS encoding of the whole volume", round(encode * SHAPE[0], 2), "s"),
        Measure("Size of a frame", round(median(len(d) for (d, _) in encoded) / 1000, 1), "KB"),
        Measure("Decoded frames equal the source HU", float(exact), "", "1", exact),
    ]
    notes = [
        f"Volume of {SHAPE[2]} x {SHAPE[1]} x {SHAPE[0]} voxels of "
        f"{SPACING[0]} x {SPACING[1]} x {SPACING[2]} mm, a phantom made in {making:.1f} s.",
        f"Median of {LESIONS} lesions each, with mass effect and all checks; placement is "
        "prepared anew for every lesion, which a run does once per organ.",
    ]
    return Section(title, measures, notes)


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start
