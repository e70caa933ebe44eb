"""All writes of uploads: receive in chunks, check, review, import, leave no patient data behind."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Sum
from django.utils import timezone

from readerstudy.audit.services import record
from readerstudy.errors import Conflict
from readerstudy.jobs import services as jobs
from readerstudy.jobs.models import Job
from readerstudy.library.imaging.archive import check as check_zip
from readerstudy.library.imaging.archive import clean_name
from readerstudy.library.imaging.errors import ImagingError

from . import paths, selectors, services
from .errors import LibraryError, UploadMoved
from .models import Upload, UploadFile, Volume

State = Upload.State
MAX_FILES = 20_000
# What is left alone for this long is deleted: it holds patient data.
KEEP = timedelta(hours=24)
READ_BYTES = 1 << 18


def begin(owner: Any, files: Sequence[tuple[str, int]], volume: Volume | None = None) -> Upload:
    """Announce files as (relative name, size); the same files again go on where they stopped.

    Raises LibraryError for names, numbers or sizes that cannot be.
    """
    clean = _clean_manifest(files)
    if (known := _same_files(owner, clean, volume)) is not None:
        return known
    total = sum(clean.values())
    if total > settings.UPLOAD_MAX_BYTES:
        raise LibraryError(
            f"These files have {total / 1e9:.1f} GB; one upload may have "
            f"{settings.UPLOAD_MAX_BYTES / 1e9:.1f} GB. Send them in parts, or use import_ct."
        )
    free = shutil.disk_usage(settings.DATA_DIR).free
    if free < 3 * total:  # the files, a zip unpacked, and the volumes made from them
        raise LibraryError(
            f"The server has {free / 1e9:.1f} GB free, too little for an upload of "
            f"{total / 1e9:.1f} GB; ask the person who runs it."
        )
    sweep()
    with transaction.atomic():
        upload = Upload.objects.create(owner=owner, volume=volume)
        UploadFile.objects.bulk_create(
            [UploadFile(upload=upload, name=name, size=size) for name, size in clean.items()]
        )
        data = {"files": len(clean), "bytes": total}
        record(owner, "library.upload_begun", upload, data=data)
    paths.upload_folder(upload.pk).mkdir(parents=True, exist_ok=True)
    return upload


def receive(file: UploadFile, offset: int, stream: BinaryIO) -> int:
    """Append one chunk; returns the bytes of the file that have arrived.

    A chunk cut off by the network counts as far as it came. Raises UploadMoved when it does not
    start where the file ends, LibraryError when it is longer than was announced.
    """
    if file.upload.state != State.RECEIVING:
        raise Conflict("This upload receives no more files; start a new one.")
    if offset != file.received:
        raise UploadMoved(f"{file.received} bytes of this file have arrived; go on from there.")
    path = paths.upload_file(file.upload_id, file.pk)
    path.parent.mkdir(parents=True, exist_ok=True)
    end, limit = offset, min(file.size, offset + settings.UPLOAD_CHUNK_BYTES)
    with path.open("r+b" if path.exists() else "xb") as out:
        out.seek(offset)
        out.truncate()  # what a killed server wrote without counting
        while data := stream.read(READ_BYTES):
            end += len(data)
            if end > limit:
                out.truncate(offset)
                raise LibraryError(
                    "The chunk is longer than was announced; reload the page and try again."
                )
            out.write(data)
    moved = UploadFile.objects.filter(pk=file.pk, received=offset).update(received=end)
    if not moved:
        raise UploadMoved("Another window sends this file too; close one of them.")
    if timezone.now() - file.upload.active_at > timedelta(minutes=1):
        Upload.objects.filter(pk=file.upload_id).update(active_at=timezone.now())
    return end


def finish(upload: Upload, actor: Any) -> Job:
    """All files are here: look at zips at once, at everything in a job.

    Raises LibraryError when files are missing, or a zip is unsafe (the upload is then gone).
    """
    if upload.state != State.RECEIVING:
        raise Conflict("This upload is complete already; reload the page.")
    if not selectors.is_complete(upload):
        raise LibraryError("Some files have not arrived completely; continue the upload first.")
    for file in upload.files.filter(name__iendswith=".zip"):
        try:
            check_zip(paths.upload_file(upload.pk, file.pk))
        except (ImagingError, FileNotFoundError) as error:
            discard(upload, actor)
            reason = str(error) if isinstance(error, ImagingError) else "it is empty"
            raise LibraryError(f"{file.name}: {reason}.") from None
    return _start_job(upload, State.RECEIVING, State.CHECKING, "library.check", actor)


def store_findings(upload: Upload, findings: dict[str, Any]) -> None:
    Upload.objects.filter(pk=upload.pk, state=State.CHECKING).update(
        state=State.REVIEW, findings=findings, active_at=timezone.now()
    )


def start_import(
    upload: Upload,
    *,
    uses: Sequence[dict[str, str]],
    source: str,
    patient: str,
    synthetic: bool = False,
    actor: Any,
) -> Job:
    """Import what was reviewed. ``uses``: mask (name), kind, label, parts.

    Raises LibraryError for a label or code that cannot be; the review stays open.
    """
    options = {
        "uses": [{**use, "label": _use_label(use, uses)} for use in uses],
        "source": source.strip()[:300],
        "patient": services.patient_code(patient) if patient.strip() else "",
        "synthetic": synthetic,
    }
    Upload.objects.filter(pk=upload.pk, state=State.REVIEW).update(options=options, error="")
    return _start_job(upload, State.REVIEW, State.IMPORTING, "library.import", actor)


def back_to_review(upload: Upload, sentence: str) -> None:
    """The import could not be done as asked: the files stay, so that the answers can be mended."""
    Upload.objects.filter(pk=upload.pk, state=State.IMPORTING).update(
        state=State.REVIEW, error=sentence, active_at=timezone.now()
    )


def complete(upload: Upload, result: dict[str, Any]) -> None:
    """The result is shown; files and their names are gone."""
    with transaction.atomic():
        Upload.objects.filter(pk=upload.pk).update(
            state=State.DONE, result=result, findings={}, options={}, active_at=timezone.now()
        )
        upload.files.all().delete()
    remove_files(upload.pk)


def fail(upload: Upload, sentence: str) -> None:
    """Nothing can be made of the files: they are deleted, the sentence stays."""
    with transaction.atomic():
        Upload.objects.filter(pk=upload.pk).update(
            state=State.FAILED, error=sentence, findings={}, active_at=timezone.now()
        )
        upload.files.all().delete()
    remove_files(upload.pk)


def run_again(upload: Upload, actor: Any) -> None:
    """Repeat a job that was cancelled, or that the platform itself failed."""
    if upload.job is None:
        raise Conflict("There is nothing to repeat; start a new upload.")
    jobs.retry(upload.job, actor)


def discard(upload: Upload, actor: Any) -> None:
    """Stop what runs, forget the upload, delete its files."""
    job, upload_id = upload.job, upload.pk
    with transaction.atomic():
        if job is not None and job.is_active:
            jobs.cancel(job, actor)
        record(actor, "library.upload_discarded", upload, data={"state": upload.state})
        upload.delete()
    remove_files(upload_id)


def sweep() -> int:
    """Delete uploads nobody touched for a day, and folders without a row; returns how many."""
    limit = timezone.now() - KEEP
    old = Upload.objects.filter(active_at__lt=limit).exclude(
        job__state__in=[Job.State.QUEUED, Job.State.SENT, Job.State.RUNNING]
    )
    ids = list(old.values_list("pk", flat=True))
    if ids:
        with transaction.atomic():
            Upload.objects.filter(pk__in=ids).delete()
            record(None, "library.uploads_expired", data={"uploads": len(ids)})
    for upload_id in ids:
        remove_files(upload_id)
    return len(ids) + _sweep_folders(limit.timestamp())


def _sweep_folders(before: float) -> int:
    """What a killed process left beside: half-written volumes, scratch and orphaned folders."""
    count = 0
    uploads = paths.upload_folder(uuid.UUID(int=0)).parent
    volumes = paths.volume_folder(uuid.UUID(int=0)).parent
    for folder in [*_children(uploads), *_children(volumes)]:
        if folder.stat().st_mtime >= before or _belongs(folder):
            continue
        shutil.rmtree(folder, ignore_errors=True)
        count += 1
    return count


def _children(folder: Path) -> list[Path]:
    return [child for child in folder.iterdir() if child.is_dir()] if folder.is_dir() else []


def _belongs(folder: Path) -> bool:
    if folder.name.startswith("."):
        return False
    try:
        key = uuid.UUID(folder.name)
    except ValueError:
        return True  # not ours to judge
    model = Upload if folder.parent.name == "uploads" else Volume
    return model._default_manager.filter(pk=key).exists()


def remove_files(upload_id: uuid.UUID) -> None:
    shutil.rmtree(paths.upload_folder(upload_id), ignore_errors=True)


def remove_unpacked(upload_id: uuid.UUID) -> None:
    shutil.rmtree(paths.unpack_folder(upload_id), ignore_errors=True)


def _start_job(upload: Upload, before: str, after: str, kind: str, actor: Any) -> Job:
    with transaction.atomic():
        job = jobs.enqueue(kind, {"upload_id": str(upload.pk)}, actor=actor, subject="upload")
        moved = Upload.objects.filter(pk=upload.pk, state=before).update(
            state=after, job=job, active_at=timezone.now()
        )
        if not moved:
            raise Conflict("This upload has moved on; reload the page.")
    return job


def _clean_manifest(files: Sequence[tuple[str, int]]) -> dict[str, int]:
    if not files:
        raise LibraryError("There is no file to upload; drop a folder, files or a zip archive.")
    if len(files) > MAX_FILES:
        raise LibraryError(
            f"These are {len(files):,} files; one upload may have {MAX_FILES:,}. "
            "Send them in parts, or use import_ct on the server."
        )
    clean: dict[str, int] = {}
    for name, size in files:
        try:
            path = clean_name(name)
        except ImagingError as error:
            raise LibraryError(f"Nothing was uploaded: {error}.") from None
        if size < 0 or path in clean:
            raise LibraryError(f"Nothing was uploaded: {path} is listed twice or has no size.")
        clean[path] = size
    return clean


def _same_files(owner: Any, files: dict[str, int], volume: Volume | None) -> Upload | None:
    waiting = (
        Upload.objects.filter(owner=owner, state=State.RECEIVING, volume=volume)
        .annotate(count=Count("files"), total=Sum("files__size"))
        .filter(count=len(files), total=sum(files.values()))
    )
    for upload in waiting:
        if dict(upload.files.values_list("name", "size")) == files:
            return upload
    return None


def _use_label(use: dict[str, str], uses: Sequence[dict[str, str]]) -> str:
    """The organ; for a tumor without one, the only organ named in this upload."""
    if use["label"].strip():
        return services.organ_label(use["label"])
    if use["kind"] == "organ":
        raise LibraryError(f"Say which organ {use['mask']} shows.")
    named = {services.organ_label(other["label"]) for other in uses if other["label"].strip()}
    return named.pop() if len(named) == 1 else "tumor"
