"""Frames: what a token opens, for whom, for how long, and with which headers."""

from __future__ import annotations

import re
import time
from urllib.parse import unquote

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from readerstudy.cases.codec import decode_frame
from readerstudy.reading import frames
from readerstudy.reading.frames import CONTENT_TYPE, Grant, Grants, frame_token, grants
from readerstudy.trials.models import Membership
from tests.reading.world import BUCKET, FRAMES, Desk, build, pixels, set_protocol

pytestmark = pytest.mark.django_db


def frames_url(desk, which="current"):
    return desk.worklist()[which]["frames"]["url"]


def test_every_frame_decodes_to_the_source_hu(reader, client_for):
    hu = pixels(3)
    build([reader], practice=0, main=1, hu=hu)
    desk = Desk(client_for(reader))
    desk.consent()
    case = desk.worklist()["current"]
    for k in range(case["frames"]["count"]):
        body = desk.client.get(f"{case['frames']['url']}{k}").content
        assert np.array_equal(decode_frame(body), hu[k])


def test_T8_the_headers_of_a_frame_are_these_and_no_others(desk):
    response = desk.client.get(frames_url(desk) + "0")
    assert response.status_code == 200 and len(response.content) == BUCKET
    own = {
        "Content-Type": CONTENT_TYPE,
        "Content-Length": str(BUCKET),
        "Cache-Control": "private, max-age=7200, immutable",
    }
    assert {name: response[name] for name in own} == own
    for name in ("ETag", "Last-Modified", "Vary", "Content-Encoding", "Set-Cookie", "Age",
                 "Content-Disposition", "Server-Timing", "Expires", "Accept-Ranges"):  # fmt: skip
        assert name not in response.headers


def test_head_answers_as_get_and_other_methods_are_refused(desk):
    url = frames_url(desk) + "0"
    get, head = desk.client.get(url), desk.client.head(url)
    assert head.status_code == 200 and dict(head.headers) == dict(get.headers)
    for method in ("post", "put", "delete", "patch"):
        assert getattr(desk.client, method)(url).status_code == 405


def test_a_known_frame_costs_no_query(desk):
    url = frames_url(desk)
    desk.client.get(url + "0")
    with CaptureQueriesContext(connection) as queries:
        for k in range(FRAMES):
            assert desk.client.get(f"{url}{k}").status_code == 200
    assert len(queries) == 0


def test_the_case_ahead_and_one_just_answered_may_be_fetched(desk):
    worklist = desk.worklist()
    assert desk.client.get(worklist["ahead"]["frames"]["url"] + "0").status_code == 200
    desk.answer()
    grants.clear()
    assert desk.client.get(worklist["current"]["frames"]["url"] + "0").status_code == 200


def test_a_case_that_was_not_handed_out_cannot_be_fetched(desk, world, reader):
    later = world.assignments(reader)[3]
    response = desk.client.get(f"/api/reading/frames/{frame_token(later.token)}/0")
    assert response.status_code == 404


class TestRefusals:
    """All look the same, whatever the reason."""

    @pytest.fixture
    def refused(self, desk):
        response = desk.client.get("/api/reading/frames/nonsense/0")
        assert response.status_code == 404
        return response

    def same(self, response, refused):
        assert response.status_code == 404
        assert response.content == refused.content
        assert dict(response.headers) == dict(refused.headers)

    def test_A2_another_reader_another_role_and_nobody(
        self, desk, refused, client_for, peer_reader, coordinator, nobody
    ):
        url = frames_url(desk) + "0"
        for user in (peer_reader, coordinator, nobody, None):
            self.same(client_for(user).get(url), refused)

    def test_a_changed_and_an_expired_token(self, desk, refused, monkeypatch):
        url = frames_url(desk)
        token = unquote(url.rstrip("/").rsplit("/", 1)[1])
        changed = ("A" if token[0] != "A" else "B") + token[1:]
        self.same(desk.client.get(f"/api/reading/frames/{changed}/0"), refused)
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 7201)
        self.same(desk.client.get(url + "0"), refused)

    def test_a_frame_that_is_not_there(self, desk, refused):
        url = frames_url(desk)
        self.same(desk.client.get(f"{url}{FRAMES}"), refused)
        self.same(desk.client.get(f"{url}99999999999999"), refused)

    def test_R10_a_pause_a_withdrawal_and_a_new_consent_text_end_it(
        self, desk, refused, world, reader
    ):
        url = frames_url(desk) + "0"
        world.set_state("paused")
        self.same(desk.client.get(url), refused)
        world.set_state("open")
        assert desk.client.get(url).status_code == 200
        grants.clear()
        wording = world.trial.active_protocol.document["wording"] | {"consent": "Another text."}
        set_protocol(world.trial, wording=wording)
        self.same(desk.client.get(url), refused)
        desk.consent()
        assert desk.client.get(url).status_code == 200
        grants.clear()
        Membership.objects.filter(user=reader).update(valid_to=timezone.now())
        self.same(desk.client.get(url), refused)

    def test_a_signed_out_browser_is_refused_though_its_old_cookie_is_sent(self, desk, refused):
        url = frames_url(desk) + "0"
        cookie = desk.client.cookies["sessionid"].value
        desk.client.logout()
        desk.client.cookies["sessionid"] = cookie
        self.same(desk.client.get(url), refused)

    def test_a_grant_ends_after_half_a_minute(self, desk, refused, world, monkeypatch):
        url = frames_url(desk) + "0"
        assert desk.client.get(url).status_code == 200
        world.set_state("paused")
        assert desk.client.get(url).status_code == 200
        now = time.monotonic()
        monkeypatch.setattr(frames.time, "monotonic", lambda: now + frames.GRANT_SECONDS + 1)
        self.same(desk.client.get(url), refused)


class TestTokens:
    def test_A7_a_token_names_the_readers_own_case_and_nothing_else(self, desk, world, reader):
        assignment = world.assignments(reader)[0]
        token = unquote(frames_url(desk).rstrip("/").rsplit("/", 1)[1])
        assert re.fullmatch(r"[\w-]{22,}:[0-9A-Za-z]{6}:[\w-]{43}", token)
        assert token.split(":")[0] == assignment.token
        for hidden in (assignment.case.rendition_id, assignment.case_id, reader.pk):
            assert str(hidden).replace("-", "") not in (token.replace("-", ""), *token.split(":"))

    def test_two_readers_of_one_case_have_nothing_in_common(
        self, desk, world, peer_reader, client_for
    ):
        peer = Desk(client_for(peer_reader))
        peer.consent()
        mine, theirs = (frames_url(d).rsplit("/", 2)[1].split(":") for d in (desk, peer))
        assert mine[0] != theirs[0] and mine[2] != theirs[2]

    def test_a_reload_gets_the_same_addresses_so_that_the_browser_finds_its_cache(
        self, desk, monkeypatch
    ):
        start = 1_800_000_000 - 1_800_000_000 % 900
        monkeypatch.setattr(time, "time", lambda: start + 1)
        first = frames_url(desk)
        monkeypatch.setattr(time, "time", lambda: start + 899)
        assert frames_url(desk) == first
        monkeypatch.setattr(time, "time", lambda: start + 901)
        assert frames_url(desk) != first


def test_grants_are_bounded_and_the_least_used_goes_first():
    box = Grants(size=2)
    for name in "ab":
        box.put(("s", name), Grant(None, 1, time.monotonic() + 9))
    box.get(("s", "a"))
    box.put(("s", "c"), Grant(None, 1, time.monotonic() + 9))
    assert len(box) == 2
    assert box.get(("s", "b")) is None and box.get(("s", "a")) is not None
