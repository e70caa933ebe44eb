"""The upload page in a real browser: files in, reload in the middle, import; then the volume."""

from __future__ import annotations

import re
import threading

import pytest
from playwright.sync_api import expect

from readerstudy.library.models import Upload, UploadFile, Volume
from tests.conftest import PASSWORD

from .makers import phantom, write_nifti, write_rtstruct, write_series
from .test_masks import square

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def page(browser, live_server, coordinator):
    context = browser.new_context(base_url=live_server.url)
    page = context.new_page()
    page.violations = []
    page.on(
        "console",
        lambda message: page.violations.append(message.text) if message.type == "error" else None,
    )
    page.goto("/accounts/login/")
    page.get_by_label("Email").fill(coordinator.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("navigation", name="Main")).to_be_visible()
    yield page
    context.close()


@pytest.fixture
def study(tmp_path):
    folder = tmp_path / "study"
    write_series(folder / "CT", phantom((12, 64, 64)), spacing=(0.7, 0.8, 2.5))
    write_rtstruct(folder / "RT.dcm", {"Lung tumor": [square(7.5, 12.5, 5.5, 11.5, 3)]})
    return folder


def test_a_folder_is_sent_reviewed_imported_and_looked_at(page, study, run_jobs):
    page.goto("/library/")
    page.get_by_role("link", name="Add CT").first.click()
    page.locator("#folder").set_input_files(study)
    expect(page.get_by_role("heading", name="Looking at the files")).to_be_visible()
    assert UploadFile.objects.count() == 13
    run_jobs()
    expect(page.get_by_role("heading", name="What was found")).to_be_visible()
    expect(page.get_by_label(re.compile("What Lung tumor"))).to_have_value("tumor")
    expect(page.get_by_label(re.compile("Organ of Lung tumor"))).to_have_value("lung")
    page.get_by_label("Source").fill("Browser test")
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_role("heading", name="Importing")).to_be_visible()
    run_jobs()
    expect(page.get_by_role("heading", name="Result of the import")).to_be_visible()
    volume = Volume.objects.get()
    page.get_by_role("link", name=volume.name).first.click()
    axial = page.locator("figure[data-plane=axial]")
    expect(axial.locator("output")).to_have_text("4 / 12")  # opens at the tumor
    expect(axial.locator("img")).to_have_attribute("src", re.compile("/axial/3.png"))
    axial.locator(".plane-image").hover()
    page.mouse.wheel(0, 100)
    expect(axial.locator("output")).to_have_text("5 / 12")
    expect(axial.locator("img")).to_have_attribute("src", re.compile("/axial/4.png"))
    page.get_by_label("Window").select_option("bone")
    expect(axial.locator("img")).to_have_attribute("src", re.compile("window=bone"))
    natural = axial.locator("img").evaluate("image => image.naturalWidth")
    assert natural == 64
    assert page.violations == []


def test_after_a_reload_the_same_files_go_on(page, tmp_path, run_jobs, settings):
    """Half of the chunks are let through, then the page is gone; the rest is sent, none twice."""
    settings.UPLOAD_CHUNK_BYTES = 50_000
    path = write_nifti(tmp_path / "ct.nii", phantom((10, 128, 128)))
    sent, hold = [], threading.Event()

    def chunk(route):
        offset = int(route.request.url.split("offset=")[1])
        if offset >= 150_000 and not hold.is_set():
            route.abort()
            return
        sent.append(offset)
        route.continue_()

    page.route("**/api/library/uploads/*/files/*", chunk)
    page.goto("/library/upload/")
    page.locator("#files").set_input_files(path)
    expect(page.get_by_text("The connection is lost")).to_be_visible()
    assert UploadFile.objects.get().received == 150_000
    page.on("dialog", lambda dialog: dialog.accept())
    page.reload()
    expect(page.get_by_text("Choose the same 1 file again")).to_be_visible()
    hold.set()
    page.locator("#files").set_input_files(path)
    expect(page.get_by_role("heading", name="Looking at the files")).to_be_visible()
    assert sent == sorted(set(sent))
    assert sum(1 for _ in sent) == -(-path.stat().st_size // 50_000)
    run_jobs()
    assert Upload.objects.get().state == Upload.State.REVIEW


def test_a_bad_zip_is_one_sentence_and_the_page_is_ready_again(page, tmp_path):
    (tmp_path / "scan.zip").write_bytes(b"no archive at all")
    page.goto("/library/upload/")
    page.locator("#files").set_input_files(tmp_path / "scan.zip")
    expect(page.get_by_role("alert")).to_have_text(
        "scan.zip: it is called a zip archive but is none."
    )
    expect(page.get_by_text("Drop a folder, files or a zip archive here")).to_be_visible()
    assert not Upload.objects.exists()


def test_cancel_in_the_middle_deletes_what_was_sent(page, tmp_path):
    page.route("**/api/library/uploads/*/files/*", lambda route: route.abort())
    page.goto("/library/upload/")
    page.locator("#files").set_input_files(write_nifti(tmp_path / "ct.nii", phantom()))
    expect(page.get_by_text("The connection is lost")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("heading", name="Library", exact=True)).to_be_visible()
    assert not Upload.objects.exists()
