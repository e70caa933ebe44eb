"""The page for volumes of other generators, in a real browser."""

from __future__ import annotations

import pytest
from django.urls import reverse

from readerstudy.cases.models import Candidate
from tests.cases.test_browser import page  # noqa: F401
from tests.cases.test_foreign import Made
from tests.e2e.shots import Album

pytestmark = pytest.mark.browser


def test_three_files_become_a_candidate(page, live_server, run_jobs, tmp_path):  # noqa: F811
    made, album = Made(tmp_path / "made", noise=3), Album()
    page.goto(live_server.url + reverse("cases:import_synthetic"))
    for part in ("original", "synthetic", "mask"):
        page.set_input_files(f"input[name={part}]", made.path(part))
    page.fill("input[name=generator]", "Diffusion 2")
    page.fill("input[name=organ]", "liver")
    page.check("input[name=clean_outside]")
    album.take(page, "import-form")
    page.click("button:has-text('Import')")
    page.wait_for_selector("text=Importing a synthetic volume")
    run_jobs()
    page.wait_for_selector("text=Look at the candidate")
    album.take(page, "import-done")
    page.click("text=Look at the candidate")
    row = Candidate.objects.get()
    page.wait_for_url(f"**/candidates/{row.pk}/")
    page.wait_for_timeout(500)
    album.take(page, "import-candidate")
    page.goto(live_server.url + reverse("cases:run", args=[row.run_id]))
    page.wait_for_selector("text=our gate did not judge it")
    album.take(page, "import-run")
    page.goto(live_server.url + reverse("cases:index"))
    album.take(page, "import-index")
