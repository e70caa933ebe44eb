"""What the viewer is told: where the reader stands, the current case and the one ahead.

Every value here comes from the protocol, the rendition or the reader's own list. Nothing comes
from a table that knows what a case is.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.crypto import salted_hmac

from readerstudy.trials.models import Assignment

from .frames import frame_token
from .protocol import Protocol, scale, window_list
from .selectors import Place, draft_of

PADDING_HU = -1024
# The states of the API; a reader who waits or comes too late sees the page that "paused" leads to.
API_STATES = {"waiting": "paused", "closed": "paused"}


def worklist(place: Place) -> dict[str, Any]:
    """The body of GET worklist and of every stored answer."""
    position = place.answered + 1
    return {
        "state": API_STATES.get(place.state, place.state),
        "answered": place.answered,
        "total": place.total,
        "phase": place.phase,
        "current": _case(place, place.current, position),
        "ahead": _case(place, place.ahead, position + 1),
        "redirect": None if place.state == "reading" else step_url(place),
    }


def step_url(place: Place) -> str:
    """The page of the step that a reader is at."""
    slug = place.trial.slug
    name = {
        "reading": "reading:case",
        "consent": "reading:instructions",
        "practice_done": "reading:practice_done",
        "break": "reading:break",
        "done": "reading:done",
    }.get(place.state, "reading:enter")
    return reverse(name, args=[slug])


def _case(place: Place, assignment: Assignment | None, position: int) -> dict[str, Any] | None:
    if assignment is None or place.protocol is None:
        return None
    rendition = assignment.case.rendition
    row_spacing, column_spacing = rendition.spacing
    return {
        "token": assignment.token,
        "phase": assignment.phase,
        "position": position,
        "total": place.total,
        "organ": assignment.case.organ,
        "frames": {
            "count": rendition.frames,
            "url": frames_url(assignment),
        },
        "image": {
            "rows": rendition.rows,
            "columns": rendition.columns,
            "pixelSpacing": [row_spacing, column_spacing],
            "sliceSpacing": rendition.slice_spacing,
            "bitsAllocated": 16,
            "pixelRepresentation": 1,
            "padding": PADDING_HU,
        },
        "marker": {"box": rendition.marker} if place.protocol.marker.kind == "box" else None,
        "startSlice": rendition.start_slice,
        "windows": window_list(place.protocol, assignment.case.organ),
        "draft": draft_of(assignment),
    }


def frames_url(assignment: Assignment) -> str:
    """Frame k is at this address followed by k."""
    return reverse("reading:frame", args=[frame_token(assignment.token), 0]).removesuffix("0")


def viewer_config(place: Place, protocol: Protocol, csrf: str) -> dict[str, Any]:
    """Everything the viewer needs that stays the same for a whole trial."""
    slug = place.trial.slug
    case_url = reverse("reading:case", args=[slug])
    return {
        "api": reverse("api:worklist", args=[slug]).removesuffix("/worklist"),
        "csrf": csrf,
        "reader": browser_key(place),
        "title": place.trial.title,
        "question": protocol.question,
        "scale": scale(protocol),
        "windows": window_list(protocol, "default"),
        "tools": {"mpr": protocol.tools.three_plane, "length": protocol.tools.length},
        "guideMarker": protocol.marker.kind,
        "askCues": protocol.cues.ask,
        "cues": list(protocol.cues.tags) if protocol.cues.ask else [],
        "allowComment": protocol.comments,
        "rendering": protocol.rendering,
        "exitUrl": reverse("home"),
        "pauseUrl": reverse("reading:pause", args=[slug]),
        "signInUrl": f"{reverse('account_login')}?{urlencode({'next': case_url})}",
    }


def browser_key(place: Place) -> str:
    """Keeps the unsent answers of two readers of one computer apart; tells nothing about either."""
    return salted_hmac("readerstudy.reading.browser", str(place.membership.pk)).hexdigest()[:22]
