"""Making a trial and writing its protocol."""

from __future__ import annotations

import re
import secrets
from typing import Any

from django.db import transaction
from django.utils.text import slugify

from readerstudy.errors import UserError
from readerstudy.trials.design.protocol import Protocol, read
from readerstudy.trials.models import Membership, ProtocolVersion, Trial

from ._base import locked_draft, log

RESERVED = {"new", "template"}


def create_trial(
    *,
    title: str,
    actor: Any,
    slug: str | None = None,
    seed: int | None = None,
    protocol: Protocol | dict[str, Any] | None = None,
) -> Trial:
    """Make a draft that `actor` coordinates, with a first protocol version if one is given.

    `seed` fixes every draw and order; by default it is random. Raises UserError for a bad or taken
    address (`slug`) and ProtocolError for a bad protocol; then nothing is made.
    """
    title = " ".join(title.split())
    if not title:
        raise UserError("A trial needs a title; write one.")
    with transaction.atomic():
        trial = Trial.objects.create(
            slug=_slug(slug, title),
            title=title[:200],
            seed=secrets.randbits(63) if seed is None else seed,
            created_by=actor,
        )
        Membership.objects.create(
            trial=trial, user=actor, role=Membership.Role.COORDINATOR, code="C01"
        )
        log(actor, "trials.created", trial)
        if protocol is not None:
            save_protocol(trial, protocol, actor=actor)
            trial.refresh_from_db()
    return trial


def _slug(wanted: str | None, title: str) -> str:
    if wanted is not None:
        if not re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,58}[a-z0-9])?", wanted) or wanted in RESERVED:
            raise UserError(
                f"“{wanted}” cannot be the trial's address; use small letters, digits and hyphens, "
                "60 at most."
            )
        if Trial.objects.filter(slug=wanted).exists():
            raise UserError(f"There is a trial with the address “{wanted}” already; use another.")
        return wanted
    stem = slugify(title)[:50].strip("-_").replace("_", "-") or "trial"
    slug, number = stem, 1
    while slug in RESERVED or Trial.objects.filter(slug=slug).exists():
        number += 1
        slug = f"{stem}-{number}"
    return slug


def save_protocol(trial: Trial, data: Protocol | dict[str, Any], *, actor: Any) -> ProtocolVersion:
    """Store the protocol as a new version and put it in force; the trial takes its title.

    A document equal to the one in force makes no new version. Raises ProtocolError, and TrialLocked
    once the trial has opened.
    """
    protocol = data if isinstance(data, Protocol) else read(data)
    with transaction.atomic():
        trial = locked_draft(trial, "protocol")
        active = trial.active_protocol
        if active is not None and active.sha256 == protocol.sha256:
            return active
        newest = trial.protocols.order_by("-number").first()
        version = ProtocolVersion.objects.create(
            trial=trial,
            number=newest.number + 1 if newest else 1,
            document=protocol.document(),
            sha256=protocol.sha256,
            created_by=actor,
        )
        trial.active_protocol = version
        trial.title = protocol.title
        trial.save(update_fields=["active_protocol", "title"])
        log(
            actor,
            "trials.protocol_saved",
            trial,
            version,
            version=version.number,
            sha256=version.sha256,
        )
    return version


def log_truth_download(trial: Trial, *, actor: Any) -> None:
    """Note that somebody took the truth table of an unblinded trial away."""
    log(actor, "trials.truth_downloaded", trial, commitment=trial.truth_commitment)
