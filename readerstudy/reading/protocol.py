"""The protocol of a trial as its readers meet it."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import Any

from readerstudy.trials.design.protocol import Protocol
from readerstudy.trials.models import ProtocolVersion, Trial

# The sides of the scale are fixed, its words are the protocol's; digits answer.
RATING_KEYS = ("1", "2", "3", "4", "5", "6")


# A version never changes and its hash names it, so each is read and checked once a process.
_known: dict[str, Protocol] = {}
MOST_KNOWN = 64
# What `protocol_of` needs of a version at every request: its document is the longest column.
DOCUMENT = "trial__active_protocol__document"


def protocol_of(trial: Trial) -> Protocol:
    """The protocol in force, else the newest version.

    Raises ProtocolVersion.DoesNotExist when the trial has none yet.
    """
    version = trial.active_protocol or trial.protocols.order_by("-number").first()
    if version is None:
        raise ProtocolVersion.DoesNotExist
    found = _known.get(version.sha256)
    if found is None:
        found = Protocol.model_validate_json(json.dumps(version.document))
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        _known[version.sha256] = found
    return found


def consent_sha256(protocol: Protocol) -> str:
    """Names the exact text a reader agrees to."""
    return hashlib.sha256(protocol.wording.consent.encode()).hexdigest()


def break_length(protocol: Protocol) -> timedelta:
    return timedelta(minutes=protocol.sessions.break_minutes)


def break_is_due(protocol: Protocol, answers: int) -> bool:
    """Whether a break is due once this many cases were answered in one sitting."""
    sessions = protocol.sessions
    return sessions.break_minutes > 0 and answers >= sessions.cases_per_session


def window_list(protocol: Protocol, organ: str) -> list[dict[str, Any]]:
    """Window presets of an organ (HU); the first is the one a case opens with."""
    return [preset.model_dump(mode="json") for preset in protocol.windows_for(organ)]


def scale(protocol: Protocol) -> list[dict[str, Any]]:
    return [
        {"value": value, "label": label, "key": key}
        for value, (label, key) in enumerate(zip(protocol.rating_labels, RATING_KEYS), start=1)
    ]


def paragraphs(text: str) -> list[str]:
    """Plain text as paragraphs: an empty line starts another."""
    return [part.strip() for part in text.split("\n\n") if part.strip()]
