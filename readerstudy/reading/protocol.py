"""The protocol of a trial as its readers meet it."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from functools import lru_cache
from typing import Any

from readerstudy.trials.design.protocol import Protocol
from readerstudy.trials.models import ProtocolVersion, Trial

# The sides of the scale are fixed, its words are the protocol's; digits answer.
RATING_KEYS = ("1", "2", "3", "4", "5", "6")


@lru_cache(maxsize=64)
def _parsed(text: str) -> Protocol:
    return Protocol.model_validate_json(text)


def protocol_of(trial: Trial) -> Protocol:
    """The protocol in force, else the newest version. Each version is checked once a process.

    Raises ProtocolVersion.DoesNotExist when the trial has none yet.
    """
    version = trial.active_protocol or trial.protocols.order_by("-number").first()
    if version is None:
        raise ProtocolVersion.DoesNotExist
    return _parsed(json.dumps(version.document))


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
