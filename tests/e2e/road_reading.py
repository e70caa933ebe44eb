"""The readers' part of the road: ten cases each, by keyboard alone, through trouble."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise, product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from playwright.sync_api import expect

from tests.conftest import PASSWORD
from tests.e2e.reader import Reader, grey
from tests.e2e.shots import Album
from tests.e2e.source import MATRIX, Source
from tests.live import Site

SLUG = "liver-and-lung-tumors"
ALICE, BOB = "alice@example.org", "bob@example.org"
# One practice case, eight main ones, one of them twice: ten answers of each reader.
RATINGS = {ALICE: [3, 6, 1, 5, 2, 4, 1, 6, 3, 5], BOB: [4, 2, 5, 1, 3, 6, 2, 4, 5, 1]}
EACH = 10
COUNTED = 9  # without practice

PLAN = """
from readerstudy.trials.models import Assignment, CaseTruth
from readerstudy.cases.models import Candidate
truths = {t.case_id: t for t in CaseTruth.objects.all()}
candidates = {str(c.pk): c for c in Candidate.objects.select_related("volume")}
print(json.dumps([
    {"reader": a.membership.user.email, "code": a.membership.code, "position": a.position,
     "phase": a.phase, "repeat": a.repeat, "case": str(a.case), "organ": a.case.organ,
     "patient": a.case.patient_key, "arm": truths[a.case_id].arm,
     "candidate": str(truths[a.case_id].candidate),
     "folder": candidates[str(truths[a.case_id].candidate)].volume.source}
    for a in Assignment.objects.select_related("membership__user", "case")
        .order_by("membership__code", "position")
]))
"""


def plan_of(site: Site) -> dict[str, list[SimpleNamespace]]:
    """What each reader will meet, in order, with the truth that no browser ever gets."""
    rows = [SimpleNamespace(**row) for row in site.python(PLAN)]
    plan = {email: [row for row in rows if row.reader == email] for email in RATINGS}
    for slots in plan.values():
        assert [slot.position for slot in slots] == list(range(1, EACH + 1))
        assert [slot.phase for slot in slots].count("practice") == 1
        assert sum(slot.repeat == 2 for slot in slots) == 1
        assert all(a.patient != b.patient for a, b in pairwise(slots))
        first = [slot for slot in slots if slot.phase == "main" and slot.repeat == 1]
        assert sorted(slot.arm for slot in first) == ["real"] * 4 + ["synthetic"] * 4
    return plan


def join(reader: Reader, link: str, album: Album, *, first: bool = False) -> None:
    """The one-time link sets a password; nothing can be read before the trial opens."""
    reader.page.goto(link)
    if first:
        album.take(reader.page, "reader-invitation")
    for _ in range(2):
        reader.page.keyboard.type(PASSWORD)
        reader.press("Tab")
    reader.press("Enter")
    expect(reader.page.get_by_text("Not open yet")).to_be_visible()
    if first:
        album.take(reader.page, "reader-home-before-opening")


def read_as_alice(
    alice: Reader,
    slots: list[Any],
    album: Album,
    readers: Callable[[str], Reader],
    ct: Path,
) -> Reader:
    """Through a killed server, and from one computer to another. Returns the second browser."""
    site, ratings = alice.site, RATINGS[ALICE]
    alice.page.goto(f"{site.url}/")
    album.take(alice.page, "reader-home")
    alice.page.goto(f"{site.url}/read/{SLUG}/")
    album.take(alice.page, "reading-instructions")
    alice.page.goto(f"{site.url}/read/{SLUG}/consent/")
    album.take(alice.page, "reading-consent")
    begin(alice, ratings[0], album)
    checked: set[str] = set()
    for number in (1, 2):
        look_closely(alice, slots[number], ct, checked, album)
        alice.answer(ratings[number])

    alice.wait("aheadLoaded", seconds=60)
    site.kill()
    alice.answer(ratings[3])
    assert alice.state("unsent") == 1
    album.take(alice.page, "reading-without-server")
    site.start()
    alice.wait("unsent", 0, seconds=60)

    alice.wait_open(seconds=60)
    token, position = alice.state("token"), alice.state("position")
    alice.press("Shift+P")
    alice.page.wait_for_url("**/pause/")
    album.take(alice.page, "reading-paused")
    assert alice.watch.complaints == []
    alice.close()
    elsewhere = readers(ALICE)
    elsewhere.page.goto(f"{site.url}/accounts/login/")
    album.take(elsewhere.page, "sign-in")
    elsewhere.fill_sign_in()
    album.take(elsewhere.page, "reader-home-in-the-middle")
    elsewhere.page.get_by_role("link", name="Go on reading").focus()
    elsewhere.press("Enter")
    elsewhere.wait_open(seconds=60)
    assert (elsewhere.state("token"), elsewhere.state("position")) == (token, position)
    for number in range(4, EACH):
        look_closely(elsewhere, slots[number], ct, checked, album)
        elsewhere.answer(ratings[number])
        rest(elsewhere, album)
    assert checked == {"real", "synthetic"}
    elsewhere.page.wait_for_url("**/done/")
    album.take(elsewhere.page, "reading-done")
    return elsewhere


def read_as_bob(bob: Reader, slots: list[Any], ct: Path) -> None:
    begin(bob, RATINGS[BOB][0])
    checked: set[str] = set()
    for number in range(1, EACH):
        look_closely(bob, slots[number], ct, checked)
        bob.answer(RATINGS[BOB][number])
        rest(bob)
    assert checked == {"real", "synthetic"}
    bob.page.wait_for_url("**/done/")


def begin(reader: Reader, rating: int, album: Album | None = None) -> None:
    """Consent and the practice case."""
    reader.give_consent(SLUG)
    reader.wait_open(seconds=60)
    if album:
        album.take(reader.page, "reading-practice")
    reader.answer(rating)
    reader.page.wait_for_url("**/practice-done/")
    if album:
        album.take(reader.page, "reading-practice-done")
    reader.press("Enter")
    reader.page.wait_for_url("**/case/")


def rest(reader: Reader, album: Album | None = None) -> None:
    """Through the break that the protocol proposes after some cases, if it is due."""
    if not reader.page.url.endswith("/break/"):
        return
    if album:
        album.take(reader.page, "reading-break")
    reader.page.get_by_role("button", name="Go on reading").focus()
    reader.press("Enter")
    reader.page.wait_for_url("**/case/")


def finds(reader: Reader, text: str, album: Album, name: str) -> None:
    """What a reader is told who comes while nothing can be read."""
    reader.page.goto(f"{reader.site.url}/read/{SLUG}/")
    expect(reader.page.get_by_role("heading", name=text)).to_be_visible()
    album.take(reader.page, name)


def look_closely(
    reader: Reader, slot: Any, ct: Path, checked: set[str], album: Album | None = None
) -> None:
    """Once for each arm: every grey level on the canvas is the one the source HU give."""
    reader.wait_open(seconds=60)
    if slot.arm in checked:
        return
    checked.add(slot.arm)
    patch = reader.site.data_dir / "candidates" / f"{slot.candidate}.npz"
    source = Source(ct / slot.folder / "ct.nii.gz", patch)
    assert reader.state("count") == source.slices
    assert bool(source.residual.any()) == (slot.arm == "synthetic")
    if album:
        album.take(reader.page, f"reading-{slot.organ}")
        reader.press("m")
        reader.wait("planes")
        album.take(reader.page, f"reading-{slot.organ}-three-planes")
        reader.press("m", "?")
        album.take(reader.page, f"reading-{slot.organ}-keys")
        reader.press("Escape")
    size = reader.page.viewport_size
    reader.page.set_viewport_size({"width": 1280, "height": MATRIX})
    reader.press("r", "h")
    for preset, index in product((1, 2), (source.middle, source.slices // 4)):
        reader.press(f"Shift+Digit{preset}")
        scroll_to(reader, index)
        window = reader.state("window")
        levels = [window["center"], window["width"]]
        shown = picture(reader, grey(source.frame(index), *levels))
        difference = np.abs(shown - grey(source.frame(index), *levels))
        assert difference.max() <= 1.0, (slot, index, window, difference.max())
        neighbour = np.abs(shown - grey(source.frame(index + 1), *levels))
        assert neighbour.max() > 20 and neighbour.mean() > 0.4, "the test could not fail"
        if index == source.middle and slot.arm == "synthetic":
            # What was made is in the picture: the scan alone is another picture.
            scan = grey(source.frame(index, lesion=False), *levels)
            assert np.abs(shown - scan).max() > 5
    reader.press("h")
    reader.page.set_viewport_size(size)


def scroll_to(reader: Reader, index: int) -> None:
    step = "ArrowUp" if index > reader.state("slice") else "ArrowDown"
    while reader.state("slice") != index:
        reader.press(step)
    reader.wait("shownSlice", index)


def picture(reader: Reader, wanted: np.ndarray, seconds: float = 10) -> np.ndarray:
    """The axial picture, one image pixel on one canvas pixel, once it is the one that is wanted;
    what it is after some seconds if it never is."""
    deadline = time.monotonic() + seconds
    while True:
        canvas = reader.canvas().astype(float)
        left = (canvas.shape[1] - MATRIX) // 2
        shown = canvas[:, left : left + MATRIX]
        arrived = shown.shape == wanted.shape and np.abs(shown - wanted).max() <= 1.0
        if arrived or time.monotonic() > deadline:
            return shown
