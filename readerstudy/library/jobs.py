"""What the library runs in a worker: looking at an upload, and importing it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from readerstudy.errors import UserError
from readerstudy.jobs.registry import JobContext, job

from . import importing, organs, paths, uploads
from .importing import ImportResult, MaskUse, Outcome
from .models import Mask, Upload, Volume

if TYPE_CHECKING:
    from readerstudy.library.imaging.scan import Findings

GONE = "This upload was discarded; start a new one."
# The sentence itself names files, which may hold a name: it stays with the upload and goes with it.
SEE_UPLOAD = "Nothing was stored; the page of the upload says why."


@job("library.check", title="Looking at the files")
def check_upload(ctx: JobContext, upload_id: str) -> dict[str, Any] | None:
    """Find volumes and masks; the person then says what each mask shows."""
    upload = _upload(upload_id, Upload.State.CHECKING)
    try:
        findings = _look(ctx, upload)
        if upload.volume is None and not findings.volumes:
            raise UserError(importing.nothing_found(findings))
        if upload.volume is not None and not findings.masks:
            raise UserError("No mask was found: NIfTI, DICOM SEG or RTSTRUCT is needed.")
    except UserError as error:
        uploads.fail(upload, importing.plain(str(error)))
        raise UserError(SEE_UPLOAD) from error
    uploads.store_findings(upload, describe(findings))
    return {"volumes": len(findings.volumes), "masks": len(findings.masks)}


@job("library.import", title="Importing")
def import_upload(ctx: JobContext, upload_id: str) -> dict[str, Any] | None:
    """Store volumes and masks as reviewed; a killed attempt goes on after the last volume."""
    upload = _upload(upload_id, Upload.State.IMPORTING)
    options = upload.options
    try:
        findings = _look(ctx, upload, quiet=True)
        masks = {mask.name: mask for mask in findings.masks}
        result = importing.run(
            findings,
            [
                MaskUse(masks[use["mask"]], use["kind"], use["label"], use["parts"])
                for use in options["uses"]
                if use["mask"] in masks
            ],
            source=options["source"],
            patient=options["patient"],
            synthetic=options.get("synthetic", False),
            target=upload.volume,
            actor=ctx.actor,
            progress=Throttled(ctx),
            done=[Outcome(**item) for item in ctx.checkpoint.get("outcomes", [])],
            after_each=lambda outcomes: ctx.save_checkpoint(
                {"outcomes": ImportResult(list(outcomes), []).as_json()["outcomes"]}
            ),
        )
        if all(outcome.state == "refused" for outcome in result.outcomes):
            raise UserError(result.refused[0])
    except UserError as error:
        uploads.back_to_review(upload, importing.plain(str(error)))
        ctx.save_checkpoint({})
        raise UserError(SEE_UPLOAD) from error
    used = {use["mask"] for use in options["uses"]}
    unused = [mask.name for mask in findings.masks if mask.name not in used]
    uploads.complete(upload, {**result.as_json(), "unused": unused})
    ctx.save_checkpoint({})  # it holds file names, which may hold a patient's name
    return {"volumes": sum(outcome.state == "stored" for outcome in result.outcomes)}


@job(organs.JOB, title="Making an organ mask")
def make_organ(ctx: JobContext, volume_id: str, organ: str) -> dict[str, Any] | None:
    """A mask that a killed attempt stored is not made again."""
    volume = Volume.objects.filter(pk=volume_id).first()
    if volume is None:
        raise UserError("This volume was deleted.")
    done = volume.masks.filter(kind=Mask.Kind.ORGAN, label=organ).first()
    if done is None:
        ctx.progress(0, 1, f"{organ} in {volume.name}")
        done = organs.add_organ(volume, organ, actor=ctx.actor)
    ctx.progress(1, 1)
    return {"organ": organ, "volume_ml": round(done.volume_ml, 1)}


def describe(findings: Findings) -> dict[str, Any]:
    """Findings as JSON for the review page, with a first guess of what each mask shows."""
    return {
        "volumes": [
            {
                "name": volume.name,
                "format": volume.format,
                "size": volume.geometry.describe().split(", first")[0],
                "files": volume.files,
                "warnings": volume.warnings,
            }
            for volume in findings.volumes
        ],
        "masks": [
            {
                "name": mask.name,
                "format": mask.format,
                "parts": [
                    {"key": part.key, "name": part.name}
                    | dict(
                        zip(
                            ("kind", "organ"),
                            importing.guess(mask.name, part, len(mask.segments) == 1),
                            strict=True,
                        )
                    )
                    for part in mask.segments
                ],
            }
            for mask in findings.masks
        ],
        "left": importing.left_aside(findings),
    }


def _upload(upload_id: str, state: str) -> Upload:
    upload = Upload.objects.select_related("volume").filter(pk=upload_id).first()
    if upload is None:
        raise UserError(GONE)
    if upload.state != state:
        raise UserError("This upload has moved on; reload its page.")
    return upload


def _look(ctx: JobContext, upload: Upload, *, quiet: bool = False) -> Findings:
    from readerstudy.library.collect import collect
    from readerstudy.library.imaging.scan import Source, scan

    scratch = paths.unpack_folder(upload.pk)
    uploads.remove_unpacked(upload.pk)
    given = [Source(_arrived(upload, file.pk), file.name) for file in upload.files.all()]
    tell = Throttled(ctx)
    unpacking = None if quiet else lambda done, total: tell(done, total, "Unpacking")
    scanning = None if quiet else lambda done, total: tell(done, total, "Looking at files")
    return scan(collect(given, scratch, unpacking), scanning)


def _arrived(upload: Upload, file_id: int) -> Path:
    path = paths.upload_file(upload.pk, file_id)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()  # an empty file sends no chunk
    return path


class Throttled:
    """Progress at most twice a second: each report is a write to the database."""

    def __init__(self, ctx: JobContext) -> None:
        self._ctx, self._last = ctx, 0.0

    def __call__(self, done: int, total: int, words: str) -> None:
        now = time.monotonic()
        if done == total or now - self._last > 0.5:
            self._last = now
            self._ctx.progress(done, total, words)
