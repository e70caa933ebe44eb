"""Reading the audit chain: events, heads, verification."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import QuerySet

from .models import AuditEvent, ChainHead
from .services import event_hash


@dataclass(frozen=True)
class Fault:
    """The first place where a chain does not hold, in words."""

    chain: str
    seq: int
    what: str


def events(chain: str) -> QuerySet[AuditEvent]:
    return AuditEvent.objects.filter(chain=chain).select_related("actor").order_by("-seq")


def head(chain: str) -> tuple[int, str]:
    """Number and hash of the last event of the chain: (0, "") when it has none."""
    row = ChainHead.objects.filter(chain=chain).first()
    return (row.seq, row.hash) if row else (0, "")


def verify(chain: str, expected_head: tuple[int, str] | None = None) -> Fault | None:
    """Walk the chain from its start and return its first fault, or None when it holds.

    `expected_head` is a head kept elsewhere (an export, a letter): it finds events removed from
    the end, which the chain alone cannot show.
    """
    previous, expected_seq = "", 1
    for event in AuditEvent.objects.filter(chain=chain).order_by("seq").iterator(2000):
        if event.seq != expected_seq:
            return Fault(chain, expected_seq, f"event {expected_seq} is missing")
        if event.previous_hash != previous or event.hash != event_hash(event):
            return Fault(chain, event.seq, f"event {event.seq} ({event.action}) was altered")
        previous, expected_seq = event.hash, expected_seq + 1
    last = (expected_seq - 1, previous)
    if head(chain) != last:
        return Fault(
            chain, last[0], f"the last event is {last[0]}, but the head says {head(chain)[0]}"
        )
    if expected_head is not None:
        stored = AuditEvent.objects.filter(chain=chain, seq=expected_head[0]).first()
        if expected_head[0] and (stored is None or stored.hash != expected_head[1]):
            return Fault(chain, expected_head[0], f"the kept head {expected_head[0]} is not in it")
    return None


def chains() -> list[str]:
    return list(ChainHead.objects.order_by("chain").values_list("chain", flat=True))
