"""The whole road on real CT: from files on a disk to a published number, with real processes.

One coordinator works in the pages, two radiologists read ten cases each by keyboard alone, and
both the worker and the web server are killed in the middle of their work.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.conftest import PASSWORD
from tests.e2e.coordinator import PATIENCE, Coordinator
from tests.e2e.reader import Reader
from tests.e2e.road_reading import (
    ALICE,
    BOB,
    COUNTED,
    EACH,
    SLUG,
    finds,
    join,
    plan_of,
    read_as_alice,
    read_as_bob,
)
from tests.e2e.road_results import check_bundle, check_nothing_lost
from tests.e2e.shots import Album
from tests.live import Site

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.shared]

TITLE = "Liver and lung tumors"
LESIONS = 9  # three for each volume and organ

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

    alice = read_as_alice(alice, plan[ALICE], carol.album, readers, shared_ct)
    middle_of_the_trial(carol)
    carol.step("Pause", "Pause", reason="The workstation is moved")
    finds(bob, "The trial is paused", carol.album, "reading-trial-paused")
    carol.step("Resume", "Resume")
    read_as_bob(bob, plan[BOB], shared_ct)

    carol.step("Close …", "Close for good")
    carol.look("trial-closed")
    finds(bob, "The trial is closed", carol.album, "reading-trial-closed")
    unblind(carol)
    bundle = results(carol)
    check_bundle(bundle, plan)
    check_nothing_lost(road_site)
    own_pages(carol)
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
        "sessions": {"cases_per_session": 6, "break_minutes": 5, "minutes_per_case": 3.0},
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
    numbers = download(carol, page.locator(".downloads a", has_text="CSV").first).read_text()
    table = list(csv.reader(numbers.splitlines()))
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


def own_pages(carol: Coordinator) -> None:
    """The pages about oneself, from the menu under one's name; and an address that is none."""
    for name in ("Profile", "Password", "Second factor", "Sign-ins"):
        carol.page.locator("header .menu summary").click()
        carol.page.locator(".menu-items").get_by_role("link", name=name).click()
        expect(carol.page.locator("main h1:visible")).not_to_be_empty()
        if name == "Sign-ins":
            expect(carol.page.locator("main tbody tr")).to_have_count(1)
        carol.look(f"own-{name.lower().replace(' ', '-')}")
    carol.go("Home")
    carol.look("home")
    assert carol.watch.complaints == []
    carol.page.goto("/trials/there-is-none/")
    expect(carol.page.locator("main h1:visible")).not_to_be_empty()
    carol.look("not-found")
    carol.watch.complaints.clear()
