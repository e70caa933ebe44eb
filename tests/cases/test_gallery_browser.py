"""The gallery of a run in a real browser: sliders by key and click, decisions, live at work."""

from __future__ import annotations

import pytest
from django.urls import reverse

from readerstudy.cases.models import Candidate, SynthesisRun
from readerstudy.jobs.models import Job

from .test_browser import page  # noqa: F401 - a fixture

pytestmark = pytest.mark.browser
SPLIT = "n => getComputedStyle(n.querySelector('[data-split]')).getPropertyValue('--split').trim()"


def test_sliders_follow_and_stay_while_new_lesions_come_in(page, live_server, made_run):  # noqa: F811
    first, second = made_run.candidates.filter(by_gate=False).order_by("lesion_index")[:2]
    # As it was when the first lesion was there and the job at work on the second.
    made_run.candidates.exclude(pk=first.pk).update(run=None)
    SynthesisRun.objects.filter(pk=made_run.pk).update(made=1)
    Job.objects.filter(pk=made_run.job_id).update(state="running", done=1, total=3)
    page.goto(live_server.url + reverse("cases:run", args=[made_run.pk]))
    shot = page.locator(f"#lesion-{first.pk}")
    slider = shot.locator("input[type=range]")
    slider.focus()
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    assert shot.evaluate(SPLIT) == "80%"
    shot.locator("select[name=reason]").select_option("Hard to see")

    Candidate.objects.filter(pk=second.pk).update(run=made_run)
    SynthesisRun.objects.filter(pk=made_run.pk).update(made=2)
    page.locator(f"#lesion-{second.pk}").wait_for()
    assert "2 of 3" in page.locator("#k-of-n").inner_text()
    assert shot.evaluate(SPLIT) == "80%"
    assert slider.input_value() == "80"
    assert shot.locator("select[name=reason]").input_value() == "Hard to see"
    assert page.evaluate("document.activeElement.type") in ("range", "select-one")

    box = shot.locator("[data-split]").bounding_box()
    page.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + 20)
    assert slider.input_value() == "25"
    shot.get_by_role("button", name="Reject").click()
    page.wait_for_url(lambda url: url.endswith(f"#lesion-{first.pk}"))
    assert Candidate.objects.get(pk=first.pk).reason == "Hard to see"
