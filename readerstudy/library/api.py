"""JSON of the upload page: announce files, send chunks, ask what has arrived, finish.

Sign-in and the CSRF check of writes belong to the API as a whole (readerstudy.api).
"""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from ninja import Field, Query, Router, Schema, Status

from readerstudy.accounts.access import require_coordinator

from . import selectors, uploads
from .access import upload_or_404, volume_or_404
from .models import Upload

router = Router(tags=["library"])


class Detail(Schema):
    detail: str


class FileIn(Schema):
    name: Annotated[str, Field(max_length=1000, description="relative path, forward slashes")]
    size: Annotated[int, Field(ge=0, le=2**53)]


class UploadIn(Schema):
    files: list[FileIn]
    volume: uuid.UUID | None = Field(None, description="add masks to this volume")


class FileOut(Schema):
    id: int
    name: str
    size: int
    received: int


class UploadOut(Schema):
    id: uuid.UUID
    state: str
    url: str
    chunk_bytes: int
    files: list[FileOut]


class Received(Schema):
    received: int


class Moved(Schema):
    detail: str
    received: int | None = None


class Where(Schema):
    url: str


ERRORS = {400: Detail, 401: Detail, 403: Detail, 404: Detail, 409: Detail, 422: Detail}


def _out(upload: Upload) -> dict[str, Any]:
    return {
        "id": upload.pk,
        "state": upload.state,
        "url": reverse("library:upload", args=[upload.pk]),
        "chunk_bytes": settings.UPLOAD_CHUNK_BYTES,
        "files": selectors.received(upload),
    }


@router.post("/uploads", response={200: UploadOut, **ERRORS}, summary="Announce files")
def begin(request: HttpRequest, payload: UploadIn) -> Any:
    """The same files again give the same upload, with what has arrived of each."""
    require_coordinator(request.user)
    volume = volume_or_404(request.user, payload.volume) if payload.volume else None
    files = [(item.name, item.size) for item in payload.files]
    return _out(uploads.begin(request.user, files, volume))


@router.get("/uploads/{uuid:upload_id}", response={200: UploadOut, **ERRORS})
def arrived(request: HttpRequest, upload_id: uuid.UUID) -> Any:
    """What has arrived of each file."""
    return _out(upload_or_404(request.user, upload_id))


@router.put(
    "/uploads/{uuid:upload_id}/files/{int:file_id}",
    response={200: Received, **ERRORS, 409: Moved},
    summary="Send one chunk (raw bytes)",
)
def chunk(
    request: HttpRequest,
    upload_id: uuid.UUID,
    file_id: int,
    offset: Annotated[int, Query(ge=0, le=2**53)],
) -> Any:
    """The chunk must start where the file ends; 409 tells where that is."""
    upload = upload_or_404(request.user, upload_id)
    file = upload.files.filter(pk=file_id).first() if file_id < 2**63 else None
    if file is None:
        raise Http404
    file.upload = upload
    try:
        return {"received": uploads.receive(file, offset, request)}
    except uploads.UploadMoved as error:
        file.refresh_from_db()
        return Status(409, {"detail": str(error), "received": file.received})


@router.post("/uploads/{uuid:upload_id}/finish", response={200: Where, **ERRORS})
def finish(request: HttpRequest, upload_id: uuid.UUID) -> Any:
    """All files are here: have them looked at."""
    upload = upload_or_404(request.user, upload_id)
    uploads.finish(upload, request.user)
    return {"url": reverse("library:upload", args=[upload.pk])}


@router.delete("/uploads/{uuid:upload_id}", response={204: None, **ERRORS})
def discard(request: HttpRequest, upload_id: uuid.UUID) -> Any:
    """Stop, and delete what has arrived."""
    uploads.discard(upload_or_404(request.user, upload_id), request.user)
    return HttpResponse(status=204)
