"""JSON for the reading page: where the reader stands, drafts, and answers.

Sign-in and the CSRF check of writes belong to the API as a whole (readerstudy.api).
"""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse
from ninja import Field, Router, Schema, Status
from pydantic import BeforeValidator

from . import services
from .access import Withdrawn, reader_membership
from .errors import AlreadyAnswered, NotAllowed
from .telemetry import Telemetry, clean_text
from .worklist import worklist

router = Router(tags=["reading"])


class Detail(Schema):
    detail: str


class StoredRating(Schema):
    rating: int


class ConflictDetail(Schema):
    detail: str
    stored: StoredRating | None = None


class Frames(Schema):
    count: int
    url: str = Field(description="Frame k is at this address followed by k.")


class Image(Schema):
    rows: int
    columns: int
    pixelSpacing: tuple[float, float] = Field(description="row and column spacing, mm")
    sliceSpacing: float = Field(description="mm")
    bitsAllocated: int
    pixelRepresentation: int
    padding: int = Field(description="HU outside the scan")


class Marker(Schema):
    box: list[tuple[int, int]] = Field(description="x, y, z ranges in voxels, half open")


class Window(Schema):
    name: str
    center: float
    width: float


class CaseOut(Schema):
    token: str
    phase: Literal["practice", "main"]
    position: int
    total: int
    organ: str
    frames: Frames
    image: Image
    marker: Marker | None
    startSlice: int
    windows: list[Window]
    draft: dict[str, Any] | None


class Worklist(Schema):
    state: Literal["reading", "practice_done", "break", "done", "paused", "consent"]
    answered: int
    total: int
    phase: Literal["practice", "main"]
    current: CaseOut | None
    ahead: CaseOut | None
    redirect: str | None


class DraftIn(Schema):
    token: str
    draft: Any = Field(description="An object; kept as it is, up to a size.")


def _texts(value: Any) -> list[str]:
    """Cues are optional extras: an odd one is dropped, it never costs the answer."""
    items = value if isinstance(value, list) else []
    return [text for item in items[:32] if (text := clean_text(item, 60))]


class JudgmentIn(Schema):
    client_uuid: uuid.UUID = Field(description="Made once per answer by the browser.")
    token: str
    rating: int = Field(ge=1, le=6, strict=True)
    comment: Annotated[str, BeforeValidator(lambda value: clean_text(value, 4000))] = ""
    cues: Annotated[list[str], BeforeValidator(_texts)] = []
    client: Annotated[Any, Field(description="How the answer was reached; anything goes.")] = None


class Stored(Schema):
    status: Literal["stored"]
    worklist: Worklist


REFUSALS = {401: Detail, 403: Detail, 404: Detail, 503: Detail}


def _membership(request: HttpRequest, slug: str) -> Any:
    try:
        return reader_membership(request.user, slug)
    except Withdrawn:
        raise NotAllowed("You no longer take part in this trial.") from None


@router.get(
    "/{slug}/worklist",
    response={200: Worklist, **REFUSALS},
    url_name="worklist",
    summary="Where the reader stands",
)
def get_worklist(request: HttpRequest, slug: str, response: HttpResponse) -> Any:
    """The current case, the one to prefetch, and nothing beyond."""
    response["Cache-Control"] = "no-store"
    return worklist(services.hand_out(_membership(request, slug)))


@router.put(
    "/{slug}/draft",
    response={204: None, 400: Detail, 422: Detail, **REFUSALS},
    url_name="draft",
    summary="Keep an unsent answer",
)
def put_draft(request: HttpRequest, slug: str, payload: DraftIn) -> Any:
    services.save_draft(_membership(request, slug), payload.token, payload.draft)
    return Status(204, None)


@router.post(
    "/{slug}/judgments",
    response={200: Stored, 400: Detail, 409: ConflictDetail, 422: Detail, 425: Detail, **REFUSALS},
    url_name="judgments",
    summary="Store an answer, once",
)
def post_judgment(
    request: HttpRequest, slug: str, payload: JudgmentIn, response: HttpResponse
) -> Any:
    """Send the same `client_uuid` again after any doubt: the answer is stored once.

    409: the case has another answer (`stored`), which stands. 425: an earlier case has no answer
    yet, send that one first. 503: the server is busy, send the same again.
    """
    response["Cache-Control"] = "no-store"
    membership = _membership(request, slug)
    answer = services.Answer(
        client_uuid=payload.client_uuid,
        token=payload.token,
        rating=payload.rating,
        comment=payload.comment,
        cues=payload.cues,
        telemetry=Telemetry.of(payload.client),
    )
    try:
        _, place = services.store_judgment(membership, answer)
    except AlreadyAnswered as error:
        stored = {"rating": error.rating} if error.rating else None
        return Status(409, {"detail": str(error), "stored": stored})
    return {"status": "stored", "worklist": worklist(place)}
