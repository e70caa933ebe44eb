"""A reader's way through a trial: every address leads to the step the reader is at."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from readerstudy.audit.models import AuditEvent
from readerstudy.reading.models import Consent, Judgment, Sitting
from readerstudy.trials.models import Membership
from tests.reading.world import Desk, build, set_protocol

pytestmark = pytest.mark.django_db


def step(client, slug="liver"):
    """Where /read/<slug>/ leads to in the end."""
    response = client.get(f"/read/{slug}/", follow=True)
    path = response.request["PATH_INFO"]
    return path.removeprefix(f"/read/{slug}/").strip("/"), response


@pytest.fixture(autouse=True)
def built_viewer(viewer_dist):
    """The reading page names the files of the built viewer."""


def test_the_whole_way_from_instructions_to_done(world, reader, client_for):
    client = client_for(reader)
    desk = Desk(client)
    where, page = step(client)
    assert where == "instructions"
    assert b"Is the marked tumor real or synthetic?" in page.content
    assert b"How many of each there are is not disclosed." in page.content
    desk.consent()
    where, page = step(client)
    assert where == "case" and b'id="viewer-config"' in page.content
    for _ in range(2):
        after = desk.answer()
    assert after["state"] == "practice_done"
    assert after["redirect"] == "/read/liver/practice-done/"
    assert step(client)[0] == "practice-done"
    assert desk.go_on().headers["Location"] == "/read/liver/case/"
    for _ in range(4):
        after = desk.answer()
    assert (after["state"], after["answered"], after["total"]) == ("done", 4, 4)
    where, page = step(client)
    assert where == "done" and b"Thank you" in page.content
    assert Judgment.objects.count() == 6


def test_consent_needs_the_tick_and_stores_the_hash_of_the_text_once(world, reader, client_for):
    client = client_for(reader)
    page = client.post("/read/liver/consent/", {"text_sha256": "x"})
    assert page.status_code == 400 and b"Tick the box" in page.content
    assert not Consent.objects.exists()
    Desk(client).consent()
    consent = Consent.objects.get()
    assert len(consent.text_sha256) == 64
    assert AuditEvent.objects.filter(action="reading.consented").count() == 1


def test_consent_to_a_text_that_has_changed_meanwhile_is_refused(world, reader, client_for):
    client = client_for(reader)
    shown = client.get("/read/liver/consent/").context["text_sha256"]
    wording = world.trial.active_protocol.document["wording"] | {"consent": "Another text."}
    set_protocol(world.trial, wording=wording)
    response = client.post("/read/liver/consent/", {"agree": "yes", "text_sha256": shown})
    assert response.status_code == 409 and b"has changed" in response.content
    assert not Consent.objects.exists()


def test_R10_a_changed_consent_text_asks_again_and_serves_nothing_before(desk, world):
    desk.answer()
    wording = world.trial.active_protocol.document["wording"] | {"consent": "Another text."}
    set_protocol(world.trial, wording=wording)
    worklist = desk.worklist()
    assert worklist["state"] == "consent" and worklist["current"] is None
    assert worklist["redirect"] == "/read/liver/instructions/"
    assert step(desk.client)[0] == "instructions"
    assert b"has changed since" in desk.client.get("/read/liver/consent/").content
    desk.consent()
    assert desk.worklist()["answered"] == 1


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("draft", b"Not open yet"),
        ("paused", b"The trial is paused"),
        ("closed", b"The trial is closed"),
        ("unblinded", b"The trial is closed"),
    ],
)
def test_R10_a_trial_that_is_not_open_gives_a_page_and_no_case(desk, world, state, words):
    token = desk.worklist()["current"]["token"]
    world.set_state(state)
    where, page = step(desk.client)
    assert (where, page.status_code) == ("", 200) and words in page.content
    for name in ("case", "pause", "instructions", "consent", "break", "practice-done", "done"):
        response = desk.client.get(f"/read/liver/{name}/")
        assert (response.status_code, response["Location"]) == (302, "/read/liver/")
    worklist = desk.worklist()
    assert worklist["current"] is None and worklist["ahead"] is None
    assert worklist["redirect"] == "/read/liver/"
    response = desk.post(token)
    assert response.status_code == 403 and response.json()["detail"].startswith("The trial")
    assert desk.draft(token, {"rating": 3}).status_code == 403
    assert not Judgment.objects.exists()


def test_R10_A4_who_has_left_the_trial_gets_a_page_that_says_so(desk, world, reader):
    token = desk.worklist()["current"]["token"]
    Membership.objects.filter(user=reader).update(valid_to=timezone.now())
    for name in ("", "case/", "instructions/", "pause/"):
        page = desk.client.get(f"/read/liver/{name}")
        assert page.status_code == 403 and b"You no longer take part" in page.content
    assert desk.client.get(f"{desk.api}/worklist").status_code == 403
    assert desk.post(token).status_code == 403
    assert not Judgment.objects.exists()


def test_the_pause_page_names_the_case_one_goes_on_at(desk):
    desk.answer()
    page = desk.client.get("/read/liver/pause/")
    assert b"practice case 2 of 2" in page.content
    assert step(desk.client)[0] == "case"


def test_resume_on_another_computer_at_the_same_case_with_the_draft(desk, reader, client_for):
    desk.answer()
    token = desk.worklist()["current"]["token"]
    assert desk.draft(token, {"rating": 5, "comment": "edge"}).status_code == 204
    elsewhere = Desk(client_for(reader)).worklist()["current"]
    assert elsewhere["token"] == token
    assert elsewhere["draft"] == {"rating": 5, "comment": "edge"}


def test_S11_no_text_of_the_protocol_becomes_markup(reader, client_for):
    evil = "</script><script>alert(1)</script>\"'><img src=x>"
    world = build([reader], practice=0, main=1, question=evil)
    wording = world.trial.active_protocol.document["wording"]
    set_protocol(world.trial, question=evil, wording=dict.fromkeys(wording, evil))
    client = client_for(reader)
    pages = [client.get(f"/read/liver/{name}/").content for name in ("instructions", "consent")]
    desk = Desk(client)
    desk.consent()
    desk.draft(desk.worklist()["current"]["token"], {"comment": evil})
    pages += [client.get("/read/liver/case/").content, client.get("/").content]
    for page in pages:
        assert b"<script>alert" not in page and b"<img src=x" not in page
    assert b"\\u003Cscript\\u003Ealert" in pages[2]


def test_a_trial_without_practice_starts_with_the_main_cases(reader, client_for):
    build([reader], practice=0, main=2)
    desk = Desk(client_for(reader))
    desk.consent()
    assert desk.worklist()["phase"] == "main"
    assert step(desk.client)[0] == "case"


def test_an_open_trial_whose_order_is_not_dealt_yet_waits(reader, client_for):
    world = build([reader], practice=0, main=1)
    world.member(reader).assignments.all().delete()
    desk = Desk(client_for(reader))
    desk.consent()
    assert desk.worklist()["state"] == "paused"
    assert b"Not open yet" in desk.client.get("/read/liver/").content


class TestBreaks:
    SESSIONS = {"cases_per_session": 2, "break_minutes": 10, "minutes_per_case": 3}

    @pytest.fixture
    def desk(self, reader, client_for):
        build([reader], practice=0, main=6, sessions=self.SESSIONS)
        desk = Desk(client_for(reader))
        desk.consent()
        return desk

    def test_a_break_is_suggested_after_the_protocols_number_of_cases(self, desk):
        first = desk.worklist()
        assert first["ahead"] is not None
        second = desk.answer()
        assert second["state"] == "reading"
        assert second["ahead"] is None, "no case is prefetched across a break"
        third = desk.answer()
        assert (third["state"], third["current"]) == ("break", None)
        where, page = step(desk.client)
        assert where == "break" and b"about 10 min" in page.content

    def test_going_on_is_the_readers_choice_and_starts_another_sitting(self, desk):
        desk.answer()
        desk.answer()
        desk.go_on()
        worklist = desk.worklist()
        assert (worklist["state"], worklist["answered"]) == ("reading", 2)
        assert Sitting.objects.count() == 2
        desk.go_on()
        assert Sitting.objects.count() == 2, "going on twice is going on once"

    def test_a_break_ends_by_itself_after_its_length(self, desk):
        desk.answer()
        desk.answer()
        past = timezone.now() - timedelta(minutes=11)
        Sitting.objects.update(break_due_at=past, last_at=past)
        assert desk.worklist()["state"] == "reading"
        assert desk.answer()["state"] == "reading"
        assert Sitting.objects.count() == 2

    def test_who_comes_back_after_a_long_absence_starts_another_sitting(self, desk):
        desk.answer()
        Sitting.objects.update(last_at=timezone.now() - timedelta(hours=2))
        assert desk.answer()["state"] == "reading"
        assert [s.answers for s in Sitting.objects.order_by("pk")] == [1, 1]

    def test_answers_under_way_when_the_break_begins_are_stored(self, desk):
        desk.answer()
        token = desk.worklist()["current"]["token"]
        assert desk.post(token).json()["worklist"]["state"] == "break"
        assert desk.post(token, rating=1).status_code == 409

    def test_no_break_where_the_protocol_wants_none(self, reader, client_for, db):
        build(
            [reader],
            practice=0,
            main=6,
            slug="other",
            sessions=self.SESSIONS | {"break_minutes": 0},
        )
        desk = Desk(client_for(reader), "other")
        desk.consent()
        states = [desk.answer()["state"] for _ in range(6)]
        assert states == ["reading"] * 5 + ["done"]


class TestHome:
    def entry(self, client):
        return client.get("/").context["reading"][0]

    def test_it_says_what_to_do_how_far_and_how_long(self, world, reader, client_for):
        client = client_for(reader)
        page = client.get("/").content.decode()
        assert "Read the instructions" in page and "0 of 6 cases" in page and "18 min left" in page
        desk = Desk(client)
        desk.consent()
        desk.read_practice()
        page = client.get("/").content.decode()
        assert "You stopped at case 1 of 4" in page and "2 of 6 cases" in page

    def test_the_estimate_follows_the_readers_own_pace(self, desk):
        desk.read_practice()
        for _ in range(3):
            desk.answer()
        # Five answers of 4 s of activity each: one case left is 4 s.
        assert self.entry(desk.client).seconds_left == pytest.approx(4)

    def test_trials_with_something_to_do_come_first(self, desk, reader):
        other = build([reader], practice=0, main=1, slug="other")
        other.set_state("closed")
        entries = desk.client.get("/").context["reading"]
        assert [entry.to_do for entry in entries] == [True, False]
