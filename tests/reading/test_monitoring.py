"""What a coordinator sees of a running trial: progress and data quality, never an answer."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from readerstudy.reading.models import Reading
from readerstudy.reading.monitoring import rows
from readerstudy.trials.models import Membership
from tests.reading.world import CLIENT, Desk, build

pytestmark = pytest.mark.django_db


def row(world, user):
    return next(r for r in rows(world.trial) if r.code == world.member(user).code)


def test_one_row_a_reader_with_progress_pace_and_consent(world, desk, reader, peer_reader):
    desk.read_practice()
    for active in (2500, 4500, 20_000):
        desk.answer(client=CLIENT | {"active_ms": active, "elapsed_ms": active})
    alice, bob = row(world, reader), row(world, peer_reader)
    assert (alice.practice_answered, alice.practice_total) == (2, 2)
    assert (alice.answered, alice.total, alice.consented) == (3, 4, True)
    assert alice.median_seconds == 4.5 and alice.just_now
    assert (bob.answered, bob.consented, bob.last_active, bob.median_seconds) == (
        0,
        False,
        None,
        None,
    )


def test_alarms_are_counted_and_explained(world, desk, reader):
    desk.read_practice()
    desk.answer(client=CLIENT | {"active_ms": 900})
    desk.answer(client=CLIENT | {"active_ms": 900, "slices_seen": []})
    found = {alarm.words: alarm.number for alarm in row(world, reader).alarms}
    assert found == {"under 2 s": 2, "few slices": 1}
    assert all(alarm.meaning.endswith(".") for alarm in row(world, reader).alarms)


@pytest.mark.parametrize(
    ("ratings", "alarm"),
    [([4] * 12, 12), ([4] * 11 + [1], 11), ([4, 1] * 6, None), ([4] * 9, None)],
)
def test_the_same_answer_again_and_again_is_an_alarm(reader, client_for, ratings, alarm):
    world = build([reader], practice=0, main=12)
    desk = Desk(client_for(reader))
    desk.consent()
    for rating in ratings:
        desk.answer(rating)
    found = {a.words: a.number for a in row(world, reader).alarms}
    assert found.get("the same answer") == alarm


def test_practice_raises_no_alarm(world, desk, reader):
    desk.answer(client=CLIENT | {"active_ms": 100})
    assert row(world, reader).alarms == []


def test_the_page_says_when_a_reader_was_last_there_and_who_has_left(
    world, desk, reader, peer_reader, coordinator, client_for
):
    desk.read_practice()
    desk.answer(client=CLIENT | {"active_ms": 900})
    client = client_for(coordinator)
    page = client.get("/trials/liver/progress/").content.decode()
    assert "just now" in page and "1 × under 2 s" in page
    Reading.objects.update(last_seen_at=timezone.now() - timedelta(days=3))
    Membership.objects.filter(user=peer_reader).update(valid_to=timezone.now())
    page = client.get("/trials/liver/progress/").content.decode()
    assert "3\xa0days ago" in page and "never" in page and "ended" in page
    assert "possibly synthetic" not in page.lower()


def test_a_trial_without_readers_says_what_to_do(coordinator, client_for):
    build([], coordinator=coordinator)
    assert b"No readers yet" in client_for(coordinator).get("/trials/liver/progress/").content


def test_the_queries_do_not_grow_with_readers_and_cases(reader, peer_reader, client_for):
    small = build([reader], practice=0, main=2, slug="small")
    large = build([reader, peer_reader], practice=2, main=8, slug="large")
    counts = []
    for world in (small, large):
        with CaptureQueriesContext(connection) as queries:
            rows(world.trial)
        counts.append(len(queries))
    assert counts[0] == counts[1]
