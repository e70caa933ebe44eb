"""Reads of trials and their protocol versions."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from django.db.models import QuerySet

from readerstudy.trials.access import RIGHTS
from readerstudy.trials.design.errors import ProtocolError
from readerstudy.trials.design.protocol import Protocol, read
from readerstudy.trials.models import ProtocolVersion, Trial


def trials_of(user: Any) -> QuerySet[Trial]:
    """Trials that `user` coordinates, researches or keeps the keys of now, newest first."""
    return Trial.objects.filter(
        memberships__user=user,
        memberships__role__in=RIGHTS["view"],
        memberships__valid_to__isnull=True,
    ).distinct()


@lru_cache(maxsize=64)
def _parsed(sha256: str, text: str) -> Protocol:
    return read(json.loads(text))


def protocol_of(version: ProtocolVersion) -> Protocol:
    """The checked protocol of a version. Raises ProtocolError when it no longer fits the schema."""
    return _parsed(version.sha256, json.dumps(version.document))


def active_protocol(trial: Trial) -> Protocol | None:
    """The protocol in force, or None when the trial has none (or one that is not valid)."""
    if trial.active_protocol is None:
        return None
    try:
        return protocol_of(trial.active_protocol)
    except ProtocolError:
        return None


def protocol_versions(trial: Trial) -> QuerySet[ProtocolVersion]:
    """All versions, newest first."""
    return trial.protocols.select_related("created_by").order_by("-number")


def protocol_version(trial: Trial, number: int) -> ProtocolVersion | None:
    return trial.protocols.filter(number=number).first()
