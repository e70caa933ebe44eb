"""Looking for tumors in volumes of the library: as a person asks for it, and in the worker."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.db import transaction

from readerstudy.audit.services import record
from readerstudy.cases.errors import CasesError
from readerstudy.cases.models import Recognition, RecognitionRun
from readerstudy.cases.paths import recognition_folder
from readerstudy.cases.recognition.weights import Weights, chosen
from readerstudy.errors import Conflict, UserError
from readerstudy.jobs.registry import JobContext
from readerstudy.jobs.services import enqueue
from readerstudy.library import selectors as library
from readerstudy.library.models import Mask, Volume
from readerstudy.storage import atomic_dir

if TYPE_CHECKING:
    from collections.abc import Callable

    from readerstudy.cases.recognition.finding import Settings
    from recognition.engine.checkpoints import Loaded

RECOGNIZE = "cases.recognize"
#: The files of a result are called so in its folder; a download carries the volume's name.
STEM = "found"
OUTLINES = "outlines.json"
#: More findings than this are in the table only: a network that marks everything must not fill
#: the page.
MOST_OUTLINES = 300
MOST_VOLUMES = 1000
_PROGRESS_S = 0.5


def start_recognition(
    *,
    volumes: Sequence[Volume],
    checkpoint: str,
    organ: str = "",
    threshold: float = 0.5,
    smallest_mm: float = 3.0,
    inside: bool = True,
    actor: Any = None,
) -> RecognitionRun:
    """Store a run and enqueue its job.

    Args:
        volumes: where to look.
        checkpoint: a name of the registry.
        organ: only its tumors; empty for all that the network knows.
        threshold: probability from which a voxel is tumor.
        smallest_mm: smaller findings are dropped.
        inside: where a volume has a mask of the organ, findings must lie in it.

    Raises:
        CasesError: nothing chosen, a number out of range, or a network that is not there or knows
            no tumor of the organ.
    """
    if not volumes:
        raise CasesError("No volume is chosen; tick at least one.")
    if len(volumes) > MOST_VOLUMES:
        raise CasesError(f"Choose at most {MOST_VOLUMES} volumes at a time.")
    if not 0 < threshold < 1:
        raise CasesError("The probability lies between 0 and 1.")
    if not 0 <= smallest_mm <= 100:
        raise CasesError("The smallest diameter lies between 0 and 100 mm.")
    weights = chosen(checkpoint)
    if organ and organ not in weights.organs:
        raise CasesError(
            f"The network {weights.name} knows no tumor of the {organ}, only of "
            f"{', '.join(weights.organs)}; choose one of these, or another network."
        )
    parameters = {"threshold": threshold, "smallest_mm": smallest_mm, "inside": inside}
    with transaction.atomic():
        run = RecognitionRun.objects.create(
            checkpoint=weights.name,
            sha256=weights.sha256,
            organ=organ,
            parameters=parameters,
            created_by=actor if getattr(actor, "pk", None) else None,
        )
        Recognition.objects.bulk_create([Recognition(run=run, volume=one) for one in volumes])
        run.job = enqueue(RECOGNIZE, {"run_id": str(run.pk)}, actor=actor, subject=str(run.pk))
        run.save(update_fields=["job"])
        data = {**parameters, "checkpoint": weights.name, "sha256": weights.sha256}
        data |= {"organ": organ, "volumes": len(volumes)}
        record(actor, "cases.recognition_started", run, data=data)
    return run


def delete_recognition(run: RecognitionRun, *, actor: Any) -> None:
    """Delete a run with its results and files. Raises Conflict while it is at work."""
    with transaction.atomic():
        if run.job is not None and run.job.is_active:
            raise Conflict("This run is still at work; cancel it first.")
        folders = [recognition_folder(pk) for pk in run.results.values_list("pk", flat=True)]
        record(actor, "cases.recognition_deleted", run, data={"checkpoint": run.checkpoint})
        run.delete()
        transaction.on_commit(lambda: _remove(folders))


def _remove(folders: Sequence[Any]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


# -- in the worker -------------------------------------------------------------------------------


def run_recognition(ctx: JobContext, run: RecognitionRun) -> dict[str, Any]:
    """Look at the volumes that were not looked at yet, one by one.

    A volume that cannot be looked at has its reason and stops nothing. Progress counts slices, so
    that the time left means something for a single volume too.

    Raises:
        CasesError: the network cannot be used, or is not the one the run was started with.
    """
    from readerstudy.cases.recognition.weights import load

    results = list(run.results.select_related("volume").order_by("volume__name", "pk"))
    total = sum(result.volume.slices for result in results)
    waiting = [r for r in results if r.state == Recognition.State.WAITING]
    before = total - sum(result.volume.slices for result in waiting)
    ctx.progress(before, total, "Getting ready")
    loaded = load(_weights(run))
    for result in waiting:
        _look(ctx, run, loaded, result, before, total)
        before += result.volume.slices
    ctx.progress(total, total)
    done = run.results.filter(state=Recognition.State.DONE)
    data = {
        "volumes": len(results),
        "failed": len(results) - done.count(),
        "findings": sum(len(lesions) for lesions in done.values_list("lesions", flat=True)),
    }
    with transaction.atomic():
        record(ctx.actor, "cases.recognition_finished", run, data=data)
    return data


def _weights(run: RecognitionRun) -> Weights:
    weights = chosen(run.checkpoint)
    if weights.sha256 != run.sha256:
        raise CasesError(
            f"The checkpoint {run.checkpoint} is not the one this run was started with (its "
            "SHA-256 differs); start a new run."
        )
    return weights


def _look(
    ctx: JobContext,
    run: RecognitionRun,
    loaded: Loaded,
    result: Recognition,
    before: int,
    total: int,
) -> None:
    volume = result.volume
    tell = _teller(ctx, volume, before, total)
    tell(0, 1)
    begun = time.monotonic()
    try:
        lesions = _find(run, loaded, result, tell)
    except UserError as error:
        result.state, result.reason = Recognition.State.FAILED, str(error)[:300]
    except MemoryError:
        result.state = Recognition.State.FAILED
        result.reason = "There was not enough memory for this volume."
    else:
        result.state, result.lesions = Recognition.State.DONE, lesions
    result.seconds = round(time.monotonic() - begun, 2)
    with transaction.atomic():
        ctx.save_checkpoint({"volume": str(volume.pk)})  # raises when another attempt took over
        result.save(update_fields=["state", "reason", "lesions", "seconds"])


def _teller(ctx: JobContext, volume: Volume, before: int, total: int) -> Callable[[int, int], None]:
    """Windows of the network as slices of the job; seldom enough to be no burden."""
    last = 0.0

    def tell(done: int, windows: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _PROGRESS_S:
            last = now
            ctx.progress(before + volume.slices * done // windows, total, f"{volume.name}, slices")

    return tell


def _find(
    run: RecognitionRun,
    loaded: Loaded,
    result: Recognition,
    tell: Callable[[int, int], None],
) -> list[dict[str, Any]]:
    """Find, and write the folder of the result, whole or not at all."""
    from readerstudy.cases.delivery.hosts import Host
    from readerstudy.cases.recognition.files import write_files
    from readerstudy.cases.recognition.finding import find
    from readerstudy.library.imaging.geometry import VolumeData

    volume = result.volume
    geometry = library.geometry(volume)
    settings, inside = _settings(run, loaded, volume)
    data = VolumeData(library.load_ct(volume), geometry)
    found = find(loaded, data, settings, tell, inside)
    host = Host(data, volume.origin_format, synthetic=volume.synthetic)
    folder = recognition_folder(result.pk)
    shutil.rmtree(folder, ignore_errors=True)  # of an attempt that was killed before its row
    with atomic_dir(folder) as beside:
        rows = write_files(beside, STEM, host, loaded, settings, found)
        outlines = json.dumps(_outlines(found.labels, geometry, len(rows)))
        (beside / OUTLINES).write_text(outlines, encoding="utf-8")
    return rows


def _settings(
    run: RecognitionRun, loaded: Loaded, volume: Volume
) -> tuple[Settings, dict[str, Any]]:
    """The settings for one volume, and the masks that findings must lie in."""
    import numpy as np

    from readerstudy.cases.recognition.finding import Settings

    known = {run.organ} if run.organ else set(loaded.config.tumors.values())
    masks: dict[str, Any] = {}
    used = hashlib.sha256()
    rows = volume.masks.filter(kind=Mask.Kind.ORGAN, label__in=known).order_by("label", "sha256")
    for mask in rows if run.parameters["inside"] else []:
        used.update(mask.sha256.encode())
        array = library.load_mask(mask)
        masks[mask.label] = np.logical_or(masks.get(mask.label, False), array)
    multiple = loaded.config.multiple
    settings = Settings(
        threshold=run.parameters["threshold"],
        smallest_mm=run.parameters["smallest_mm"],
        window=max(multiple, 96 // multiple * multiple),
        organ=run.organ,
        inside=used.hexdigest() if masks else "",
    )
    return settings, masks


def _outlines(labels: Any, geometry: Any, count: int) -> list[dict[str, Any]]:
    """Box and packed voxels of each finding on LPS axes, as `outline.lesion_outline` has them."""
    from scipy import ndimage

    from readerstudy.cases.outline import packed
    from readerstudy.library.imaging.geometry import to_lps_axes

    turned, _ = to_lps_axes(labels, geometry)
    boxes = ndimage.find_objects(turned, min(count, MOST_OUTLINES))
    found = []
    for number, box in enumerate(boxes, start=1):
        corner = [part.start for part in box[::-1]]
        found.append(packed(turned[box] == number, corner))
    return found
