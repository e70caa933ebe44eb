"""The whole road on real CT: from files on a disk to a published number, with real processes.

One coordinator works in the pages, two radiologists read ten cases each by keyboard alone, and
both the worker and the web server are killed in the middle of their work.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import zipfile
from itertools import pairwise, product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.conftest import PASSWORD
from tests.e2e.coordinator import PATIENCE, Coordinator
from tests.e2e.reader import Reader, grey
from tests.e2e.shots import Album
from tests.e2e.source import MATRIX, Source
from tests.live import Site

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.shared]

TITLE, SLUG = "Liver and lung tumors", "liver-and-lung-tumors"
ALICE, BOB = "alice@example.org", "bob@example.org"
# One practice case, eight main ones, one of them twice: ten answers of each reader.
RATINGS = {ALICE: [3, 6, 1, 5, 2, 4, 1, 6, 3, 5], BOB: [4, 2, 5, 1, 3, 6, 2, 4, 5, 1]}
EACH = 10
COUNTED = 9  # without practice
LESIONS = 9  # three for each volume and organ

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
RUN = """
from collections import Counter
from readerstudy.cases.models import SynthesisRun
from readerstudy.audit.models import AuditEvent
run = SynthesisRun.objects.get()
made = run.candidates.filter(by_gate=False)
print(json.dumps({
    "state": run.job.state, "attempts": run.job.attempts, "made": run.made,
    "lesions": sorted(made.values_list("lesion_index", flat=True)),
    "organs": Counter(made.values_list("organ", flat=True)),
    "finished": AuditEvent.objects.filter(action="cases.run_finished").count(),
}))
"""
END = """
from collections import Counter
from readerstudy.audit.models import AuditEvent
from readerstudy.jobs.models import Job
from readerstudy.library.models import Volume
from readerstudy.reading.models import Judgment
print(json.dumps({
    "jobs": Counter(Job.objects.values_list("state", flat=True)),
    "volumes": Volume.objects.count(),
    "answers": [
        [j.assignment.membership.user.email, j.assignment.position, j.rating, j.slices_seen]
        for j in Judgment.objects.select_related("assignment__membership__user")
            .order_by("assignment__membership__code", "assignment__position")],
    "uuids": Judgment.objects.values("client_uuid").distinct().count(),
    "events": Counter(AuditEvent.objects.values_list("action", flat=True)),
}))
"""


@pytest.fixture
def road_site(site: Site) -> Site:
    # A dead worker's job is taken over when its lease ends.
    site.environment["READERSTUDY_JOB_LEASE_SECONDS"] = "5"
    site.start()
    site.start_worker()
    return site


@pytest.fixture
def carol(road_site, browser):
    """The coordinator, from an invitation printed on the server's command line."""
    printed = road_site.manage(
        "invite", "carol@example.org", "--role", "coordinator", "--name", "Carol"
    ).stdout
    coordinator = Coordinator(browser, road_site, Album())
    coordinator.set_password(re.search(r"/people/invitation/\S+", printed).group())
    yield coordinator
    coordinator.context.close()


@pytest.fixture
def readers(road_site, browser):
    """Makes browsers of readers, closed at the end."""
    made = []

    def make(email: str) -> Reader:
        # The server is dead for a while; and the test itself reads the canvas again and again.
        allowed = ("Failed to load resource", "ERR_CONNECTION", "willReadFrequently")
        reader = Reader(browser, road_site, email, size=(1280, 800), allowed=allowed)
        made.append(reader)
        return reader

    yield make
    for reader in made:
        reader.close()


def test_the_whole_road_on_real_ct(carol, readers, road_site, shared_ct):
    library(carol, shared_ct)
    cases(carol)
    links = trial(carol)
    plan = plan_of(road_site)
    alice, bob = readers(ALICE), readers(BOB)
    join(alice, links[ALICE], carol.album, first=True)
    join(bob, links[BOB], carol.album)
    carol.step("Open …", "Open the trial")
    carol.look("trial-open")

    alice = read_as_alice(alice, plan[ALICE], carol, readers, shared_ct)
    middle_of_the_trial(carol)
    read_as_bob(bob, plan[BOB], shared_ct)

    unblind(carol)
    bundle = results(carol)
    check_bundle(bundle, plan)
    check_nothing_lost(road_site)
    for person in (carol, alice, bob):
        assert person.watch.complaints == []


# ------------------------------------------------------------------------------------ library
def library(carol: Coordinator, ct: Path) -> None:
    """One volume in the page, two by the command of the same site."""
    folder = ct / "liver_crlm-ct-1006"
    carol.upload(
        [folder / name for name in ("ct.nii.gz", "liver.nii.gz", "tumour_draft.nii.gz")],
        {"liver.nii.gz": ("organ", "liver"), "tumour_draft.nii.gz": ("tumor", "liver")},
        source=folder.name,
        patient_code="CRLM-1006",
    )
    for name, patient, *tumors in (
        ("lung_lidc-idri-0001", "LIDC-0001", "tumour"),
        ("lung_4dlung-p113", "4DLUNG-113", "tumour", "tumour_ln"),
    ):
        folder = ct / name
        masks = [part for tumor in tumors for part in ("--tumor-mask", folder / f"{tumor}.nii.gz")]
        carol.site.manage(
            "import_ct", *map(str, (folder / "ct.nii.gz", "--organ", "lung", *masks)),
            "--organ-mask", str(folder / "lung.nii.gz"), "--source", name, "--patient", patient,
        )  # fmt: skip
    carol.follow("Back to the library")
    expect(carol.page.locator(".volume-card")).to_have_count(3)
    carol.look("library")
    carol.page.locator(".volume-card").first.click()
    expect(carol.page.locator("figure[data-plane=sagittal] output")).not_to_be_empty()
    carol.page.wait_for_load_state("networkidle")
    carol.look("volume")


# -------------------------------------------------------------------------------------- cases
def cases(carol: Coordinator) -> None:
    page = carol.page
    carol.go("Cases")
    carol.look("cases-empty")
    page.get_by_role("button", name="Find real lesions").first.click()
    expect(page.get_by_role("link", name=re.compile(r"Curate \d+ pending"))).to_be_visible(
        timeout=PATIENCE
    )
    synthesize(carol)
    curate(carol)


def synthesize(carol: Coordinator) -> None:
    """A run whose worker is killed in the middle goes on where it stopped."""
    page, site = carol.page, carol.site
    patches = site.data_dir / "candidates"
    before = len(list(patches.iterdir()))
    run = carol.start_run(organs=["Liver", "Lung"], each=3, smallest=12, largest=26)
    site.wait(lambda: len(list(patches.iterdir())) >= before + 3, "the third lesion")
    site.kill_worker()
    passed = page.locator("#gallery .lead strong")
    expect(passed).to_have_text(re.compile(rf"^[1-{LESIONS - 1}] of {LESIONS}$"))
    carol.look("synthesis-at-work")
    site.start_worker()
    expect(page.locator(".job .badge-done")).to_be_visible(timeout=PATIENCE)
    expect(passed).to_have_text(f"{LESIONS} of {LESIONS}")
    carol.look("synthesis-done")
    made = site.python(RUN)
    assert made["state"] == "done" and made["attempts"] == 2
    assert made["lesions"] == list(range(LESIONS)), "a lesion was lost or made twice"
    assert made["made"] == LESIONS and made["finished"] == 1
    assert made["organs"] == {"liver": 3, "lung": 6}
    assert page.url == run


def curate(carol: Coordinator) -> None:
    """By keyboard: accept, reject, undo; the rest ticked on the list."""
    page = carol.page
    carol.go("Cases")
    carol.look("cases")
    carol.follow(re.compile(r"Curate \d+ pending"))
    first = carol.curate()
    carol.look("curation-real")
    second = carol.decide("a")
    third = carol.decide("x", "2")
    assert len({first, second, third}) == 3
    expect(page.locator("#undo-last")).to_contain_text("rejected (Looks artificial)")
    page.keyboard.press("u")
    page.wait_for_url(lambda url: second in url.split("?")[0])
    expect(page.locator(".heading .badge")).to_have_text("Pending")
    carol.decide("a")
    carol.follow("Candidates")
    carol.look("candidates")
    page.get_by_label("All on this page").check()
    carol.press("Accept ticked")
    carol.says("Nothing is waiting")
    page.goto("/cases/candidates/?state=accepted&kind=synthetic")
    page.locator(".tile a").first.click()
    carol.curate()
    carol.look("curation-synthetic")


# -------------------------------------------------------------------------------------- trial
def protocol_file(folder: Path) -> Path:
    """The template with the design of this trial, as a coordinator would edit it."""
    from readerstudy.trials.design import files
    from readerstudy.trials.design.protocol import read
    from readerstudy.trials.design.template import vtt_ct_1

    document = vtt_ct_1(TITLE) | {
        "positive_class": "synthetic",
        "practice": {"real": 1, "synthetic": 0},
        "repeats": {"count": 1, "minimum_gap": 3},
        "design": {
            "size_bands": [{"name": "all", "from_mm": 0, "to_mm": 200}],
            "strata": [
                {"organ": "liver", "size_band": "all", "real": 2, "synthetic": 1},
                {"organ": "lung", "size_band": "all", "real": 2, "synthetic": 3},
            ],
        },
    }
    path = folder / "protocol.yaml"
    path.write_text(files.dump(read(document)), encoding="utf-8")
    return path


def trial(carol: Coordinator) -> dict[str, str]:
    """From nothing to a checklist that is done; returns the readers' invitation links."""
    page = carol.page
    carol.go("Trials")
    carol.look("trials-empty")
    page.get_by_role("link", name="New trial").first.click()
    page.get_by_label("Title").fill(TITLE)
    carol.look("trial-new")
    carol.press("Make the draft")
    page.locator("input[type=file]").set_input_files(protocol_file(carol.site.data_dir))
    carol.press("Upload")
    carol.says("is in force as version 1")
    page.get_by_label("Equivalence margin").fill("0.15")
    page.get_by_role("button", name="Save the protocol").click()
    carol.says("The protocol is saved: version 2 is in force")
    expect(page.locator("[data-count=total]")).to_have_text(str(EACH))
    carol.look("protocol")

    carol.tab("Overview")
    carol.look("trial-draft")
    carol.tab("Cases")
    carol.press("Draw the cases")
    carol.look("trial-cases-drawn")
    carol.press("Prepare")
    expect(page.locator(".job progress")).to_be_visible(timeout=PATIENCE)
    carol.look("trial-cases-preparing")
    carol.says("9 cases are prepared")
    carol.look("trial-cases")

    carol.tab("People")
    links = {ALICE: carol.add_reader(ALICE, "Alice", 9), BOB: carol.add_reader(BOB, "Bob", 4)}
    carol.look("trial-people")
    carol.tab("Orders")
    carol.press("Make the orders")
    carol.says("The orders are made and stored")
    carol.look("trial-orders")
    carol.tab("Overview")
    expect(page.locator(".checklist .is-done")).to_have_count(5)
    carol.look("trial-ready")
    return links


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


# ------------------------------------------------------------------------------------ reading
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
    alice: Reader, slots: list[Any], carol: Coordinator, readers: Any, ct: Path
) -> Reader:
    """Through a killed server, and from one computer to another. Returns the second browser."""
    album, site, ratings = carol.album, carol.site, RATINGS[ALICE]
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

    alice.wait("loaded", seconds=60)
    token, position = alice.state("token"), alice.state("position")
    alice.press("Shift+P")
    alice.page.wait_for_url("**/pause/")
    album.take(alice.page, "reading-paused")
    assert alice.watch.complaints == []
    alice.close()
    elsewhere = readers(ALICE)
    elsewhere.sign_in()
    album.take(elsewhere.page, "reader-home-in-the-middle")
    elsewhere.page.get_by_role("link", name="Go on reading").focus()
    elsewhere.press("Enter")
    elsewhere.wait("loaded", seconds=60)
    assert (elsewhere.state("token"), elsewhere.state("position")) == (token, position)
    for number in range(4, EACH):
        look_closely(elsewhere, slots[number], ct, checked, album)
        elsewhere.answer(ratings[number])
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
    assert checked == {"real", "synthetic"}
    bob.page.wait_for_url("**/done/")


def begin(reader: Reader, rating: int, album: Album | None = None) -> None:
    """Consent and the practice case."""
    reader.give_consent(SLUG)
    reader.wait("loaded", seconds=60)
    if album:
        album.take(reader.page, "reading-practice")
    reader.answer(rating)
    reader.page.wait_for_url("**/practice-done/")
    if album:
        album.take(reader.page, "reading-practice-done")
    reader.press("Enter")
    reader.page.wait_for_url("**/case/")


def look_closely(
    reader: Reader, slot: Any, ct: Path, checked: set[str], album: Album | None = None
) -> None:
    """Once for each arm: every grey level on the canvas is the one the source HU give."""
    reader.wait("loaded", seconds=60)
    if slot.arm in checked:
        return
    checked.add(slot.arm)
    patch = reader.site.data_dir / "candidates" / f"{slot.candidate}.npz"
    source = Source(ct / slot.folder / "ct.nii.gz", patch)
    assert reader.state("count") == source.slices
    assert (np.abs(source.residual).max() > 20) is np.True_ or slot.arm == "real"
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
        shown = settled(reader)

        def distance(hu: np.ndarray, window: Any = window, shown: Any = shown) -> np.ndarray:
            return np.abs(shown - grey(hu, window["center"], window["width"]))

        assert distance(source.frame(index)).max() <= 1.0, (slot, index, window)
        neighbour = distance(source.frame(index + 1))
        assert neighbour.max() > 20 and neighbour.mean() > 0.4, "the test could not fail"
        if index == source.middle and slot.arm == "synthetic":
            # What was made is in the picture: the scan alone is another picture.
            assert distance(source.frame(index, lesion=False)).max() > 5
    reader.press("h")
    reader.page.set_viewport_size(size)


def scroll_to(reader: Reader, index: int) -> None:
    step = "ArrowUp" if index > reader.state("slice") else "ArrowDown"
    while reader.state("slice") != index:
        reader.press(step)
    reader.wait("shownSlice", index)


def settled(reader: Reader) -> np.ndarray:
    """The axial picture, one image pixel on one canvas pixel, once two looks agree."""
    before = np.zeros(0)
    while True:
        shown = reader.canvas().astype(float)
        if shown.shape[0] == MATRIX and np.array_equal(before, shown):
            left = (shown.shape[1] - MATRIX) // 2
            return shown[:, left : left + MATRIX]
        before = shown


# -------------------------------------------------------------------------- close and results
def middle_of_the_trial(carol: Coordinator) -> None:
    """The coordinator sees how far readers are and nothing that depends on the truth."""
    page = carol.page
    carol.tab("Progress")
    alice = page.locator("tr", has_text="Alice")
    expect(alice).to_contain_text(f"{COUNTED} of {COUNTED}")
    expect(page.locator("tr", has_text="Bob")).to_contain_text(f"0 of {COUNTED}")
    words = page.locator("main").inner_text().lower()
    assert not re.search(r"\b(real|synthetic|textural|correct|wrong)\b", words), words
    carol.look("progress")
    page.goto(f"/trials/{SLUG}/cases/")
    assert not {"real", "synthetic"} & set(page.locator("td").all_inner_texts())
    carol.look("trial-cases-locked")
    carol.tab("People")
    carol.look("trial-people-open")
    carol.tab("Protocol")
    carol.look("protocol-locked")
    for secret in (f"/trials/{SLUG}/truth.json", f"/trials/{SLUG}/allocation.csv"):
        assert carol.context.request.get(secret).status == 404
    carol.tab("Results")
    carol.says("No results yet")
    carol.look("results-sealed")
    page.go_back()


def unblind(carol: Coordinator) -> None:
    carol.step("Close …", "Close for good")
    carol.look("trial-closed")
    carol.step(
        "Unblind …", "Unblind",
        reason="All readers have finished", address_of_the_trial=SLUG, your_password=PASSWORD,
    )  # fmt: skip
    expect(carol.page.get_by_text("equal", exact=True)).to_be_visible()
    carol.look("trial-unblinded")
    carol.tab("History")
    carol.look("trial-history")
    carol.go("Trials")
    carol.look("trials")
    carol.follow(TITLE)


def results(carol: Coordinator) -> Path:
    """Compute, read the verdict, download; returns the bundle."""
    page = carol.page
    carol.tab("Results")
    carol.look("results-pending")
    carol.press("Compute the results")
    verdict = page.locator(".verdict .sentence")
    expect(verdict).to_be_visible(timeout=PATIENCE)
    assert "AUC" in verdict.inner_text(), verdict.inner_text()
    page.wait_for_load_state("networkidle")
    carol.look("results")
    figure = download(carol, page.locator(".downloads a", has_text="SVG").first)
    assert b"<svg" in figure.read_bytes()[:1000]
    table = list(
        csv.reader(download(carol, page.locator(".downloads a", has_text="CSV").first).open())
    )
    assert {row[0] for row in table[1:]} >= {"R01", "R02"}
    carol.press("Make unblinded export")
    file = page.locator("#export-card a[download]")
    expect(file).to_be_visible(timeout=PATIENCE)
    bundle = download(carol, file)
    carol.look("results-exported")
    page.get_by_role("link", name="Cases", exact=True).last.click()
    carol.look("results-cases")
    return bundle


def download(carol: Coordinator, link: Any) -> Path:
    with carol.page.expect_download() as info:
        link.click()
    path = carol.site.data_dir / info.value.suggested_filename
    info.value.save_as(path)
    return path


def check_bundle(path: Path, plan: dict[str, list[SimpleNamespace]]) -> None:
    """Checksums hold; the rows are the answers that were pressed; the AUC is worked out again."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    sums = dict(line.split("  ")[::-1] for line in files.pop("SHA256SUMS").decode().splitlines())
    assert sums == {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    rows = list(csv.DictReader(io.StringIO(files["judgments.csv"].decode())))
    assert len(rows) == 2 * COUNTED
    wanted = []
    for email, slots in plan.items():
        for slot, rating in zip(slots, RATINGS[email], strict=True):
            if slot.phase == "main":
                side = "synthetic" if rating >= 4 else "real"
                sure = {1: 3, 2: 2, 3: 1, 4: 1, 5: 2, 6: 3}[rating]
                wanted.append((slot.code, slot.case, slot.arm, str(slot.repeat), side, str(sure)))
    columns = ("reader_id", "case_id", "truth", "repeat", "verdict", "confidence")
    assert [tuple(row[name] for name in columns) for row in rows] == wanted
    stored = json.loads(files["results.json"])["readers"]
    for email, slots in plan.items():
        given = [
            (slot.arm, rating)
            for slot, rating in zip(slots, RATINGS[email], strict=True)
            if slot.phase == "main" and slot.repeat == 1
        ]
        row = next(row for row in stored if row["reader"] == slots[0].code)
        assert row["auc"]["estimate"] == pytest.approx(auc(given), abs=1e-12)


def auc(given: list[tuple[str, int]]) -> float:
    """The share of (synthetic, real) pairs that the ratings put in order; ties count half."""
    higher = [rating for arm, rating in given if arm == "synthetic"]
    lower = [rating for arm, rating in given if arm == "real"]
    return float(np.mean([(a > b) + (a == b) / 2 for a, b in product(higher, lower)]))


def check_nothing_lost(site: Site) -> None:
    end = site.python(END)
    assert set(end["jobs"]) == {"done"}, end["jobs"]
    assert end["volumes"] == 3
    pressed = [
        [email, position, rating]
        for email, ratings in RATINGS.items()
        for position, rating in enumerate(ratings, start=1)
    ]
    assert [row[:3] for row in end["answers"]] == pressed
    assert end["uuids"] == 2 * EACH
    for action, count in {
        "reading.consented": 2,
        "cases.run_started": 1,
        "cases.run_finished": 1,
        "trials.cases_prepared": 1,
        "trials.opened": 1,
        "trials.closed": 1,
        "trials.unblinded": 1,
    }.items():
        assert end["events"][action] == count, (action, end["events"])
    said = site.manage("verify_audit").stdout
    assert f"trial:{SLUG}: " in said and "hold" in said
