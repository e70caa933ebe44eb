"""R-rows of the API: answers are stored once, in order, whatever the browser and the clock do."""

from __future__ import annotations

import json
import threading
import time
import uuid
from datetime import timedelta

import pytest
from django.db import connection, connections, transaction
from django.utils import timezone

from readerstudy.audit.models import AuditEvent
from readerstudy.reading.models import Judgment, Reading
from readerstudy.reading.services import answer_digest
from readerstudy.trials.models import Assignment
from tests.reading.world import CLIENT, Desk, build

pytestmark = pytest.mark.django_db


def events(action: str) -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(action=action).order_by("seq"))


class TestStoring:
    def test_an_answer_keeps_what_was_decided_and_how(self, desk):
        token = desk.worklist()["current"]["token"]
        response = desk.post(token, 5, comment="hard edge", cues=["Margin", "Shape"])
        assert response.status_code == 200 and response.json()["status"] == "stored"
        stored = Judgment.objects.get()
        assert (stored.rating, stored.verdict, stored.confidence) == (5, "synthetic", 2)
        assert (stored.comment, stored.cues) == ("hard edge", ["Margin", "Shape"])
        assert (stored.client_elapsed_ms, stored.client_active_ms) == (4200, 4000)
        assert stored.client_load_ms == 800 and stored.backend == "cpu"
        assert stored.slices_seen == [0, 1, 2, 3]
        assert stored.windows_used == [{"name": "Liver", "center": 60, "width": 160}]
        assert stored.screen["canvas"] == [900, 900]
        assert stored.viewing == {"zoom": 1.5, "hidden_ms": 0, "frame_errors": []}
        assert stored.client_clock["submitted_at"] == "2026-11-21T08:00:05Z"
        assert stored.server_first_served_at <= stored.server_received_at
        assert stored.flags == []

    @pytest.mark.parametrize(
        ("rating", "verdict", "confidence"),
        [(1, "real", 3), (2, "real", 2), (3, "real", 1),
         (4, "synthetic", 1), (5, "synthetic", 2), (6, "synthetic", 3)],
    )  # fmt: skip
    def test_the_side_is_forced_and_confidence_falls_to_the_middle(
        self, desk, rating, verdict, confidence
    ):
        desk.answer(rating)
        stored = Judgment.objects.get()
        assert (stored.verdict, stored.confidence) == (verdict, confidence)

    @pytest.mark.parametrize("rating", [0, 7, -1, 3.5, "many", None, True])
    def test_a_rating_off_the_scale_is_refused_in_one_sentence(self, desk, rating):
        response = desk.post(desk.worklist()["current"]["token"], rating)
        assert response.status_code == 422
        assert response.json()["detail"].startswith("The field rating is not valid")
        assert not Judgment.objects.exists()

    def test_L5_one_event_an_answer_in_the_same_transaction_without_the_rating(
        self, desk, monkeypatch
    ):
        token = desk.worklist()["current"]["token"]
        desk.post(token, 5)
        (event,) = events("reading.judged")
        stored = Judgment.objects.get()
        assert event.data["reader"] == "R01" and event.data["position"] == 1
        assert event.data["answer_sha256"] == answer_digest(stored)
        assert "rating" not in event.data and stored.verdict not in json.dumps(event.data)

        from readerstudy.reading import services

        def broken(*args, **kwargs):
            raise RuntimeError

        monkeypatch.setattr(services, "record", broken)
        desk.client.raise_request_exception = False
        following = Assignment.objects.filter(membership__code="R01").order_by("position")[1]
        assert desk.post(following.token).status_code == 500
        assert Judgment.objects.count() == 1


class TestOnce:
    def test_R1_the_same_answer_twice_is_one_judgment_and_the_same_response(self, desk):
        token, same = desk.worklist()["current"]["token"], uuid.uuid4()
        first = desk.post(token, 5, client_uuid=same)
        again = desk.post(token, 5, client_uuid=same)
        assert first.status_code == again.status_code == 200
        assert first.content == again.content
        assert Judgment.objects.count() == 1 and len(events("reading.judged")) == 1

    def test_R1_a_resent_answer_is_confirmed_even_when_the_trial_is_paused_by_then(
        self, desk, world
    ):
        token, same = desk.worklist()["current"]["token"], uuid.uuid4()
        desk.post(token, 5, client_uuid=same)
        world.set_state("paused")
        response = desk.post(token, 5, client_uuid=same)
        assert response.status_code == 200
        assert response.json()["worklist"]["state"] == "paused"

    def test_R2_another_answer_for_an_answered_case_gets_the_stored_one(self, desk):
        token = desk.worklist()["current"]["token"]
        desk.post(token, 5)
        response = desk.post(token, 2)
        assert response.status_code == 409
        assert response.json()["stored"] == {"rating": 5}
        assert "has an answer already" in response.json()["detail"]
        assert Judgment.objects.get().rating == 5

    def test_an_identifier_used_by_another_reader_tells_nothing_about_their_answer(
        self, desk, world, peer_reader, client_for
    ):
        same = uuid.uuid4()
        desk.answer(6, client_uuid=same)
        peer = Desk(client_for(peer_reader))
        peer.consent()
        response = peer.post(peer.worklist()["current"]["token"], client_uuid=same)
        assert response.status_code == 409 and response.json()["stored"] is None
        assert Judgment.objects.count() == 1


@pytest.mark.django_db(transaction=True)
class TestConcurrently:
    """Several threads with connections of their own, on SQLite or PostgreSQL."""

    def together(self, *acts):
        results = [None] * len(acts)
        barrier = threading.Barrier(len(acts))

        def run(index, act):
            barrier.wait()
            try:
                results[index] = act()
            finally:
                connections.close_all()

        threads = [threading.Thread(target=run, args=pair) for pair in enumerate(acts)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        return results

    def test_R1_the_same_answer_from_two_threads_is_stored_once(self, desk, reader, client_for):
        token, same = desk.worklist()["current"]["token"], uuid.uuid4()
        desks = [Desk(client_for(reader)) for _ in range(4)]
        for each in desks:
            each.worklist()
        responses = self.together(
            *[lambda each=each: each.post(token, 5, client_uuid=same) for each in desks]
        )
        assert [response.status_code for response in responses] == [200] * 4
        assert len({response.content for response in responses}) == 1
        assert Judgment.objects.count() == 1 and len(events("reading.judged")) == 1

    def test_R2_two_different_answers_at_once_leave_one_and_tell_the_other(
        self, desk, reader, client_for
    ):
        token = desk.worklist()["current"]["token"]
        desks = [Desk(client_for(reader)) for _ in range(2)]
        for each in desks:
            each.worklist()
        responses = self.together(lambda: desks[0].post(token, 1), lambda: desks[1].post(token, 6))
        assert sorted(response.status_code for response in responses) == [200, 409]
        refused = next(r for r in responses if r.status_code == 409)
        assert refused.json()["stored"] == {"rating": Judgment.objects.get().rating}

    def test_R4_an_answer_waits_for_a_write_lock_of_two_seconds(self, desk):
        if connection.vendor != "sqlite":
            pytest.skip("PostgreSQL has no lock of the whole database")
        token = desk.worklist()["current"]["token"]
        locked, done = threading.Event(), threading.Event()

        def hold():
            with transaction.atomic():
                Reading.objects.update(served_count=1)
                locked.set()
                time.sleep(2)
            done.set()
            connections.close_all()

        holder = threading.Thread(target=hold)
        holder.start()
        assert locked.wait(10)
        response = desk.post(token, 5)
        assert done.is_set(), "the answer came back before the lock was released"
        holder.join()
        assert response.status_code == 200 and Judgment.objects.count() == 1

    def test_R4_a_lock_that_stays_gives_503_and_the_same_answer_succeeds_later(self, desk):
        if connection.vendor != "sqlite":
            pytest.skip("PostgreSQL has no lock of the whole database")
        token, same = desk.worklist()["current"]["token"], uuid.uuid4()
        release, locked = threading.Event(), threading.Event()

        def hold():
            with transaction.atomic():
                Reading.objects.update(served_count=1)
                locked.set()
                release.wait(20)
            connections.close_all()

        holder = threading.Thread(target=hold)
        holder.start()
        assert locked.wait(10)
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout = 200")
        try:
            response = desk.post(token, 5, client_uuid=same)
        finally:
            release.set()
            holder.join()
        assert response.status_code == 503
        assert response.headers["Retry-After"] == "1"
        assert "busy" in response.json()["detail"]
        assert desk.post(token, 5, client_uuid=same).status_code == 200
        assert Judgment.objects.count() == 1

    def test_R10_an_answer_that_is_being_written_when_the_trial_closes_is_undone(
        self, desk, world, monkeypatch
    ):
        if connection.vendor == "sqlite":
            pytest.skip("SQLite has one writer at a time: the closing waits for the answer")
        from readerstudy.reading import services

        token = desk.worklist()["current"]["token"]
        honest = services.record

        def close() -> None:
            with transaction.atomic():
                world.set_state("closed")
                honest(None, "trials.closed", world.trial, chain="trial:liver")
            connections.close_all()

        def closing_first(*args, **kwargs):
            closer = threading.Thread(target=close)
            closer.start()
            closer.join(20)
            return honest(*args, **kwargs)

        monkeypatch.setattr(services, "record", closing_first)
        response = desk.post(token)
        assert response.status_code == 403 and "closed" in response.json()["detail"]
        assert not Judgment.objects.exists() and not events("reading.judged")


class TestOrder:
    def test_only_the_current_case_and_the_one_ahead_are_handed_out(self, desk, world, reader):
        tokens = [assignment.token for assignment in world.assignments(reader)]
        body = desk.client.get(f"{desk.api}/worklist").content.decode()
        assert [token for token in tokens if token in body] == tokens[:2]

    def test_the_case_ahead_cannot_be_answered_before_the_current_one(self, desk):
        worklist = desk.worklist()
        ahead = worklist["ahead"]["token"]
        response = desk.post(ahead)
        assert response.status_code == 425
        assert not Judgment.objects.exists()
        assert desk.post(worklist["current"]["token"]).status_code == 200
        assert desk.post(ahead).status_code == 200

    def test_a_case_that_was_never_handed_out_cannot_be_answered(self, desk, world, reader):
        token = world.assignments(reader)[3].token
        assert desk.post(token).status_code == 403

    def test_A2_another_readers_case_and_a_case_that_is_not_there_look_the_same(
        self, desk, world, peer_reader
    ):
        foreign = desk.post(world.assignments(peer_reader)[0].token)
        missing = desk.post("x" * 43)
        assert foreign.status_code == missing.status_code == 403
        assert foreign.content == missing.content

    def test_nothing_of_the_main_part_is_handed_out_before_practice_is_left(self, desk):
        assert desk.answer()["ahead"] is None
        after = desk.answer()
        assert (after["state"], after["current"]) == ("practice_done", None)
        main = Assignment.objects.filter(phase="main", membership__code="R01").first()
        assert desk.post(main.token).status_code == 403

    def test_T9_the_same_next_case_after_reload_and_on_another_sign_in(
        self, desk, reader, client_for
    ):
        desk.answer()
        seen = {desk.worklist()["current"]["token"] for _ in range(3)}
        seen.add(Desk(client_for(reader)).worklist()["current"]["token"])
        assert len(seen) == 1


class TestDrafts:
    def test_a_draft_is_kept_and_gone_with_the_answer(self, desk):
        token = desk.worklist()["current"]["token"]
        draft = {"rating": 2, "comment": "?", "record": {"windows_used": [{"center": 40.5}]}}
        assert desk.draft(token, draft).status_code == 204
        assert desk.worklist()["current"]["draft"] == draft
        desk.post(token)
        assert Reading.objects.get(assignment__token=token).draft == {}

    def test_a_draft_for_a_foreign_case_is_refused(self, desk, world, peer_reader):
        assert desk.draft(world.assignments(peer_reader)[0].token, {}).status_code == 403

    @pytest.mark.parametrize(
        "draft", [None, [], "text", 5, {"a": [[[[[1]]]]]}, {"b": "\x00\ud800"}]
    )
    def test_an_odd_draft_is_no_error(self, desk, draft):
        token = desk.worklist()["current"]["token"]
        assert desk.draft(token, draft).status_code == 204
        assert isinstance(desk.worklist()["current"]["draft"], dict | None)


class TestClocks:
    """R6: the server's interval bounds the client's; nonsense is stored and flagged."""

    def stored(self, desk, **client):
        desk.answer(client=CLIENT | client)
        return Judgment.objects.latest("server_received_at")

    @pytest.mark.parametrize(
        "value", [-1, -1e18, 1e300, 10**400, "soon", [], {}, True, float("nan"), float("inf")]
    )
    def test_R6_an_absurd_time_is_flagged_and_never_fatal(self, desk, value):
        judgment = self.stored(desk, active_ms=value, elapsed_ms=value, load_ms=value)
        assert judgment.client_active_ms is None and judgment.client_elapsed_ms is None
        assert "clock_absurd" in judgment.flags

    def test_R6_more_activity_than_the_server_saw_time_for_is_flagged(self, desk):
        judgment = self.stored(desk, active_ms=3_600_000, elapsed_ms=3_600_000)
        assert judgment.client_active_ms == 3_600_000
        assert judgment.flags == ["clock_disagrees"]

    def test_the_servers_interval_covers_the_time_a_case_was_prefetched(self, desk):
        ahead = desk.worklist()["ahead"]["token"]
        hour_ago = timezone.now() - timedelta(hours=1)
        Reading.objects.filter(assignment__token=ahead).update(handed_out_at=hour_ago)
        desk.answer()
        judgment = self.stored(desk, active_ms=3_000_000, elapsed_ms=3_000_000)
        assert judgment.flags == []

    @pytest.mark.parametrize(
        ("client", "flag"),
        [
            ({"active_ms": 900}, "fast"),
            ({"slices_seen": []}, "few_slices"),
            ({"hidden_ms": 61_000}, "hidden"),
            ({"frame_errors": [{"frame": 1}]}, "frame_errors"),
            ({"windows_used": ["x"] * 5000}, "cut"),
            ({"screen": {"a": {"b": {"c": {"d": {"e": 1}}}}}}, "cut"),
            ({"elapsed_ms": 1000}, "clock_disagrees"),
        ],
    )
    def test_data_quality_flags(self, desk, client, flag):
        assert flag in self.stored(desk, **client).flags

    @pytest.mark.parametrize("client", [None, [], "x", 3, {"slices_seen": "x", "screen": 4}])
    def test_a_report_of_any_shape_does_not_cost_the_answer(self, desk, client):
        desk.answer(client=client)
        assert Judgment.objects.count() == 1

    def test_text_that_no_database_stores_is_mended(self, desk):
        desk.answer(
            comment="a\x00b\ud800c" + "x" * 9000,
            cues=["Margin\x00", 5, None, "", {"a": 1}],
            client=CLIENT | {"backend": "\x00" * 99, "ex\x00tra": "\udfff"},
        )
        stored = Judgment.objects.get()
        assert stored.comment.startswith("ab?c") and len(stored.comment) == 4000
        assert stored.cues == ["Margin"] and stored.backend == ""

    def test_the_first_time_served_stays_on_reload(self, desk):
        token = desk.worklist()["current"]["token"]
        first = Reading.objects.get(assignment__token=token).first_served_at
        desk.worklist()
        reading = Reading.objects.get(assignment__token=token)
        assert (reading.first_served_at, reading.served_count) == (first, 2)
        assert len(events("reading.served")) == 2


class TestAccess:
    ROUTES = [
        ("get", "worklist", None),
        ("put", "draft", {"token": "x", "draft": {}}),
        ("post", "judgments", {"client_uuid": str(uuid.uuid4()), "token": "x", "rating": 3}),
    ]

    def call(self, client, method, name, body, slug="liver"):
        kwargs = {"data": json.dumps(body), "content_type": "application/json"} if body else {}
        return getattr(client, method)(f"/api/reading/{slug}/{name}", **kwargs)

    @pytest.mark.parametrize(("method", "name", "body"), ROUTES)
    def test_who_is_signed_out_gets_401_in_json(self, world, client_for, method, name, body):
        response = self.call(client_for(), method, name, body)
        assert response.status_code == 401
        assert response.json() == {"detail": "Sign in to continue."}

    @pytest.mark.parametrize(("method", "name", "body"), ROUTES)
    def test_A2_outsiders_and_missing_trials_get_the_same_404(
        self, world, client_for, other_reader, coordinator, nobody, method, name, body
    ):
        missing = self.call(client_for(nobody), method, name, body, "no-such-trial")
        assert missing.status_code == 404
        for user in (other_reader, nobody, coordinator):
            response = self.call(client_for(user), method, name, body)
            assert (response.status_code, response.content) == (404, missing.content)

    @pytest.mark.parametrize(("method", "name", "body"), ROUTES[1:])
    def test_A3_a_write_without_the_csrf_token_is_refused(
        self, world, reader, client_for, method, name, body
    ):
        response = self.call(client_for(reader, csrf=True), method, name, body)
        assert response.status_code == 403
        assert "csrf" in response.json()["detail"].lower()
        client = client_for(reader, csrf=True)
        assert client.post("/read/liver/consent/", {"agree": "yes"}).status_code == 403
        assert client.post("/read/liver/continue/").status_code == 403

    def test_A7_tokens_are_random_and_of_128_bits_at_least(self, world, reader, peer_reader):
        tokens = [a.token for user in (reader, peer_reader) for a in world.assignments(user)]
        assert len(set(tokens)) == len(tokens) == 12
        # 22 characters of six bits each carry 128 bits.
        assert all(len(token) >= 22 and token.replace("-", "").replace("_", "").isalnum()
                   for token in tokens)  # fmt: skip

    def test_answers_are_never_cached(self, desk):
        response = desk.client.get(f"{desk.api}/worklist")
        assert response["Cache-Control"] == "no-store"


def test_the_queries_of_an_answer_do_not_grow_with_the_list(
    reader, peer_reader, client_for, django_assert_max_num_queries
):
    from django.test.utils import CaptureQueriesContext

    counts = []
    for slug, cases in (("short", 4), ("long", 40)):
        build([reader], practice=0, main=cases, slug=slug)
        desk = Desk(client_for(reader), slug)
        desk.consent()
        token = desk.worklist()["current"]["token"]
        with CaptureQueriesContext(connection) as queries:
            desk.post(token)
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 32
