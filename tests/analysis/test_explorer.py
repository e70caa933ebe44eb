"""The case explorer and the review of one case: who sees a truth, and whether it is right."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from readerstudy.analysis import explorer, selectors
from readerstudy.analysis.models import ResultsSnapshot
from readerstudy.cases.rendition import build_renditions
from readerstudy.cases.services import make_candidates
from readerstudy.trials.models import Case, Membership, Trial
from readerstudy.trials.preparation import rendition_seed
from tests.cases.conftest import keep
from tests.cases.test_outline import RULE
from tests.e2e.patience import until
from tests.reading.world import make_rendition, pixels
from tests.synthesis.hosts import ball_host

pytestmark = pytest.mark.django_db
CASES = "/results/demo/cases/"
LOADED = "Boolean(window.__viewer && window.__viewer.loaded && window.__viewer.ready)"


def html(response: Any) -> str:
    assert response.status_code == 200, response.content[:400]
    text: str = response.content.decode()
    return text


def script(page: str, name: str) -> Any:
    found = re.search(
        rf'<script id="{name}" type="application/json">(.*?)</script>', page, re.DOTALL
    )
    assert found, page[:300]
    return json.loads(found[1])


def with_images(trial: Trial, number: int = 1) -> Case:
    """Give a case of the factory frames that can be fetched."""
    case: Case = trial.cases.get(number=number)
    case.rendition = make_rendition(pixels(number), case.organ)
    case.save()
    return case


# ---------------------------------------------------------------------------------------- access


def test_no_one_but_the_analysts_of_an_unblinded_trial_sees_a_truth(
    computed: ResultsSnapshot, client_for: Any, coordinator: Any, researcher: Any, nobody: Any,
    other_coordinator: Any, other_reader: Any,
) -> None:  # fmt: skip
    trial = computed.trial
    case = with_images(trial)
    reader = trial.memberships.filter(role="reader").first().user
    other = Trial.objects.create(slug="other", title="Other", seed=1)
    Membership.objects.create(trial=other, user=other_reader, role="reader", code="R01")
    for page in (f"{CASES}1/", f"{CASES}1/frames/0"):
        for user in (coordinator, researcher):
            assert client_for(user).get(page).status_code == 200
        assert client_for(reader).get(page).status_code == 403
        for user in (nobody, other_coordinator, other_reader):
            assert client_for(user).get(page).status_code == 404
        assert client_for().get(page).status_code == 302
        for state in ("draft", "open", "paused", "closed"):
            Trial.objects.filter(pk=trial.pk).update(state=state)
            assert client_for(coordinator).get(page).status_code == 404, state
        Trial.objects.filter(pk=trial.pk).update(state="unblinded")
    case.phase = "practice"
    case.save()
    assert client_for(coordinator).get(f"{CASES}1/").status_code == 404


def test_who_reads_the_same_patient_in_a_sealed_trial_is_kept_from_the_truth(
    computed: ResultsSnapshot, client_for: Any, researcher: Any
) -> None:
    case = with_images(computed.trial)
    other = Trial.objects.create(slug="other", title="Other", seed=1, state="open")
    twin = Case.objects.create(
        trial=other, number=1, rendition=make_rendition(pixels(5)), organ="liver",
        size_band="small", patient_key="SOMEBODY-ELSE",
    )  # fmt: skip
    part = Membership.objects.create(trial=other, user=researcher, role="reader", code="R01")
    client = client_for(researcher)
    assert client.get(f"{CASES}1/").status_code == 200
    Case.objects.filter(pk=twin.pk).update(patient_key=case.patient_key)
    for page in (f"{CASES}1/", f"{CASES}1/frames/0"):
        response = client.get(page)
        assert response.status_code == 403
        assert "reader of another trial that shows this patient" in response.content.decode()
        assert "ynthetic" not in response.content.decode()
    Trial.objects.filter(pk=other.pk).update(state="unblinded")
    assert client.get(f"{CASES}1/").status_code == 200
    Trial.objects.filter(pk=other.pk).update(state="paused")
    part.valid_to = case.trial.opened_at
    part.save()
    assert client.get(f"{CASES}1/").status_code == 200


# ---------------------------------------------------------------------------------------- the map


def test_the_map_holds_each_readers_first_answer(
    computed: ResultsSnapshot, client_for: Any, coordinator: Any
) -> None:
    drawn = script(html(client_for(coordinator).get(f"{CASES}?sort=case")), "map-data")
    results = selectors.results_of(computed)
    truth = dict(zip(drawn["cases"], drawn["truth"], strict=True))
    assert drawn["cases"] == sorted(truth) and len(truth) == 40
    wrong: dict[str, set[str]] = {name: set() for name in truth}
    for reader, signs in zip(drawn["readers"], drawn["ratings"], strict=True):
        for name, sign in zip(drawn["cases"], signs, strict=True):
            said = "s" if sign != "." and int(sign) >= 4 else "r"
            if sign != "." and said != truth[name]:
                wrong[name].add(reader)
    assert wrong == {row["case"]: set(row["wrong_readers"]) for row in results["cases"]}
    errors = [sum(r in codes for codes in wrong.values()) for r in drawn["readers"]]
    assert errors == sorted(errors)


def test_sorting_and_filtering_go_along_to_the_case_and_back(
    computed: ResultsSnapshot, client_for: Any, coordinator: Any
) -> None:
    client = client_for(coordinator)
    rows = selectors.results_of(computed)["cases"]
    wanted = sorted((r for r in rows if r["truth"] == "synthetic"), key=lambda r: r["size_mm"])
    page = html(client.get(f"{CASES}?truth=synthetic&sort=size&way=up"))
    shown = re.findall(r">(C\d{3})</a></th>", page)
    assert shown == [row["case"] for row in wanted]
    assert 'aria-sort="ascending"' in page
    second = re.search(rf'href="([^"]+)">{shown[1]}<', page)[1].replace("&amp;", "&")  # type: ignore[index]
    config = script(html(client.get(second)), "viewer-config")
    assert config["place"] == f"2 of {len(wanted)} in the list"
    for step, name in (("previousUrl", shown[0]), ("nextUrl", shown[2])):
        assert config[step].startswith(f"{CASES}{int(name[1:])}/?truth=synthetic&sort=size")
    assert config["listUrl"] == f"{CASES}?truth=synthetic&sort=size&way=up"


def test_unknown_sorting_and_filters_are_taken_as_none(
    computed: ResultsSnapshot, client_for: Any, coordinator: Any
) -> None:
    page = html(client_for(coordinator).get(f"{CASES}?sort=truth'--&way=sideways&colour=red"))
    assert "40 of 40 cases" in page


def test_a_case_nobody_read_stands_last_whichever_way_it_is_sorted() -> None:
    rows = [
        {"case": "C001", "rate": None, "wrong_readers": []},
        {"case": "C002", "rate": 0.2, "wrong_readers": []},
        {"case": "C003", "rate": 0.9, "wrong_readers": []},
    ]
    for way, order in (("down", ["C003", "C002", "C001"]), ("up", ["C002", "C003", "C001"])):
        chosen = explorer.choose(rows, {"sort": "rate", "way": way})
        assert [row["case"] for row in chosen.rows] == order


# --------------------------------------------------------------------------------------- one case


def test_the_review_tells_what_the_case_is_and_what_each_reader_answered(
    computed: ResultsSnapshot, client_for: Any, coordinator: Any
) -> None:
    trial = computed.trial
    for row in selectors.results_of(computed)["cases"][:6]:
        case = trial.cases.select_related("truth").get(number=int(row["case"][1:]))
        config = script(
            html(client_for(coordinator).get(f"{CASES}{case.number}/")), "viewer-config"
        )
        assert config["truth"].lower() == case.truth.arm == row["truth"]
        counted = [given for given in config["ratings"] if not given["repeat"]]
        assert len(counted) == row["n"]
        assert {g["reader"] for g in counted if g["wrong"]} == set(row["wrong_readers"])
        assert f"{row['wrong']} of {row['n']} readers" in config["summary"]
        assert "(Wilson)" in config["summary"]
        assert config["outline"] is None  # the factory's candidates are in no library


def test_frames_under_review_are_the_bytes_that_readers_got(
    computed: ResultsSnapshot, client_for: Any, coordinator: Any
) -> None:
    from readerstudy.cases.frames import read_frame

    case = with_images(computed.trial)
    client = client_for(coordinator)
    for index in range(2):
        response = client.get(f"{CASES}1/frames/{index}")
        assert response.content == read_frame(case.rendition_id, index)
        assert "jls" not in response["Content-Type"] and "4.80" in response["Content-Type"]
    for page in (f"{CASES}1/frames/99", f"{CASES}2/frames/0", f"{CASES}999/"):
        assert client.get(page).status_code == 404


def test_the_readers_page_fetches_nothing_of_the_review() -> None:
    from readerstudy.templatetags.viewer import viewer_assets, viewer_preload

    review = viewer_assets("review")
    own = set(re.findall(r"assets/(review[\w-]+\.(?:js|css))", review))
    assert len(own) == 2
    for links in (viewer_assets(), viewer_preload()):
        assert not [name for name in own if name in links]


@pytest.fixture
def fooling(unblinded: Trial, drawn_once: Any, request: Any) -> tuple[Trial, Case]:
    """A computed trial whose most misleading synthetic case has images and a lesion."""
    request.getfixturevalue("computed")
    row = next(
        r
        for r in selectors.results_of(ResultsSnapshot.objects.get())["cases"]
        if r["truth"] == "synthetic"
    )
    case = unblinded.cases.select_related("truth").get(number=int(row["case"][1:]))
    scan = ball_host((1.5, 1.5, 3.0), tumor_radius_mm=8.0, seed=3)
    candidate = make_candidates(keep(scan))[0]
    seed = rendition_seed(unblinded)
    case.rendition = build_renditions([candidate], RULE, seed=seed)[candidate.pk]
    case.save()
    case.truth.candidate = candidate.pk
    case.truth.save()
    for other in unblinded.cases.filter(phase="main", truth__arm="synthetic").exclude(pk=case.pk):
        with_images(unblinded, other.number)
    return unblinded, case


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_from_the_map_to_a_fooled_case_with_its_truth(
    fooling: tuple[Trial, Case], live_server: Any, browser: Any, client_for: Any, coordinator: Any
) -> None:
    _, case = fooling
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    for name, morsel in client_for(coordinator).cookies.items():
        context.add_cookies([{"name": name, "value": morsel.value, "url": live_server.url}])
    page = context.new_page()
    trouble: list[str] = []
    page.on("console", lambda m: m.type in {"error", "warning"} and trouble.append(m.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("response", lambda r: r.status >= 400 and trouble.append(f"{r.status} {r.url}"))

    page.goto(f"{live_server.url}{CASES}?truth=synthetic")
    page.focus("#reader-map")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#map-readout").startswith(f"{case}, synthetic")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{CASES}{case.number}/?truth=synthetic")
    until(lambda: page.evaluate(LOADED), "all slices")
    assert page.inner_text("#rv-truth") == "Synthetic"
    assert "misled" in page.inner_text(".rv-answers")
    assert page.locator(".rv-outline").count() == 1
    assert page.locator(".rv-rating, .rv-save").count() == 0
    page.keyboard.press("1")  # an answer on the reading page; nothing here
    page.keyboard.press("o")
    assert page.locator(".rv-outline").count() == 0
    page.keyboard.press("n")
    page.wait_for_url(lambda url: f"{CASES}{case.number}/" not in url)
    until(lambda: page.evaluate(LOADED), "all slices")
    assert page.inner_text("#rv-truth") == "Synthetic"
    page.go_back()
    page.wait_for_url(f"**{CASES}{case.number}/?truth=synthetic")
    until(lambda: page.evaluate(LOADED), "all slices")
    page.keyboard.press("Escape")
    page.wait_for_url(f"**{CASES}?truth=synthetic")
    context.close()
    assert trouble == []
