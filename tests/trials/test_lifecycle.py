"""The life of a trial: every transition, the lock, the seal."""

from __future__ import annotations

import hashlib
import itertools
import json
from typing import Any

import pytest

from readerstudy.audit.models import AuditEvent
from readerstudy.cases.models import Rendition
from readerstudy.errors import UserError
from readerstudy.trials import actions, selectors, services
from readerstudy.trials.errors import NotReady, TrialLocked, WrongState
from readerstudy.trials.models import CaseTruth, Trial
from readerstudy.trials.preparation import prepare

from . import world

STEPS = ("open", "pause", "resume", "close", "unblind")
TABLE = {
    ("draft", "open"): "open",
    ("open", "pause"): "paused",
    ("paused", "resume"): "open",
    ("open", "close"): "closed",
    ("paused", "close"): "closed",
    ("closed", "unblind"): "unblinded",
}


def take(trial: Trial, step: str, user: Any) -> Trial:
    if step == "unblind":
        return actions.unblind_trial(
            trial, actor=user, reason="The data are locked.", confirmation=trial.slug
        )
    function = getattr(actions, f"{step}_trial")
    result: Trial = function(trial, actor=user)
    return result


@pytest.mark.parametrize(("state", "step"), itertools.product(world.STATES, STEPS))
def test_D6_every_transition_is_in_the_table_or_raises(
    state: str, step: str, coordinator: Any, reader: Any
) -> None:
    trial = world.in_state(state, coordinator, reader)
    events = AuditEvent.objects.filter(chain="trial:liver").count()
    if (state, step) in TABLE:
        assert take(trial, step, coordinator).state == TABLE[state, step]
        assert AuditEvent.objects.filter(chain="trial:liver").count() == events + 1
    else:
        with pytest.raises(WrongState) as caught:
            take(trial, step, coordinator)
        assert "so it cannot be" in str(caught.value)
        assert Trial.objects.get(pk=trial.pk).state == state
        assert AuditEvent.objects.filter(chain="trial:liver").count() == events


def test_D6_the_table_is_what_is_tested() -> None:
    steps = {
        (source, action.name): target for (source, target), action in actions.TRANSITIONS.items()
    }
    assert {key: str(value) for key, value in steps.items()} == TABLE


def test_the_sentence_says_where_the_trial_stands(coordinator: Any, reader: Any) -> None:
    trial = world.in_state("closed", coordinator, reader)
    with pytest.raises(WrongState) as caught:
        actions.pause_trial(trial, actor=coordinator)
    assert str(caught.value) == (
        "The trial is closed, so it cannot be paused; only one that is open can."
    )


@pytest.mark.parametrize("state", world.STATES[1:])
def test_D6_after_opening_every_write_to_the_design_raises(
    state: str, coordinator: Any, reader: Any
) -> None:
    trial = world.in_state(state, coordinator, reader)
    spare = world.make_candidate("real")
    writes = [
        lambda: services.save_protocol(trial, world.document(title="x"), actor=coordinator),
        lambda: services.choose_cases(trial, actor=coordinator),
        lambda: services.include(trial, spare.pk, actor=coordinator),
        lambda: services.exclude(trial, spare.pk, reason="x", actor=coordinator),
        lambda: services.clear(trial, spare.pk, actor=coordinator),
        lambda: services.request_preparation(trial, actor=coordinator),
        lambda: prepare(trial, actor=coordinator),
        lambda: services.allocate(trial, actor=coordinator),
    ]
    for write in writes:
        with pytest.raises(TrialLocked, match=r"^The .* cannot be changed: the trial is locked"):
            write()


# -------------------------------------------------------------------------- conditions of opening
def failing(trial: Trial) -> list[str]:
    trial = Trial.objects.select_related("active_protocol").get(pk=trial.pk)
    return [check.title for check in selectors.opening_checks(trial) if not check.ok]


def test_the_checklist_is_met_step_by_step(coordinator: Any, reader: Any) -> None:
    world.stock()
    trial = services.create_trial(title="x", actor=coordinator)
    assert failing(trial) == ["Protocol", "Cases", "Images", "Readers", "Orders"]
    services.save_protocol(trial, world.document(), actor=coordinator)
    assert failing(trial) == ["Cases", "Images", "Readers", "Orders"]
    services.choose_cases(trial, actor=coordinator)
    prepare(trial, actor=coordinator)
    assert failing(trial) == ["Readers", "Orders"]
    services.add_reader(trial, email=reader.email, actor=coordinator)
    with pytest.raises(NotReady, match=r"The trial cannot open yet\. Orders: The readers have no"):
        actions.open_trial(trial, actor=coordinator)
    services.allocate(trial, actor=coordinator)
    assert failing(trial) == []
    assert actions.open_trial(trial, actor=coordinator).state == "open"


def test_what_changes_after_preparing_is_noticed(
    coordinator: Any, reader: Any, peer_reader: Any
) -> None:
    trial = world.prepared(coordinator, readers=(reader,))
    # Marker rule: other images.
    services.save_protocol(
        trial, world.document(marker={"kind": "box", "margin_mm": 9}), actor=coordinator
    )
    assert failing(trial) == ["Images"]
    # Strata: other cases (and, since those make the orders, nothing else yet).
    data = world.document()
    data["design"]["strata"][0]["real"] = 3
    services.save_protocol(trial, data, actor=coordinator)
    assert failing(trial) == ["Cases"]
    # Repeats: other orders.
    services.save_protocol(
        trial, world.document(repeats={"count": 2, "minimum_gap": 3}), actor=coordinator
    )
    assert failing(trial) == ["Orders"]
    services.allocate(trial, actor=coordinator)
    assert failing(trial) == []
    # A reader who came later.
    services.add_reader(trial, email=peer_reader.email, actor=coordinator)
    checks = selectors.opening_checks(Trial.objects.get(pk=trial.pk))
    assert [check.detail for check in checks if not check.ok] == ["R02 has no order yet: make it."]
    # Preparing again drops the orders.
    prepare(trial, actor=coordinator)
    assert failing(trial) == ["Orders"]


def test_images_of_two_sizes_do_not_open(coordinator: Any, reader: Any) -> None:
    trial = world.prepared(coordinator, readers=(reader,))
    case = trial.cases.first()
    assert case is not None
    Rendition.objects.filter(pk=case.rendition_id).update(bucket_bytes=1)
    with pytest.raises(NotReady, match="Images: The frames come in 2 sizes"):
        actions.open_trial(trial, actor=coordinator)


# ------------------------------------------------------------------------------------- the seal
def test_D7_the_commitment_is_the_hash_of_salt_and_truth(coordinator: Any, reader: Any) -> None:
    trial = world.in_state("unblinded", coordinator, reader)
    document = selectors.truth_document(trial)
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256((trial.truth_salt + text).encode()).hexdigest()
    assert digest == trial.truth_commitment
    assert len(trial.truth_salt) == 64
    assert AuditEvent.objects.get(action="trials.opened").data["truth_commitment"] == digest
    assert actions.commitment_holds(trial)


@pytest.mark.parametrize(
    "change", [{"arm": "swap"}, {"generator": "other"}, {"diameter_mm": 99.0}], ids=str
)
def test_D7_one_changed_label_keeps_the_trial_closed(
    change: dict[str, Any], coordinator: Any, reader: Any
) -> None:
    trial = world.in_state("closed", coordinator, reader)
    row = CaseTruth.objects.filter(case__trial=trial).first()
    assert row is not None
    if change == {"arm": "swap"}:
        change = {"arm": "real" if row.arm == "synthetic" else "synthetic"}
    CaseTruth.objects.filter(pk=row.pk).update(**change)
    with pytest.raises(NotReady, match="not the one committed to at opening"):
        take(trial, "unblind", coordinator)
    assert Trial.objects.get(pk=trial.pk).state == "closed"


def test_unblinding_asks_for_the_address_and_a_reason(coordinator: Any, reader: Any) -> None:
    trial = world.in_state("closed", coordinator, reader)
    with pytest.raises(UserError, match="Type the trial's address, liver, to confirm"):
        actions.unblind_trial(
            trial, actor=coordinator, reason="The data are locked.", confirmation="Liver"
        )
    with pytest.raises(UserError, match="reason for unblinding"):
        actions.unblind_trial(trial, actor=coordinator, reason="done", confirmation="liver")
    assert Trial.objects.get(pk=trial.pk).state == "closed"


def test_closing_says_who_has_not_finished(coordinator: Any, reader: Any, peer_reader: Any) -> None:
    trial = world.opened(coordinator, reader, peer_reader)
    assert selectors.closing_warnings(trial) == [
        "2 readers have not finished: R01 (10 of 10 left), R02 (10 of 10 left). After closing, no "
        "further answer is taken."
    ]
    services.remove(trial.memberships.get(user=reader), actor=coordinator, reason="ill")
    assert selectors.closing_warnings(trial)[0].startswith("1 reader has not finished: R02")
    actions.close_trial(trial, actor=coordinator, reason="enough readers")
    data = AuditEvent.objects.get(action="trials.closed").data
    assert data["reason"] == "enough readers"
    assert "R02" in data["unfinished"][0]


def test_an_action_that_fails_leaves_no_trace(coordinator: Any, reader: Any) -> None:
    trial = world.prepared(coordinator)
    before = AuditEvent.objects.count()
    with pytest.raises(NotReady):
        actions.open_trial(trial, actor=coordinator)
    trial.refresh_from_db()
    assert (trial.state, trial.truth_commitment, trial.truth_salt) == ("draft", "", "")
    assert trial.selections.exists()
    assert AuditEvent.objects.count() == before
