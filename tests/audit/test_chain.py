from __future__ import annotations

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, connection, transaction

from readerstudy.audit.models import AuditEvent
from readerstudy.audit.selectors import head, verify
from readerstudy.audit.services import record

pytestmark = pytest.mark.django_db


def three_events(coordinator: object) -> None:
    for number in range(3):
        record(coordinator, "test.happened", chain="trial:x", data={"n": number})


@pytest.mark.parametrize("change", [{"action": "other"}, {"data": {"n": 9}}])
def test_L1_an_event_can_be_neither_changed_nor_deleted(coordinator, change):
    three_events(coordinator)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        AuditEvent.objects.filter(chain="trial:x").update(**change)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        AuditEvent.objects.filter(chain="trial:x").delete()
    assert verify("trial:x") is None


def drop_triggers() -> None:
    on = " ON audit_auditevent" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        for verb in ("update", "delete"):
            cursor.execute(f"DROP TRIGGER audit_no_{verb}{on}")


def test_L2_an_altered_row_is_named(coordinator):
    three_events(coordinator)
    drop_triggers()
    AuditEvent.objects.filter(chain="trial:x", seq=2).update(data={"n": 7})
    fault = verify("trial:x")
    assert fault is not None and fault.seq == 2
    with pytest.raises(CommandError) as error:
        call_command("verify_audit", "trial:x")
    assert error.value.returncode == 1


def test_L3_removing_the_last_events_is_found_through_a_kept_head(coordinator):
    three_events(coordinator)
    kept = head("trial:x")
    drop_triggers()
    AuditEvent.objects.filter(chain="trial:x", seq=3).delete()
    assert verify("trial:x") is not None
    from readerstudy.audit.models import ChainHead

    last = AuditEvent.objects.get(chain="trial:x", seq=2)
    ChainHead.objects.filter(chain="trial:x").update(seq=2, hash=last.hash)
    assert verify("trial:x") is None
    assert verify("trial:x", kept) is not None


def test_L5_a_rolled_back_write_leaves_no_event(coordinator):
    with pytest.raises(RuntimeError), transaction.atomic():
        record(coordinator, "test.happened", chain="trial:x")
        raise RuntimeError
    assert head("trial:x") == (0, "")


def test_an_unknown_chain_is_refused_in_one_sentence(db):
    with pytest.raises(CommandError, match="No chain is called") as error:
        call_command("verify_audit", "trial:none")
    assert error.value.returncode == 2
