"""A coordinator at a real browser: everything is done in the pages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from tests.conftest import PASSWORD
from tests.e2e.conftest import Watch
from tests.e2e.shots import Album
from tests.live import Site

PATIENCE = 90_000  # ms that a job may take on a busy machine


class Coordinator:
    def __init__(self, browser: Any, site: Site, album: Album) -> None:
        self.site, self.album = site, album
        self.context = browser.new_context(
            viewport={"width": 1280, "height": 900}, base_url=site.url
        )
        self.page = self.context.new_page()
        self.watch = Watch(self.page)

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def follow(self, name: str | re.Pattern[str]) -> None:
        self.page.get_by_role("link", name=name, exact=isinstance(name, str)).first.click()

    def go(self, area: str) -> None:
        """By the menu of every page."""
        self.page.get_by_role("navigation", name="Main").get_by_role("link", name=area).click()

    def tab(self, name: str) -> None:
        tabs = self.page.get_by_role("navigation", name="Trial")
        tabs.get_by_role("link", name=name, exact=True).click()

    def look(self, name: str) -> None:
        self.album.take(self.page, name)

    def heading(self, text: str, timeout: float = PATIENCE) -> None:
        expect(self.page.get_by_role("heading", name=text).first).to_be_visible(timeout=timeout)

    def says(self, text: str | re.Pattern[str], timeout: float = PATIENCE) -> None:
        expect(self.page.get_by_text(text).first).to_be_visible(timeout=timeout)

    # ------------------------------------------------------------------------------ the library
    def set_password(self, link: str) -> None:
        """The first coordinator follows the link that `manage.py invite` printed."""
        self.page.goto(link)
        self.look("invitation")
        self.page.get_by_label("Choose a password").fill(PASSWORD)
        self.page.get_by_label("The same again").fill(PASSWORD)
        self.press("Set the password and sign in")
        self.heading("From CT to a published number")
        self.look("home-of-an-empty-site")

    def upload(self, files: list[Path], organs: dict[str, tuple[str, str]], **about: str) -> None:
        """Choose files, say what each mask shows (name -> kind, organ), import."""
        page = self.page
        self.go("Library")
        self.look("library-empty")
        self.follow("Add CT")
        self.look("upload")
        page.locator("#files").set_input_files(files)
        self.heading("What was found")
        for name, (kind, organ) in organs.items():
            part = re.escape(name)
            page.get_by_label(re.compile(f"^What .* of {part} shows")).select_option(kind)
            page.get_by_label(re.compile(f"^Organ of .* of {part}")).fill(organ)
        for label, value in about.items():
            page.get_by_label(label.replace("_", " ").capitalize()).fill(value)
        self.look("upload-review")
        self.press("Import")
        self.heading("Importing")
        expect(page.locator(".job progress")).to_be_visible(timeout=PATIENCE)
        self.look("upload-importing")
        self.heading("Result of the import")
        expect(page.locator(".outcomes .badge-ok")).to_have_count(1)
        self.look("upload-result")

    # -------------------------------------------------------------------------------- the cases
    def start_run(self, *, organs: list[str], each: int, smallest: int, largest: int) -> str:
        """Fill and send the form of a synthesis run; returns the address of its page."""
        page = self.page
        self.go("Cases")
        self.follow("New synthesis run")
        for organ in organs:
            page.get_by_label(organ, exact=True).check()
        page.get_by_label("Lesions per volume and organ").fill(str(each))
        page.get_by_label("Smallest diameter (mm)").fill(str(smallest))
        page.get_by_label("Largest diameter (mm)").fill(str(largest))
        page.get_by_label("Seed").fill("20260")
        self.look("synthesis-form")
        self.press("Start the run")
        self.heading("Synthesis run of")
        return str(page.url)

    def curate(self) -> str:
        """Look at a candidate: wait until its voxels are drawn; returns its id."""
        expect(self.page.locator("html[data-ready=true]")).to_be_attached()
        return str(self.page.url.split("/candidates/")[1].split("/")[0])

    def decide(self, *keys: str) -> str:
        """Decide by keyboard and wait for the next candidate; returns its id."""
        before = self.curate()
        for key in keys:
            self.page.keyboard.press(key)
        self.page.wait_for_url(lambda url: before not in url.split("?")[0])
        return self.curate()

    # -------------------------------------------------------------------------------- the trial
    def add_reader(self, email: str, name: str, years: int) -> str:
        """Add a reader; returns the invitation link that is shown once."""
        page = self.page
        form = page.locator("form", has_text="Add the reader")
        form.get_by_label("E-mail").fill(email)
        form.get_by_label("Name").fill(name)
        form.get_by_label("Years of experience").fill(str(years))
        form.get_by_label("Subspecialty").fill("Abdominal imaging")
        self.press("Add the reader")
        link = page.locator("#invitation-link").input_value()
        assert "/people/invitation/" in link
        return str(link)

    def step(self, link: str, button: str, **answers: str) -> None:
        """A step in the life of the trial, from its overview."""
        self.tab("Overview")
        self.follow(link)
        for label, value in answers.items():
            self.page.get_by_label(label.replace("_", " ").capitalize()).fill(value)
        self.look(link.split()[0].lower())
        self.press(button)
        expect(self.page.locator(".notice-success")).to_be_visible()
