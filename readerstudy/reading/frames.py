"""Frames: the one place where pixels leave the server.

A frame URL carries a signed token that ends after `FRAME_TOKEN_SECONDS`. It names the assignment
and nothing else; an assignment belongs to one reader, so two readers of one case have nothing in
common to compare. Bytes go out without a database query: the full check (signed in, still a
reader, trial open, consent given, case handed out) is made once per sign-in and case and holds for
`GRANT_SECONDS`, so a pause or a withdrawal takes effect within that time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from importlib import import_module
from types import SimpleNamespace
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.decorators import login_not_required
from django.core.signing import BadSignature, TimestampSigner, b62_encode
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from readerstudy.cases.frames import read_frame

from .selectors import may_fetch_frames

logger = logging.getLogger(__name__)
CONTENT_TYPE = "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.4.80"
CACHE_CONTROL = "private, max-age=7200, immutable"
NOT_FOUND = b'{"detail": "There is no such frame, or its address has expired; reload the page."}'
UNREADABLE = b'{"detail": "The frame cannot be read just now; it is tried again."}'
GRANT_SECONDS = 30
MAX_GRANTS = 4096
# Tokens made in the same quarter of an hour are equal, so that a reload finds the frames in the
# browser's cache. A token lives for FRAME_TOKEN_SECONDS at most, this much less at least.
TOKEN_STEP_SECONDS = 900


class FrameSigner(TimestampSigner):
    def __init__(self) -> None:
        super().__init__(salt="readerstudy.reading.frames")

    def timestamp(self) -> str:
        now = int(time.time())  # noqa: TID251 - the signature holds a wall-clock time
        return b62_encode(now - now % TOKEN_STEP_SECONDS)


def frame_token(assignment_token: str) -> str:
    """A short-lived token that stands for the frames of one assignment."""
    return FrameSigner().sign(assignment_token)


@dataclass(frozen=True, slots=True)
class Grant:
    """One sign-in may fetch the frames of one assignment until `ends` (monotonic seconds)."""

    rendition_id: UUID
    frames: int
    ends: float


class Grants:
    """The newest grants of this process: bounded, least recently used goes first."""

    def __init__(self, size: int = MAX_GRANTS) -> None:
        self._size = size
        self._grants: OrderedDict[tuple[str, str], Grant] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[str, str]) -> Grant | None:
        with self._lock:
            grant = self._grants.get(key)
            if grant is None or grant.ends < time.monotonic():
                self._grants.pop(key, None)
                return None
            self._grants.move_to_end(key)
            return grant

    def put(self, key: tuple[str, str], grant: Grant) -> None:
        with self._lock:
            self._grants[key] = grant
            self._grants.move_to_end(key)
            while len(self._grants) > self._size:
                self._grants.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._grants.clear()

    def __len__(self) -> int:
        return len(self._grants)


grants = Grants()


# Not behind the site's sign-in check, which costs two queries a frame and answers with a redirect:
# `_grant` asks for the sign-in itself.
@login_not_required
@require_safe
def frame(request: HttpRequest, token: str, index: int) -> HttpResponse:
    """One JPEG-LS frame, padded to the one size of its trial."""
    grant = _grant(request.COOKIES.get(settings.SESSION_COOKIE_NAME, ""), token)
    if grant is None or index >= grant.frames:
        return _refusal(NOT_FOUND, 404)
    try:
        body = read_frame(grant.rendition_id, index)
    except (OSError, IndexError):
        # A missing file must look the same for every case: the browser tries again, we look.
        logger.exception("a frame cannot be read", extra={"rendition": str(grant.rendition_id)})
        return _refusal(UNREADABLE, 503)
    response = HttpResponse(body, content_type=CONTENT_TYPE)
    response["Cache-Control"] = CACHE_CONTROL
    return response


def _refusal(body: bytes, status: int) -> HttpResponse:
    response = HttpResponse(body, content_type="application/json", status=status)
    response["Cache-Control"] = "no-store"
    return response


def _grant(session_key: str, token: str) -> Grant | None:
    try:
        assignment_token = FrameSigner().unsign(token, max_age=settings.FRAME_TOKEN_SECONDS)
    except BadSignature:
        return None
    key = (session_key, assignment_token)
    grant = grants.get(key)
    if grant is None:
        grant = _ask_database(session_key, assignment_token)
        if grant is not None:
            grants.put(key, grant)
    return grant


def _ask_database(session_key: str, assignment_token: str) -> Grant | None:
    # A session object of its own: touching request.session would add `Vary: Cookie` to this one
    # response in thirty seconds, and headers shall not differ between frames.
    store = import_module(settings.SESSION_ENGINE).SessionStore
    user = get_user(SimpleNamespace(session=store(session_key or None)))  # type: ignore[arg-type]
    if not user.is_authenticated:
        return None
    assignment = may_fetch_frames(assignment_token, user)
    if assignment is None:
        return None
    rendition = assignment.case.rendition
    return Grant(rendition.pk, rendition.frames, time.monotonic() + GRANT_SECONDS)
