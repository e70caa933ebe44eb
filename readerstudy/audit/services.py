"""Writing the audit chain. One event per write, in the same transaction as the write."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import models, transaction

from .models import AuditEvent, ChainHead

SITE = "site"


def trial_chain(slug: str) -> str:
    return f"trial:{slug}"


def canonical(payload: Any) -> bytes:
    """One byte string per value: sorted keys, no spaces, UTF-8."""
    return json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def event_hash(event: AuditEvent) -> str:
    """HMAC-SHA-256 over the event and the hash of the one before it."""
    payload = {
        "chain": event.chain,
        "seq": event.seq,
        "at": event.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "actor": event.actor_id,
        "action": event.action,
        "object": [event.object_type, event.object_id],
        "data": event.data,
        "previous": event.previous_hash,
    }
    key = settings.AUDIT_KEY.encode()
    return hmac.new(key, canonical(payload), hashlib.sha256).hexdigest()


def record(
    actor: Any,
    action: str,
    obj: models.Model | None = None,
    *,
    chain: str = SITE,
    data: dict[str, Any] | None = None,
) -> AuditEvent:
    """Append one event; call it inside the `transaction.atomic()` of the write it tells of.

    `data` holds plain JSON and no personal data beyond pseudonyms. Raises TypeError when it
    cannot be written as JSON.
    """
    # No savepoint of its own: a write without its event must not stand.
    with transaction.atomic(savepoint=False):
        head = ChainHead.objects.select_for_update().filter(chain=chain).first()
        if head is None:
            ChainHead.objects.get_or_create(chain=chain)
            head = ChainHead.objects.select_for_update().get(chain=chain)
        event = AuditEvent(
            chain=chain,
            seq=head.seq + 1,
            at=datetime.now(UTC),
            actor=actor if getattr(actor, "pk", None) else None,
            action=action,
            object_type=obj._meta.label if obj is not None else "",
            object_id=str(obj.pk) if obj is not None else "",
            data=json.loads(canonical(data or {})),
            previous_hash=head.hash,
        )
        event.hash = event_hash(event)
        event.save(force_insert=True)
        head.seq, head.hash = event.seq, event.hash
        head.save(update_fields=["seq", "hash"])
    return event
