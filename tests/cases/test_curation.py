"""Decisions on candidates, and taking them back."""

from __future__ import annotations

import pytest

from readerstudy.audit.models import AuditEvent
from readerstudy.cases.errors import AlreadyDecided, CasesError
from readerstudy.cases.models import Candidate
from readerstudy.cases.services import decide, decide_many, undo


@pytest.fixture
def pending(made_run):
    return list(made_run.candidates.filter(state="pending"))


def test_accepting_stores_who_and_when_and_one_event(pending, coordinator):
    row = decide(pending[0], "accepted", actor=coordinator)
    assert (row.state, row.reason, row.curated_by) == ("accepted", "", coordinator)
    assert row.curated_at is not None
    assert AuditEvent.objects.filter(action="cases.accepted", object_id=str(row.pk)).count() == 1


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ("", "Say why the candidate is rejected"),
        ("   ", "Say why the candidate is rejected"),
        ("x" * 301, "under 300 characters"),
    ],
)
def test_rejecting_needs_a_reason(pending, coordinator, reason, sentence):
    with pytest.raises(CasesError, match=sentence):
        decide(pending[0], "rejected", reason=reason, actor=coordinator)
    assert Candidate.objects.get(pk=pending[0].pk).state == "pending"


def test_rejecting_keeps_the_reason(pending, coordinator):
    row = decide(pending[0], "rejected", reason=" Looks artificial ", actor=coordinator)
    assert (row.state, row.reason, row.by_gate) == ("rejected", "Looks artificial", False)


def test_a_second_decision_needs_an_undo_first(pending, coordinator):
    row = decide(pending[0], "accepted", actor=coordinator)
    with pytest.raises(AlreadyDecided, match="accepted already; undo that"):
        decide(row, "rejected", reason="Hard to see", actor=coordinator)
    row = undo(row, actor=coordinator)
    assert (row.state, row.reason, row.curated_by, row.curated_at) == ("pending", "", None, None)
    assert decide(row, "rejected", reason="Hard to see", actor=coordinator).state == "rejected"
    event = AuditEvent.objects.get(action="cases.decision_undone")
    assert event.data == {"was": "accepted"}


def test_what_the_checks_rejected_cannot_be_undone_by_hand(pending, coordinator):
    row = pending[0]
    Candidate.objects.filter(pk=row.pk).update(state="rejected", by_gate=True, reason="Noise.")
    with pytest.raises(AlreadyDecided, match="checks of its run"):
        undo(row, actor=coordinator)
    with pytest.raises(AlreadyDecided, match="nothing to undo"):
        undo(pending[1], actor=coordinator)


def test_many_at_once_take_only_pending_ones_and_log_one_event(pending, coordinator):
    decide(pending[0], "accepted", actor=coordinator)
    ids = [row.pk for row in pending]
    assert decide_many(ids, "rejected", reason="Hard to see", actor=coordinator) == 2
    assert Candidate.objects.filter(state="rejected", reason="Hard to see").count() == 2
    assert Candidate.objects.get(pk=pending[0].pk).state == "accepted"
    (event,) = AuditEvent.objects.filter(action="cases.decided_many")
    assert sorted(event.data["candidates"]) == sorted(str(row.pk) for row in pending[1:])


def test_many_without_a_reason_change_nothing(pending, coordinator):
    with pytest.raises(CasesError, match="Say why"):
        decide_many([row.pk for row in pending], "rejected", actor=coordinator)
    with pytest.raises(CasesError, match="No candidates are chosen"):
        decide_many([], "accepted", actor=coordinator)
    assert (
        not Candidate.objects.exclude(pk__in=[r.pk for r in pending])
        .filter(state="accepted")
        .exists()
    )
    assert {Candidate.objects.get(pk=row.pk).state for row in pending} == {"pending"}


def test_a_trial_draws_no_real_lesion_of_a_volume_that_turned_out_synthetic(both, sick):
    from readerstudy.trials.selectors import lesions

    assert sorted(lesion.arm for lesion in lesions()) == ["real", "synthetic"]
    type(sick).objects.update(synthetic="a person said so")  # hosts too: their made lesions stay
    assert [lesion.arm for lesion in lesions()] == ["synthetic"]
