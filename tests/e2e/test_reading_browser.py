"""A reader at a real browser before a real server process: by keyboard, through trouble."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.e2e.reader import Reader, grey

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SLICES, SIZE = 12, 512


def scan() -> np.ndarray:
    """HU (z, y, x) in which every slice and every direction is told apart."""
    z, y, x = np.mgrid[0:SLICES, 0:SIZE, 0:SIZE]
    hu = -1000 + 60 * z + 2 * (x // 4) + (y // 4)
    body = (x - 240) ** 2 / 200**2 + (y - 260) ** 2 / 160**2 < 1
    hu = np.where(body, 40 + 4 * z + (x * 7 + y * 13) % 40, hu)
    hu[:, 200:260, 150:230] += 45
    hu[:, 20:40, 20 : 20 + 60] = 900  # a mark at the top left of the picture
    return hu.astype(np.int16)


SEED = """
from readerstudy.accounts.services import create_user
from tests.conftest import PASSWORD
from tests.e2e.test_reading_browser import scan
from tests.reading.world import build
readers = [create_user(f"reader{n}@example.org", password=PASSWORD, display_name=f"Reader {n}")
           for n in range(1, 21)]
build(readers, practice=1, main=4, hu=scan(), bucket=1 << 20)
"""
DRAFTS = """
from readerstudy.reading.models import Reading
print(json.dumps([
    [row.assignment.membership.user.email, row.draft.get("rating")]
    for row in Reading.objects.filter(assignment__judgment=None)
]))
"""
ANSWERS = """
from readerstudy.reading.models import Judgment
rows = Judgment.objects.order_by("assignment__membership__code", "assignment__position")
print(json.dumps([
    {"reader": j.assignment.membership.user.email, "position": j.assignment.position,
     "rating": j.rating, "flags": j.flags, "backend": j.backend, "slices": j.slices_seen,
     "viewing": j.viewing, "active": j.client_active_ms, "load": j.client_load_ms,
     "screen": j.screen, "windows": j.windows_used, "comment": j.comment}
    for j in rows.select_related("assignment__membership__user")
]))
"""


@pytest.fixture(scope="module")
def running(site):
    """An open trial of one practice and four main cases, twenty readers, its server running."""
    site.python(SEED)
    site.start()
    return site


@pytest.fixture
def study(running):
    """The trial for one test: up, whatever the test before did to the server."""
    if not running.answers():
        running.start()
    return running


_numbers = count(1)


@pytest.fixture
def alice(study, browser):
    """Makes browsers of one reader who has not read yet, signed in."""
    email = f"reader{next(_numbers)}@example.org"
    readers = []

    def make(**options: Any) -> Reader:
        reader = Reader(browser, study, email, **options)
        readers.append(reader)
        reader.sign_in()
        return reader

    yield make
    for reader in readers:
        reader.close()


def answers(reader: Reader) -> list[dict[str, Any]]:
    """What the server has stored of a reader's answers, in reading order."""
    return [row for row in reader.site.python(ANSWERS) if row["reader"] == reader.email]


def start_main(reader: Reader) -> None:
    """Through the practice case to the first main one, by keyboard."""
    reader.give_consent()
    reader.wait("ready")
    reader.answer(3)
    reader.page.wait_for_url("**/practice-done/")
    reader.press("Enter")
    reader.page.wait_for_url("**/case/")
    reader.wait_open()


def test_R11_a_reader_reads_a_whole_trial_by_keyboard_alone(study, alice):
    reader = alice()
    start_main(reader)
    page = reader.page
    assert (reader.state("position"), reader.state("total")) == (1, 4)
    assert page.locator(".rv-progress-text").inner_text() == "1 of 4"
    # Look around: every slice, a window, zoom, back.
    reader.press("Home")
    for k in range(SLICES - 1, -1, -1):
        reader.until(lambda k=k: k in reader.state("record")["slices_seen"], f"slice {k}")
        reader.press("ArrowDown")
    reader.press("Shift+Digit2")
    assert reader.state("window")["center"] == 40
    reader.press("+", "r", "m")
    reader.wait("planes")
    reader.press("m")
    for number, rating in enumerate((1, 6, 4, 3), start=1):
        assert reader.state("position") == number
        reader.answer(rating)
    page.wait_for_url("**/done/")
    assert "Thank you" in page.locator("h1").inner_text()
    rows = answers(reader)
    assert [row["rating"] for row in rows] == [3, 1, 6, 4, 3]
    assert rows[1]["slices"] == list(range(SLICES))
    assert {"center": 40, "width": 400, "name": "Soft tissue"} in rows[1]["windows"]
    assert rows[1]["viewing"]["three_planes"] is True
    assert all(row["backend"] and row["screen"]["width"] == 1280 for row in rows)
    assert all(set(row["flags"]) <= {"fast", "few_slices"} for row in rows), rows
    assert reader.watch.complaints == []


def test_the_canvas_shows_the_source_hu_to_one_grey_level(study, alice):
    """viewer.md 7.1: one image pixel on one canvas pixel, through DICOM's linear window."""
    reader = alice(size=(1280, SIZE), allowed=("willReadFrequently",))
    start_main(reader)
    hu = scan()
    reader.press("h")  # the box is drawn beside the canvas, but who knows
    for preset, (center, width) in {1: (90, 150), 2: (40, 400), 3: (-600, 1500)}.items():
        reader.press(f"Shift+Digit{preset}")
        for key, k in (("End", 0), ("Home", SLICES - 1)):
            reader.press(key)
            reader.wait("shownSlice", k)
            assert reader.state("window")["center"] == center
            shown = settled(reader)
            left = (shown.shape[1] - SIZE) // 2
            assert shown.shape[0] == SIZE and not shown[:, : left - 1].any()
            picture = shown[:, left : left + SIZE].astype(float)
            difference = np.abs(picture - grey(hu[k], center, width))
            assert difference.max() <= 1.0, (preset, k, difference.max())
            # A neighbouring slice would not pass: the test can fail.
            neighbour = np.abs(picture - grey(hu[abs(k - 1)], center, width))
            assert neighbour.mean() > 0.4 and neighbour.max() > 1.0
    assert reader.watch.complaints == []


def settled(reader: Reader) -> np.ndarray:
    """The canvas once two looks agree."""
    before = reader.canvas()
    while True:
        reader.page.wait_for_timeout(60)
        after = reader.canvas()
        if np.array_equal(before, after):
            return after
        before = after


def test_R3_kill_9_in_mid_case_and_a_reload_keep_case_and_draft(study, alice):
    reader = alice(allowed=("Failed to load resource", "ERR_CONNECTION_REFUSED"))
    start_main(reader)
    reader.answer(5)
    reader.wait_open()
    token = reader.state("token")
    reader.press("2", "c")
    reader.page.keyboard.type("edge too sharp")
    reader.press("Escape")
    reader.page.wait_for_timeout(1500)  # a draft is sent 0.7 s after the last change
    study.kill()
    study.start()
    reader.page.reload()
    reader.wait_open()
    assert reader.state("token") == token and reader.state("rating") == 2
    assert reader.page.locator(".rv-comment").input_value() == "edge too sharp"
    reader.press("Enter")
    reader.until(lambda: reader.state("position") == 3, "the third case")
    reader.wait("unsent", 0)
    rows = answers(reader)
    assert [row["rating"] for row in rows] == [3, 5, 2]
    assert rows[2]["comment"] == "edge too sharp" and rows[2]["viewing"]["resumed"] == 1
    assert reader.watch.complaints == []


def test_R4_an_answer_given_while_the_server_is_dead_is_sent_when_it_is_back(study, alice):
    reader = alice(allowed=("Failed to load resource", "ERR_CONNECTION_REFUSED"))
    start_main(reader)
    reader.wait("aheadLoaded")
    study.kill()
    reader.answer(6)
    assert reader.state("position") == 2 and reader.state("unsent") == 1
    expect(reader.page.locator(".rv-connection")).to_contain_text("not sent yet")
    study.start()
    reader.wait("unsent", 0, seconds=45)
    assert [row["rating"] for row in answers(reader)] == [3, 6]
    assert reader.state("position") == 2
    assert reader.watch.complaints == []


def test_an_answer_in_the_queue_survives_the_closing_of_the_page(study, alice):
    reader = alice(allowed=("Failed to load resource", "ERR_CONNECTION_REFUSED"))
    start_main(reader)
    reader.wait("aheadLoaded")
    study.kill()
    reader.answer(6)
    reader.page.close()
    study.start()
    reader.page = reader.context.new_page()
    reader.open_case()
    reader.wait("unsent", 0)
    reader.wait("position", 2)
    assert [row["rating"] for row in answers(reader)] == [3, 6]


def test_offline_two_cases_are_read_and_sent_in_order_when_the_network_is_back(study, alice):
    reader = alice(allowed=("Failed to load resource", "ERR_INTERNET_DISCONNECTED"))
    start_main(reader)
    reader.wait("aheadLoaded")
    reader.context.set_offline(True)
    reader.answer(1)
    reader.answer(2)
    reader.page.get_by_text("Waiting for the connection").wait_for()
    assert reader.state("unsent") == 2 and answers(reader)[1:] == []
    reader.context.set_offline(False)
    reader.wait("unsent", 0, seconds=45)
    reader.wait("position", 3)
    assert [(row["position"], row["rating"]) for row in answers(reader)] == [(1, 3), (2, 1), (3, 2)]
    assert reader.watch.complaints == []


def test_a_lost_reply_does_not_double_the_answer(study, alice):
    """R1 in the browser: the server stored the answer, the reply never arrived."""
    reader = alice(allowed=("Failed to load resource", "ERR_FAILED"))
    start_main(reader)
    lost = []

    def lose(route: Any) -> None:
        if lost:
            route.continue_()
            return
        lost.append(route.fetch().status)
        route.abort()

    reader.page.route("**/judgments", lose)
    reader.answer(5)
    reader.wait("unsent", 0, seconds=45)
    assert lost == [200]
    assert [row["rating"] for row in answers(reader)] == [3, 5]
    assert reader.watch.complaints == []


def test_resume_at_the_same_case_in_another_browser(study, alice):
    reader = alice()
    start_main(reader)
    reader.answer(4)
    reader.wait_open()
    token = reader.state("token")
    reader.press("5")
    reader.until(lambda: [reader.email, 5] in study.python(DRAFTS), "the draft on the server")
    elsewhere = alice()
    elsewhere.page.goto(f"{study.url}/read/liver/")
    elsewhere.wait_open()
    assert elsewhere.state("token") == token and elsewhere.state("rating") == 5
    elsewhere.answer(5)
    elsewhere.wait("unsent", 0)
    # R2: the first browser answers the same case too late and is told.
    reader.press("2", "Enter")
    reader.page.get_by_text("had an answer already").wait_for()
    reader.wait("position", 3)
    assert [row["rating"] for row in answers(reader)] == [3, 4, 5]
    assert elsewhere.watch.complaints == []
    assert all("409" in text for text in reader.watch.complaints), reader.watch.complaints


def test_R9_who_is_signed_out_in_mid_case_signs_in_and_is_back_with_the_answer(study, alice):
    reader = alice(allowed=("401",))
    start_main(reader)
    reader.wait("aheadLoaded")
    study.python(
        "from django.contrib.sessions.models import Session; Session.objects.all().delete()"
    )
    reader.answer(6)
    reader.page.get_by_role("link", name="Sign in again").first.click()
    reader.fill_sign_in()
    reader.page.wait_for_url("**/case/")
    reader.wait("unsent", 0)
    reader.wait("position", 2)
    assert [row["rating"] for row in answers(reader)] == [3, 6]
    assert reader.watch.complaints == []


def test_R8_a_slice_that_fails_to_load_keeps_the_answer_locked_until_it_is_in(study, alice):
    reader = alice(allowed=("Failed to load resource", "503"))
    start_main(reader)
    reader.answer(4)
    reader.wait_open()
    failing = {"on": True}

    def fail(route: Any) -> None:
        if failing["on"] and route.request.url.endswith("/3"):
            route.fulfill(status=503, body="{}", content_type="application/json")
        else:
            route.continue_()

    reader.context.route("**/api/reading/frames/**", fail)
    reader.page.reload()
    reader.wait("slicesIn", SLICES - 1)
    reader.page.get_by_text("does not load").wait_for()
    reader.press("4", "Enter")
    assert reader.state("locked") is True and reader.state("position") == 2
    failing["on"] = False
    reader.page.get_by_role("button", name="Try again now").click()
    reader.answer(4)
    assert reader.state("position") == 3
    reader.wait("unsent", 0)
    row = answers(reader)[2]
    assert row["viewing"]["frame_errors"][0]["frame"] == 3 and "frame_errors" in row["flags"]


def test_R10_a_pause_of_the_trial_reaches_the_reader_with_the_next_answer(study, alice):
    reader = alice(allowed=("403",))
    start_main(reader)
    state = "from readerstudy.trials.models import Trial; Trial.objects.update(state={!r})"
    study.python(state.format("paused"))
    reader.wait_open()
    reader.press("6", "Enter")
    reader.page.get_by_text("is paused").first.wait_for()
    study.python(state.format("open"))
    reader.open_case()
    reader.wait("unsent", 0)
    assert [row["rating"] for row in answers(reader)] == [3, 6], "the answer was kept and sent"


def test_pause_by_key_and_go_on_at_the_same_case(study, alice):
    reader = alice()
    start_main(reader)
    reader.answer(2)
    reader.wait_open()
    reader.wait("unsent", 0)
    token = reader.state("token")
    reader.press("Shift+P")
    reader.page.wait_for_url("**/pause/")
    assert "case 2 of 4" in reader.page.locator("main").inner_text()
    reader.press("Enter")
    reader.page.wait_for_url("**/case/")
    reader.wait("ready")
    assert reader.state("token") == token
    assert reader.watch.complaints == []


def test_the_next_case_is_there_without_a_page_load(study, alice):
    reader = alice()
    start_main(reader)
    loads = []
    reader.page.on("framenavigated", lambda frame: loads.append(frame.url))
    reader.wait("aheadLoaded")
    reader.answer(4)
    reader.until(lambda: reader.state("swapMs") is not None, "the next picture")
    assert loads == [] and reader.state("swapMs") < 1000


def test_the_page_is_dark_before_the_viewer_is_there(study, alice):
    """No white flash: the ground is dark while the viewer's style and script are on their way."""
    reader = alice()
    start_main(reader)
    held: list[Any] = []
    reader.page.route("**/static/viewer/**", lambda route: held.append(route))
    reader.page.goto(f"{study.url}/read/liver/case/", wait_until="commit")
    ground = "() => getComputedStyle(document.body).backgroundColor"
    reader.until(lambda: reader.page.evaluate(ground) == "rgb(0, 0, 0)", "a black ground")
    assert reader.state("ready") is None
    scheme = reader.page.locator('meta[name="color-scheme"]').get_attribute("content")
    assert scheme == "dark", "the browser paints its first empty page by this"
    for route in held:
        route.continue_()


def test_no_truth_word_in_what_the_browser_stored(study, alice):
    """After reading, the browser's stores hold answers and drafts and nothing that tells a case."""
    reader = alice()
    start_main(reader)
    reader.answer(6)
    stored = reader.page.evaluate(
        "() => JSON.stringify({...localStorage}) + JSON.stringify({...sessionStorage})"
    )
    for word in ("real", "truth", "arm", "candidate", "textural"):
        assert f'"{word}"' not in json.dumps(stored)
