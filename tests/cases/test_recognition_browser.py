"""Recognition in a real browser: ask, watch, step through the findings in the viewer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from django.urls import reverse

from readerstudy.cases.models import Recognition, RecognitionRun
from readerstudy.jobs.services import due, execute
from tests.synthesis.hosts import ball_host

from .conftest import FLIPPED, keep

pytestmark = pytest.mark.browser
LOADED = "() => window.__viewer?.ready && window.__viewer.loaded"
#: Set to keep pictures of the pages.
LOOK = os.environ.get("READERSTUDY_LOOK", "")


@pytest.fixture(params=[1280])
def page(request, transactional_db, live_server, browser, client_for, coordinator):
    context = browser.new_context(viewport={"width": request.param, "height": 860})
    for name, morsel in client_for(coordinator).cookies.items():
        context.add_cookies([{"name": name, "value": morsel.value, "url": live_server.url}])
    tab = context.new_page()
    trouble = []
    tab.on("console", lambda m: m.type in {"error", "warning"} and trouble.append(m.text))
    tab.on("pageerror", lambda error: trouble.append(str(error)))
    tab.on("response", lambda r: r.status >= 400 and trouble.append(f"{r.status} {r.url}"))
    yield tab
    context.close()
    assert trouble == []


def look(page, name):
    if LOOK:
        width = page.viewport_size["width"]
        page.screenshot(path=str(Path(LOOK) / f"{name}-{width}.png"), full_page=True)


def test_from_the_library_to_the_outline_of_a_finding(page, live_server):
    scan = ball_host((2.0, 2.0, 3.0), tumor_radius_mm=10.0, seed=3)
    keep(scan, name="First", direction=FLIPPED)
    keep(ball_host((2.0, 2.0, 3.0), seed=4), name="Second", patient="P2")
    page.goto(live_server.url + reverse("cases:recognition"))
    look(page, "empty")
    page.click("text=New run >> nth=0")
    page.select_option("[name=organ]", "liver")
    page.fill("[name=threshold]", "0.3")
    page.uncheck("[name=inside]")
    look(page, "form")
    page.click("text=Look for tumors")
    page.wait_for_url("**/cases/recognition/*-*/")
    assert "not looked at yet" in page.inner_text("#results")
    for job in due(["cpu"], 10):
        execute(str(job.pk))
    run = RecognitionRun.objects.get()
    assert run.job.state == "done", run.job.error
    page.goto(live_server.url + reverse("cases:recognition_run", args=[run.pk]))
    look(page, "run")
    result = Recognition.objects.get(volume__name="First")
    assert len(result.lesions) >= 2
    page.click(f"a[href$='{reverse('cases:recognition_result', args=[result.pk])}?finding=2']")
    page.wait_for_function(LOADED, timeout=30_000)
    assert page.evaluate("() => window.__viewer.finding") == 2
    assert page.locator(".rv-outline").count() == 1
    shown = page.inner_text("tr[aria-current]")
    assert f"{result.lesions[1]['diameter_mm']:.1f}" in shown
    page.keyboard.press("p")
    assert page.evaluate("() => window.__viewer.finding") == 1
    first = page.evaluate("() => window.__viewer.slice")
    look(page, "viewer")
    page.keyboard.press("PageDown")
    assert page.evaluate("() => window.__viewer.slice") != first
    page.keyboard.press("j")
    assert page.evaluate("() => window.__viewer.slice") == first
    page.keyboard.press("m")
    look(page, "planes")
    page.keyboard.press("o")
    assert page.locator(".rv-outline").count() == 0
    with page.expect_download() as download:
        page.click("text=SEG (DICOM)")
    assert download.value.suggested_filename == "first_seg.dcm"
    page.keyboard.press("Shift+N")
    page.wait_for_function("() => document.title.startsWith('Findings in Second')")
    page.keyboard.press("Escape")
    page.wait_for_url(f"**{reverse('cases:recognition_run', args=[run.pk])}")
