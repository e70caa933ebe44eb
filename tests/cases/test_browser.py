"""The curation page in a real browser: pixels, keys, decisions."""

from __future__ import annotations

import numpy as np
import pytest
from django.urls import reverse

from readerstudy.cases.models import Candidate
from readerstudy.cases.patches import load_patch
from readerstudy.library import selectors as library

pytestmark = pytest.mark.browser
PAINTED = "() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => r())))"


@pytest.fixture
def page(transactional_db, live_server, browser, client_for, coordinator):
    client = client_for(coordinator)
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    for name, morsel in client.cookies.items():
        context.add_cookies([{"name": name, "value": morsel.value, "url": live_server.url}])
    tab = context.new_page()
    tab.trouble = []
    tab.on("console", lambda m: m.type == "error" and tab.trouble.append(m.text))
    tab.on("pageerror", lambda error: tab.trouble.append(str(error)))
    yield tab
    context.close()
    assert tab.trouble == []


def settled(page):
    """Until the voxels are in and what was asked for is painted."""
    page.wait_for_selector("html[data-ready=true]", state="attached")
    page.evaluate(PAINTED)


def grey_at_lesion(page, plane="axial"):
    """Mean grey of the 9 x 9 screen pixels around the middle of the lesion on a canvas."""
    return page.evaluate(
        """(plane) => {
          const canvas = document.querySelector(`canvas[data-plane=${plane}]`);
          const {x, y} = window.__where[plane];
          const data = canvas.getContext('2d').getImageData(
            Math.round(x * canvas.width) - 4, Math.round(y * canvas.height) - 4, 9, 9).data;
          let sum = 0;
          for (let i = 0; i < data.length; i += 4) sum += data[i];
          return sum / 81;
        }""",
        plane,
    )


def test_curating_by_keyboard_alone(page, live_server, made_run, host):
    rows = list(made_run.candidates.filter(state="pending"))
    page.goto(live_server.url + reverse("cases:queue"))
    settled(page)
    first = Candidate.objects.get(pk=page.url.split("/")[5])
    patch, ct = load_patch(first), library.load_ct(host)

    # Where the lesion's middle lies on the axial canvas, from the block's own geometry.
    start = [max(0, o - p) for o, p in zip(patch.offset, (17, 47, 47), strict=True)]
    stop = [
        min(n, o + m + p)
        for n, o, m, p in zip(ct.shape, patch.offset, patch.mask.shape, (17, 47, 47), strict=True)
    ]
    middle = np.round(np.argwhere(patch.mask).mean(axis=0)).astype(int) + patch.offset
    size = np.asarray(stop) - start
    page.evaluate(
        """([fx, fy, nx, ny]) => {
          const canvas = document.querySelector('canvas[data-plane=axial]');
          const scale = Math.min(canvas.width / nx, canvas.height / ny);
          window.__where = {axial: {
            x: 0.5 + (fx - 0.5) * nx * scale / canvas.width,
            y: 0.5 + (fy - 0.5) * ny * scale / canvas.height,
          }};
        }""",
        [
            (middle[2] - start[2] + 0.5) / size[2],
            (middle[1] - start[1] + 0.5) / size[1],
            int(size[2]),
            int(size[1]),
        ],
    )
    after = grey_at_lesion(page)
    page.keyboard.press("b")
    page.evaluate(PAINTED)
    before = grey_at_lesion(page)
    z, y, x = middle
    around = (z, slice(y - 1, y + 2), slice(x - 1, x + 2))
    drop = -patch.residual[
        z - patch.offset[0],
        y - 1 - patch.offset[1] : y + 2 - patch.offset[1],
        x - 1 - patch.offset[2] : x + 2 - patch.offset[2],
    ].mean()
    assert drop > 15
    # Liver window: 180 HU over 255 greys.
    assert before - after == pytest.approx(drop * 255 / 180, abs=14)
    assert before == pytest.approx((ct[around].mean() - 0) * 255 / 180, abs=14)

    page.keyboard.press("ArrowDown")
    page.keyboard.press("m")
    page.keyboard.press("2")
    page.evaluate(PAINTED)
    assert page.locator("#toggle-outline").get_attribute("aria-pressed") == "true"
    assert "W 400" in page.locator("#plane-status").inner_text()

    page.keyboard.press("a")
    page.wait_for_url(lambda url: str(first.pk) not in url.split("?")[0])
    settled(page)
    assert Candidate.objects.get(pk=first.pk).state == "accepted"

    page.keyboard.press("u")
    page.wait_for_url(lambda url: str(first.pk) in url.split("?")[0])
    settled(page)
    assert Candidate.objects.get(pk=first.pk).state == "pending"

    page.keyboard.press("x")
    page.keyboard.press("2")
    page.wait_for_url(lambda url: str(first.pk) not in url.split("?")[0])
    assert Candidate.objects.get(pk=first.pk).reason == "Looks artificial"

    settled(page)
    here = page.url.split("?")[0]
    page.keyboard.press("n")
    page.wait_for_url(lambda url: url.split("?")[0] != here)
    assert len(rows) == 3


def test_a_real_candidate_has_no_before_and_after(page, live_server, sick):
    from readerstudy.cases.services import make_candidates

    row = make_candidates(sick)[0]
    page.goto(live_server.url + reverse("cases:candidate", args=[row.pk]))
    settled(page)
    assert page.locator("#split-control").is_hidden()
    page.keyboard.press("b")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("a")
    page.wait_for_url("**/candidates/?**")
    assert Candidate.objects.get(pk=row.pk).state == "accepted"
