"""One step on two volumes, in a process of its own: what the first costs, and what each further.

``python -m readerstudy.cases.scale.parts PART FOLDER`` reads what earlier parts left in FOLDER and
writes one line of JSON; READERSTUDY_DATA_DIR must be a scratch folder. ``manage.py benchmark
scale`` runs them all. The first volume pays for loading libraries and networks, as it does in a
worker; the second is what each of thousands costs.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAMES = ("one", "two")
CT, MASK, SERIES = "ct.nii.gz", "mask.nii.gz", "series"
VOLUMES = 161_310
SEED, DIAMETER_MM = 3, (10.0, 30.0)


def _twice(work: Callable[[str], object], out: Path) -> dict[str, Any]:
    """Seconds of each volume, memory of the process, and what it left on the disk, by volume."""
    from synthesis.benchmark import peak_mb, timed

    rows = [timed(lambda name=name: work(name))[1] for name in NAMES]  # type: ignore[misc]
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    return {
        "first_wall_s": rows[0].wall,
        "wall_s": rows[1].wall,
        "cpu_s": rows[1].cpu,
        "peak_mb": peak_mb(),
        "disk_mb": size / len(NAMES) / 1e6,
    }


def volumes(folder: Path) -> dict[str, Any]:
    """Two CTs with a liver mask, as NIfTI and as a DICOM series; the second one HU brighter."""
    import numpy as np

    from readerstudy.cases.synthesis_benchmark import phantom_files, write_plain_series
    from readerstudy.library.imaging.geometry import Geometry
    from readerstudy.library.imaging.writing.nifti import pack, write_nifti
    from synthesis.benchmark import HU_FILE, SHAPE, SPACING

    one, two = (folder / name for name in NAMES)
    one.mkdir()
    two.mkdir()
    for path in phantom_files(folder):
        shutil.move(path, one / path.name)
    hu = np.load(folder / HU_FILE) + np.int16(1)
    grid = Geometry(SHAPE, SPACING, (-192.0, -192.0, 0.0), ((1, 0, 0), (0, 1, 0), (0, 0, 1)))
    write_nifti(two / CT, pack(hu), grid, "phantom")
    shutil.copy(one / MASK, two / MASK)
    write_plain_series(two / SERIES, hu)
    series = sum(path.stat().st_size for path in (one / SERIES).iterdir())
    return {
        "shape": list(SHAPE),
        "nifti_mb": (one / CT).stat().st_size / 1e6,
        "series_mb": series / 1e6,
    }


def bring_in(folder: Path) -> dict[str, Any]:
    """A DICOM series into the library, de-identified."""
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    return _twice(
        lambda name: call_command(
            "import_ct", str(folder / name / SERIES), "--patient", name, stdout=io.StringIO()
        ),
        Path(os.environ["READERSTUDY_DATA_DIR"]) / "volumes",
    )


def prepare(folder: Path) -> dict[str, Any]:
    """Onto the 1.5 mm grid of a training, and into its cache."""
    from recognition.engine.training.lists import read_list
    from recognition.engine.training.volumes import Volumes

    cache = folder / "cache"
    for name in NAMES:
        document = {"labels": {"1": "liver"}, "training": [{"image": CT, "label": MASK}]}
        (folder / name / "list.json").write_text(json.dumps(document))

    def one(name: str) -> None:
        classes = ("background", "liver", "liver tumor")
        entries = read_list(str(folder / name / "list.json"), classes, tumors=False)
        Volumes(entries, (1.5, 1.5, 1.5), cache).prepare(0, 1, lambda line: None)

    return _twice(one, cache)


def textural(folder: Path) -> dict[str, Any]:
    """One lesion by the procedural generator; CT, mask, SEG, picture and manifest."""
    return _synthesis(folder, "made", "textural", None)


def learned(folder: Path) -> dict[str, Any]:
    """The same by the learned generator that ships, with its segmentor as gate."""
    from synthesis.engine.shipped import SEGMENTOR

    return _synthesis(folder, "learned", "freetumor", SEGMENTOR)


def _synthesis(folder: Path, where: str, generator: str, segmentor: str | None) -> dict[str, Any]:
    from readerstudy.cases.delivery.many import Recipe, make
    from readerstudy.cases.delivery.orders import Order
    from readerstudy.cases.delivery.variants import Wish
    from readerstudy.cases.priors import table_prior

    wish = Wish("liver", generator, DIAMETER_MM, 1, 1, SEED, 0.5)
    priors = json.dumps(table_prior("liver").as_json())
    recipe = Recipe(wish, None, "default", segmentor, "auto", priors, keep_source_uids=False)
    recipe = recipe.checked()
    out = folder / where

    def one(name: str) -> None:
        files = folder / name
        make(Order(name, files / CT, str(files / MASK), None, out / name), recipe)

    return _twice(one, out)


def recognize(folder: Path) -> dict[str, Any]:
    """Tumors by the network that ships: probability, mask, SEG, table, picture."""
    from readerstudy.cases.recognition.finding import Settings, Wanted, look
    from readerstudy.cases.recognition.weights import DEFAULT, chosen, load

    weights, out, seen = chosen(DEFAULT), folder / "found", []
    found = _twice(
        lambda name: look(
            Wanted(name, folder / name / CT, out / name),
            weights,
            Settings(),
            lambda done, total: seen.append(total),
        ),
        out,
    )
    loaded = load(weights)
    return found | {
        "windows": seen[-1],
        "network": f"{loaded.config.name}-{loaded.config.width}",
        "gflop": _gflop(loaded.config),
    }


def evaluate(folder: Path) -> dict[str, Any]:
    """What was found against the lesion that was made."""
    from readerstudy.cases.evaluation.pairs import Pair
    from readerstudy.cases.evaluation.scans import Rules
    from readerstudy.cases.evaluation.scans import evaluate as measure

    out = folder / "measured"

    def one(name: str) -> None:
        found = folder / "found" / name
        pair = Pair(
            "all", name, name, found / f"{name}_mask.nii.gz", found / f"{name}_prob.nii.gz",
            folder / "made" / name / "01_mask.nii.gz", out / f"{name}.json",
        )  # fmt: skip
        measure(pair, Rules())

    return _twice(one, out)


def queue(folder: Path) -> dict[str, Any]:
    """A batch of all the volumes in a database of its own: handed in, taken from, looked at."""
    from django.core.management import call_command
    from django.db import connection

    from readerstudy.jobs.batches import Item, submit
    from readerstudy.jobs.selectors import progress_of_batch
    from readerstudy.jobs.services import due

    call_command("migrate", verbosity=0)
    database = Path(connection.settings_dict["NAME"])
    empty = database.stat().st_size
    begun = time.monotonic()
    batch = submit(
        "cases.synthesize_file",
        (
            Item(f"case_{n:06d}", {"ct": f"/data/images/case_{n:06d}.nii.gz",
                                   "organ_mask": f"/data/labels/case_{n:06d}.nii.gz"})
            for n in range(VOLUMES)
        ),
        title="Benchmark", params={}, place=str(folder),
    )  # fmt: skip
    handed_in = time.monotonic()
    for _ in range(20):
        due(["cpu"], 1)
    taken = time.monotonic()
    progress_of_batch(batch)
    looked = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return {
        "rows": VOLUMES,
        "submit_s": handed_in - begun,
        "take_ms": (taken - handed_in) / 20 * 1000,
        "status_ms": (looked - taken) * 1000,
        "database_mb": (database.stat().st_size - empty) / 1e6,
    }


def flops(folder: Path) -> dict[str, Any]:
    """Floating-point operations of one 96³ window of networks that may be chosen (10**9)."""
    from recognition.engine.networks import NetworkConfig

    classes = ("background", "liver", "liver tumor")
    return {
        f"{name}-{width}": _gflop(NetworkConfig(name=name, width=width, classes=classes))
        for name, width in (("unet", 16), ("segresnet", 16), ("swinunetr", 48))
    }


def _gflop(config: Any) -> float:
    """Counted by PyTorch on tensors without data: a multiplication and an addition are two."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from recognition.engine.networks import build

    network = build(config).eval().to("meta")
    window = torch.empty(1, len(config.windows_hu), 96, 96, 96, device="meta")
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(window)
    return counter.get_total_flops() / 1e9


PARTS = {
    part.__name__: part
    for part in (
        volumes, bring_in, prepare, textural, learned, recognize, evaluate, queue, flops,
    )
}  # fmt: skip


def main(part: str, folder: str) -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "readerstudy.settings")
    django.setup()
    sys.stdout.write(json.dumps(PARTS[part](Path(folder))) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:3])
