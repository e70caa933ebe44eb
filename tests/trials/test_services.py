"""The road of a draft: protocol, cases, readers, orders."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest

from readerstudy.audit.models import AuditEvent
from readerstudy.cases.frames import read_frame
from readerstudy.errors import Conflict, UserError
from readerstudy.trials import actions, selectors, services
from readerstudy.trials.errors import InfeasibleDesign, NotReady, ProtocolError, WrongState
from readerstudy.trials.models import Assignment, Case, CaseTruth, Membership, Selection, Trial
from readerstudy.trials.preparation import prepare

from . import world


def events(trial: Trial) -> list[str]:
    return list(
        AuditEvent.objects.filter(chain=f"trial:{trial.slug}")
        .order_by("seq")
        .values_list("action", flat=True)
    )


# ------------------------------------------------------------------------------------ the trial
def test_a_trial_starts_as_a_draft_its_maker_coordinates(coordinator: Any) -> None:
    trial = services.create_trial(title="  A  new trial ", actor=coordinator)
    assert (trial.title, trial.slug, trial.state) == ("A new trial", "a-new-trial", "draft")
    assert trial.memberships.get().role == Membership.Role.COORDINATOR
    again = services.create_trial(title="A new trial", actor=coordinator)
    assert again.slug == "a-new-trial-2"
    assert again.seed != trial.seed
    assert services.create_trial(title="New", actor=coordinator).slug == "new-2"
    assert services.create_trial(title="新試驗", actor=coordinator).slug == "trial"
    assert events(trial) == ["trials.created"]


@pytest.mark.parametrize("slug", ["new", "Has-Capitals", "-x", "", "a" * 61, "a b", "a/b"])
def test_bad_address_of_a_trial_is_refused(coordinator: Any, slug: str) -> None:
    with pytest.raises(UserError, match="cannot be the trial's address"):
        services.create_trial(title="x", actor=coordinator, slug=slug)
    assert not Trial.objects.exists()


def test_taken_address_and_bad_protocol_make_nothing(coordinator: Any) -> None:
    services.create_trial(title="x", actor=coordinator, slug="x")
    with pytest.raises(UserError, match="There is a trial with the address “x” already"):
        services.create_trial(title="x", actor=coordinator, slug="x")
    with pytest.raises(ProtocolError, match="`positive_class` is missing"):
        bad = world.document()
        del bad["positive_class"]
        services.create_trial(title="y", actor=coordinator, protocol=bad)
    assert Trial.objects.count() == 1


def test_each_change_of_the_protocol_is_a_new_version(coordinator: Any) -> None:
    trial = world.drafted(coordinator)
    first = trial.active_protocol
    assert first is not None
    assert first.number == 1
    same = services.save_protocol(trial, world.document(), actor=coordinator)
    assert same.pk == first.pk
    second = services.save_protocol(
        trial, world.document(title="Renamed", question="Real?"), actor=coordinator
    )
    assert (second.number, second.sha256 != first.sha256) == (2, True)
    trial.refresh_from_db()
    assert (trial.title, trial.active_protocol) == ("Renamed", second)
    first.refresh_from_db()
    assert first.document["question"] == "Is the marked tumor real or synthetic?"
    assert events(trial).count("trials.protocol_saved") == 2


# ------------------------------------------------------------------------------------ the cases
def test_draw_prepare_and_store_the_cases(coordinator: Any, run_jobs: Any) -> None:
    world.stock()
    trial = world.drafted(coordinator)
    draw = services.choose_cases(trial, actor=coordinator)
    assert (len(draw.picks), draw.missing) == (9, ())
    services.request_preparation(trial, actor=coordinator)
    (job,) = run_jobs()
    assert (job.state, job.result) == ("done", {"cases": 9})
    assert job.done == job.total
    truth = CaseTruth.objects.filter(case__trial=trial).select_related("case")
    assert Counter((row.case.phase, row.arm) for row in truth) == {
        ("main", "real"): 3,
        ("main", "synthetic"): 4,
        ("practice", "real"): 1,
        ("practice", "synthetic"): 1,
    }
    assert {row.generator for row in truth if row.arm == "real"} == {"none"}
    assert {row.generator for row in truth if row.arm == "synthetic"} == {"textural"}
    assert sorted(trial.cases.values_list("number", flat=True)) == list(range(1, 10))
    sizes = {case.rendition.bucket_bytes for case in trial.cases.select_related("rendition")}
    assert len(sizes) == 1
    case = trial.cases.first()
    assert case is not None
    assert len(read_frame(case.rendition_id, 0)) == sizes.pop()


def test_case_numbers_do_not_follow_the_arms(coordinator: Any) -> None:
    world.stock()
    trial = world.drafted(coordinator)
    orders = set()
    for _ in range(6):
        services.choose_cases(trial, actor=coordinator)
        prepare(trial, actor=coordinator)
        rows = CaseTruth.objects.filter(case__trial=trial).order_by("case__number")
        orders.add("".join(row.arm[0] for row in rows))
    assert len(orders) > 3


def test_draw_needs_a_protocol_and_counts_its_tries(coordinator: Any) -> None:
    trial = services.create_trial(title="x", actor=coordinator)
    with pytest.raises(NotReady, match="no valid protocol yet"):
        services.choose_cases(trial, actor=coordinator)
    services.save_protocol(trial, world.document(), actor=coordinator)
    world.stock(extra=6)
    seen = set()
    for number in (1, 2, 3):
        services.choose_cases(trial, actor=coordinator)
        seen.add(tuple(sorted(map(str, trial.selections.values_list("candidate_id", flat=True)))))
        trial.refresh_from_db()
        assert trial.draws == number
    assert len(seen) == 3
    assert events(trial).count("trials.cases_drawn") == 3


def test_candidates_in_and_out_by_hand(coordinator: Any) -> None:
    rows = world.stock(extra=4)
    trial = world.drafted(coordinator)
    wanted = next(row for row in rows if row.kind == "real")
    unwanted = [row for row in rows if row.kind == "real" and row.organ == "liver"][1:3]
    services.include(trial, wanted.pk, actor=coordinator)
    for row in unwanted:
        services.exclude(trial, row.pk, reason="touches the diaphragm", actor=coordinator)
    with pytest.raises(UserError, match="Say why"):
        services.exclude(trial, rows[-1].pk, reason="  ", actor=coordinator)
    for _ in range(5):
        services.choose_cases(trial, actor=coordinator)
        chosen = set(trial.selections.exclude(phase="").values_list("candidate_id", flat=True))
        assert wanted.pk in chosen
        assert not chosen & {row.pk for row in unwanted}
    services.clear(trial, unwanted[0].pk, actor=coordinator)
    with pytest.raises(Conflict, match="Nothing was chosen by hand"):
        services.clear(trial, unwanted[0].pk, actor=coordinator)
    with pytest.raises(UserError, match="no such candidate"):
        services.include(trial, "nonsense", actor=coordinator)
    wanted.state = "rejected"
    wanted.save()
    with pytest.raises(UserError, match="not accepted"):
        services.include(trial, wanted.pk, actor=coordinator)


def test_too_few_candidates_are_said_and_cannot_be_prepared(coordinator: Any) -> None:
    for row in world.stock(extra=0):
        if row.kind == "synthetic" and row.organ == "kidney":
            row.state = "rejected"
            row.save()
    trial = world.drafted(coordinator)
    draw = services.choose_cases(trial, actor=coordinator)
    assert draw.missing[0] == (
        "Kidney, small: 2 synthetic missing; accept more candidates or lower the number in the "
        "protocol."
    )
    with pytest.raises(NotReady, match="missing from the draw"):
        services.request_preparation(trial, actor=coordinator)


def test_a_second_preparation_waits_for_the_first(coordinator: Any, run_jobs: Any) -> None:
    world.stock()
    trial = world.drafted(coordinator)
    services.choose_cases(trial, actor=coordinator)
    services.request_preparation(trial, actor=coordinator)
    with pytest.raises(Conflict, match="being prepared already"):
        services.request_preparation(trial, actor=coordinator)
    run_jobs()
    services.request_preparation(trial, actor=coordinator)


def test_a_choice_changed_during_preparation_changes_nothing(coordinator: Any) -> None:
    world.stock(extra=8)
    trial = world.drafted(coordinator)
    services.choose_cases(trial, actor=coordinator)

    def draw_again(done: int, total: int, message: str = "") -> None:
        if done == 0:
            services.choose_cases(trial, actor=coordinator)

    with pytest.raises(Conflict, match="changed while they were prepared"):
        prepare(trial, actor=coordinator, report=draw_again)
    assert not trial.cases.exists()


# ------------------------------------------------------------------------------------ the readers
def test_a_new_reader_gets_an_account_a_pseudonym_and_a_link(coordinator: Any) -> None:
    trial = world.drafted(coordinator)
    added = services.add_reader(
        trial,
        email=" Dora@Example.org",
        actor=coordinator,
        display_name="Dora",
        experience_years=12,
        specialty="abdomen",
    )
    assert added.membership.code == "R01"
    assert added.invitation is not None
    user = added.membership.user
    assert (user.email, user.experience_years) == ("dora@example.org", 12)
    assert not user.has_usable_password()
    # Neither address nor name in the trial's chain (L9).
    data = AuditEvent.objects.get(action="trials.reader_added").data
    assert data == {"reader": "R01"}


def test_an_account_that_exists_is_used_as_it_is(coordinator: Any, reader: Any) -> None:
    trial = world.drafted(coordinator)
    added = services.add_reader(
        trial, email=reader.email, actor=coordinator, display_name="Somebody else"
    )
    assert added.invitation is None
    reader.refresh_from_db()
    assert reader.display_name == "Alice"


def test_who_knows_the_truth_cannot_read(
    coordinator: Any, other_coordinator: Any, researcher: Any, reader: Any
) -> None:
    trial = world.drafted(coordinator)
    with pytest.raises(UserError, match="coordinates at this site"):
        services.add_reader(trial, email=other_coordinator.email, actor=coordinator)
    services.add_member(trial, email=researcher.email, role="researcher", actor=coordinator)
    with pytest.raises(UserError, match="has a part in running this trial"):
        services.add_reader(trial, email=researcher.email, actor=coordinator)
    services.add_reader(trial, email=reader.email, actor=coordinator)
    with pytest.raises(UserError, match="reads this trial already, as R01"):
        services.add_reader(trial, email=reader.email, actor=coordinator)
    with pytest.raises(UserError, match="nobody can be both"):
        services.add_member(trial, email=reader.email, role="researcher", actor=coordinator)


def test_members_need_an_account_and_a_part(
    coordinator: Any, nobody: Any, researcher: Any, other_coordinator: Any
) -> None:
    trial = world.drafted(coordinator)
    with pytest.raises(UserError, match=r"no account for ghost@example\.org"):
        services.add_member(trial, email="ghost@example.org", role="researcher", actor=coordinator)
    with pytest.raises(UserError, match="no part in running a trial"):
        services.add_member(trial, email=nobody.email, role="reader", actor=coordinator)
    with pytest.raises(UserError, match="does not coordinate at this site"):
        services.add_member(trial, email=nobody.email, role="coordinator", actor=coordinator)
    first = services.add_member(trial, email=researcher.email, role="researcher", actor=coordinator)
    assert first.code == "S01"
    with pytest.raises(UserError, match="researcher of this trial already"):
        services.add_member(trial, email=researcher.email, role="researcher", actor=coordinator)
    mine = trial.memberships.get(code="C01")
    with pytest.raises(Conflict, match="last coordinator"):
        services.remove(mine, actor=coordinator)
    services.add_member(trial, email=other_coordinator.email, role="coordinator", actor=coordinator)
    services.remove(mine, actor=coordinator)
    assert mine.__class__.objects.get(pk=mine.pk).valid_to is not None


def test_a_removed_reader_keeps_everything_and_can_come_back(
    coordinator: Any, reader: Any, peer_reader: Any
) -> None:
    trial = world.opened(coordinator, reader, peer_reader)
    membership = trial.memberships.get(user=reader)
    before = list(membership.assignments.values_list("token", flat=True))
    with pytest.raises(UserError, match="needs a reason"):
        services.remove(membership, actor=coordinator)
    services.remove(membership, actor=coordinator, reason="moved away")
    with pytest.raises(Conflict, match="removed before"):
        services.remove(membership, actor=coordinator, reason="again")
    with pytest.raises(UserError, match="was reader R01 of this trial and was removed"):
        services.add_reader(trial, email=reader.email, actor=coordinator)
    back = services.restore_reader(membership, actor=coordinator)
    assert list(back.assignments.values_list("token", flat=True)) == before
    with pytest.raises(Conflict, match="reads this trial already"):
        services.restore_reader(membership, actor=coordinator)


def test_new_link_only_for_who_has_no_password(coordinator: Any, reader: Any) -> None:
    trial = world.drafted(coordinator)
    new = services.add_reader(trial, email="dora@example.org", actor=coordinator)
    assert services.renew_invitation(new.membership, actor=coordinator) != new.invitation
    old = services.add_reader(trial, email=reader.email, actor=coordinator)
    with pytest.raises(Conflict, match="has set a password already"):
        services.renew_invitation(old.membership, actor=coordinator)


# ------------------------------------------------------------------------------------ the orders
def test_orders_are_stored_with_fresh_tokens(
    coordinator: Any, reader: Any, peer_reader: Any
) -> None:
    trial = world.prepared(coordinator, readers=(reader, peer_reader))
    rows = Assignment.objects.filter(trial=trial)
    assert rows.count() == 2 * (2 + 7 + 1)
    tokens = set(rows.values_list("token", flat=True))
    # A7: unique per reader x case x repeat, at least 128 bits.
    assert len(tokens) == rows.count()
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", token) for token in tokens)
    for member in trial.memberships.filter(role="reader"):
        phases = list(member.assignments.order_by("position").values_list("phase", flat=True))
        assert phases == ["practice"] * 2 + ["main"] * 8
    summary = selectors.allocation_summary(trial)
    assert summary.neighbours == 0
    assert summary.shortest_gap is not None
    assert summary.shortest_gap >= 3


def test_D1_making_the_orders_again_gives_the_same_orders(coordinator: Any, reader: Any) -> None:
    trial = world.prepared(coordinator, readers=(reader,))
    before = selectors.stored_orders(trial)
    digest = trial.allocation_sha256
    services.allocate(trial, actor=coordinator)
    trial.refresh_from_db()
    assert selectors.stored_orders(trial) == before
    assert trial.allocation_sha256 == digest


def test_orders_need_cases_and_readers(coordinator: Any, reader: Any) -> None:
    world.stock()
    trial = world.drafted(coordinator)
    with pytest.raises(NotReady, match="no prepared cases"):
        services.allocate(trial, actor=coordinator)
    services.choose_cases(trial, actor=coordinator)
    prepare(trial, actor=coordinator)
    with pytest.raises(NotReady, match="no reader"):
        services.allocate(trial, actor=coordinator)
    # D4: one patient everywhere.
    services.add_reader(trial, email=reader.email, actor=coordinator)
    Case.objects.filter(trial=trial).update(patient_key="P-1")
    with pytest.raises(InfeasibleDesign, match="Patient P-1 has 7 of the 7 main cases"):
        services.allocate(trial, actor=coordinator)
    assert not Assignment.objects.exists()


def test_a_reader_who_joins_a_running_trial_gets_an_order_at_once(
    coordinator: Any, reader: Any, peer_reader: Any
) -> None:
    trial = world.opened(coordinator, reader)
    first = selectors.stored_orders(trial)
    digest = trial.allocation_sha256
    added = services.add_reader(trial, email=peer_reader.email, actor=coordinator)
    assert added.membership.assignments.count() == 10
    trial.refresh_from_db()
    assert trial.allocation_sha256 != digest
    assert selectors.stored_orders(trial)["R01"] == first["R01"]


def test_a_closed_trial_takes_no_reader(coordinator: Any, reader: Any, peer_reader: Any) -> None:
    trial = world.in_state("closed", coordinator, reader)
    with pytest.raises(WrongState, match="The trial is closed, so it cannot be given a reader"):
        services.add_reader(trial, email=peer_reader.email, actor=coordinator)


def test_many_orders_are_made_by_a_worker(
    coordinator: Any, reader: Any, run_jobs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = world.prepared(coordinator, readers=(reader,))
    digest = trial.allocation_sha256
    monkeypatch.setattr("readerstudy.trials.services.orders.AT_ONCE", 5)
    job = services.request_allocation(trial, actor=coordinator)
    assert job is not None
    with pytest.raises(Conflict, match="being made already"):
        services.request_allocation(trial, actor=coordinator)
    (ended,) = run_jobs()
    assert (ended.state, ended.result) == ("done", {"positions": 10})
    trial.refresh_from_db()
    assert trial.allocation_sha256 == digest


def test_a_reader_added_while_orders_are_made_is_noticed(
    coordinator: Any, reader: Any, peer_reader: Any
) -> None:
    trial = world.prepared(coordinator, readers=(reader,))

    def join(done: int, total: int, message: str = "") -> None:
        if done == 0:
            services.add_reader(trial, email=peer_reader.email, actor=coordinator)

    with pytest.raises(Conflict, match="changed while the orders were made"):
        services.allocate(trial, actor=coordinator, report=join)


# --------------------------------------------------------------------------------------- logging
def test_L5_every_write_of_the_road_logs_one_event(coordinator: Any, reader: Any) -> None:
    world.stock()
    trial = world.drafted(coordinator)
    services.choose_cases(trial, actor=coordinator)
    prepare(trial, actor=coordinator)
    services.add_reader(trial, email=reader.email, actor=coordinator)
    services.allocate(trial, actor=coordinator)
    actions.open_trial(trial, actor=coordinator)
    assert events(trial) == [
        "trials.created",
        "trials.protocol_saved",
        "trials.cases_drawn",
        "trials.cases_prepared",
        "trials.reader_added",
        "trials.allocated",
        "trials.opened",
    ]


def test_T12_the_trials_chain_holds_no_truth(coordinator: Any, reader: Any) -> None:
    trial = world.opened(coordinator, reader)
    text = str(list(AuditEvent.objects.filter(chain="trial:liver").values_list("data", flat=True)))
    for row in CaseTruth.objects.filter(case__trial=trial):
        assert str(row.candidate) not in text
    assert "textural" not in text
    assert trial.truth_salt not in text
    assert not Selection.objects.exists()
