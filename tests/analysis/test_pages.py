"""Results in the browser: who may see them, what stands there, and what is said when they lack."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import uuid
from typing import Any

import pytest

from readerstudy.analysis import figures, layout, pages, selectors, services, tables
from readerstudy.analysis.models import Bundle, ResultsSnapshot
from readerstudy.jobs.models import Job
from readerstudy.trials.models import CaseTruth, Membership, Trial
from tests.conftest import ROOT
from tests.test_code import environment

from .factory import make_trial, protocol

pytestmark = pytest.mark.django_db
DEMO = "/results/demo/"


def html(response: Any) -> str:
    assert response.status_code == 200, response.content[:400]
    return response.content.decode()


# ---------------------------------------------------------------------------------------- access


def test_outsiders_get_404_and_readers_of_the_trial_403(
    computed: ResultsSnapshot, client_for: Any, nobody: Any, other_coordinator: Any
) -> None:
    trial = computed.trial
    bundle = services.make_bundle(trial, "blinded")
    reader = trial.memberships.filter(role="reader").first().user
    custodian = Membership.objects.create(trial=trial, user=nobody, role="custodian", code="K01")
    pages = [
        DEMO, f"{DEMO}cases/", f"{DEMO}results.json", f"{DEMO}figures/roc.svg",
        f"{DEMO}tables/readers.csv", f"{DEMO}exports/{bundle.pk}/",
    ]  # fmt: skip
    for page in pages:
        assert client_for(other_coordinator).get(page).status_code == 404
        assert client_for(reader).get(page).status_code == 403
        assert client_for(nobody).get(page).status_code == 403
        assert client_for().get(page).status_code == 302
    for page in (f"{DEMO}compute/", f"{DEMO}exports/"):
        assert client_for(other_coordinator).post(page).status_code == 404
        assert client_for(reader).post(page).status_code == 403
    custodian.delete()
    assert client_for(nobody).get(DEMO).status_code == 404


def test_coordinators_and_researchers_of_the_trial_see_results(
    computed: ResultsSnapshot, client_for: Any, coordinator: Any, researcher: Any
) -> None:
    for user in (coordinator, researcher):
        assert "Primary endpoint: AUC" in html(client_for(user).get(DEMO))


def test_A4_a_right_that_ended_opens_nothing(
    computed: ResultsSnapshot, client_for: Any, researcher: Any
) -> None:
    client = client_for(researcher)
    assert client.get(DEMO).status_code == 200
    Membership.objects.filter(user=researcher).update(valid_to="2026-01-01T00:00Z")
    assert client.get(DEMO).status_code == 404


def test_unknown_files_are_404(
    computed: ResultsSnapshot, client_for: Any, coordinator: Any
) -> None:
    client = client_for(coordinator)
    for page in ("figures/../results.json", "figures/roc.txt", "figures/x.svg", "tables/x.csv",
                 "figures/roc.svg.png", f"exports/{uuid.uuid4()}/"):  # fmt: skip
        assert client.get(DEMO + page).status_code == 404


# ----------------------------------------------------------------------------------- the sealed


def test_a_sealed_trial_says_what_is_missing_and_shows_nothing_of_the_truth(
    closed: Trial, client_for: Any, coordinator: Any
) -> None:
    client = client_for(coordinator)
    page = html(client.get("/results/sealed/"))
    assert "No results yet" in page
    assert "The truth was opened (unblinded)." in page
    assert "Make unblinded export" not in page
    for truth in CaseTruth.objects.filter(case__trial=closed):
        truth.arm = {"real": "synthetic", "synthetic": "real"}[truth.arm]
        truth.save()
    again = html(client.get("/results/sealed/"))
    assert _without_token(again) == _without_token(page)


@pytest.mark.parametrize("page", ["cases/", "results.json", "figures/roc.svg", "tables/cases.csv"])
def test_a_sealed_trial_has_no_result_files(
    closed: Trial, client_for: Any, coordinator: Any, page: str
) -> None:
    assert client_for(coordinator).get(f"/results/sealed/{page}").status_code == 404


def test_computing_a_sealed_trial_is_refused(
    closed: Trial, client_for: Any, coordinator: Any
) -> None:
    client = client_for(coordinator)
    for page, data in (("compute/", {}), ("exports/", {"level": "unblinded"})):
        response = client.post(f"/results/sealed/{page}", data)
        assert response.status_code == 409
        assert "its truth is sealed" in response.content.decode()
    assert not Job.objects.exists()


# ------------------------------------------------------------------------------------ the results


def test_from_the_button_to_the_page(
    unblinded: Trial, client_for: Any, researcher: Any, run_jobs: Any
) -> None:
    client = client_for(researcher)
    page = html(client.get(DEMO))
    assert "The results are not computed yet" in page
    assert client.post(f"{DEMO}compute/").status_code == 302
    assert client.post(f"{DEMO}compute/").status_code == 302  # twice: still one job
    assert Job.objects.count() == 1
    assert "jobs/" in html(client.get(DEMO))
    (job,) = run_jobs()
    assert job.state == "done", job.error
    assert job.done == job.total > 0
    page = html(client.get(DEMO))
    snapshot = ResultsSnapshot.objects.get()
    results = json.loads((snapshot.folder / "results.json").read_text())
    assert results["primary"]["sentence"].replace(" %", "\u202f%") in page
    for title in ("Each reader", "Endpoints", "All readings pooled", "Synthetic tumors called real",
                  "By organ and size"):  # fmt: skip
        assert title in page
    for name in ("forest", "roc", "confusion", "fool_rate", "equivalence", "bias", "cases"):
        picture = client.get(f"{DEMO}figures/{name}.screen.svg")
        assert picture["Content-Type"] == "image/svg+xml"
        assert client.get(f"{DEMO}figures/{name}.png").content.startswith(b"\x89PNG")


def test_the_page_shows_every_figure_and_every_table_and_offers_each(
    computed: ResultsSnapshot, client_for: Any, coordinator: Any
) -> None:
    client = client_for(coordinator)
    page = html(client.get(DEMO))
    for figure in selectors.figures_of(computed):
        assert page.count(f"figures/{figure['name']}.screen.svg") == 1, figure["name"]
        for ending in ("svg", "png"):
            assert page.count(f'{DEMO}figures/{figure["name"]}.{ending}" download') == 2
    made = pages.tables_of(selectors.results_of(computed))
    assert len(made) > 15
    for name in made:
        times = 1 if name in layout.ELSEWHERE else 2
        assert page.count(f'{DEMO}tables/{name}.csv" download') == times, name
        assert client.get(f"{DEMO}tables/{name}.csv").status_code == 200
    for words in ("Obuchowski-Rockette with Hillis degrees of freedom", "95 % interval"):
        assert words in page


def test_the_report_is_a_file_to_take_along(
    computed: ResultsSnapshot, client_for: Any, coordinator: Any
) -> None:
    client = client_for(coordinator)
    page = html(client.get(DEMO))
    for form, start in (("pdf", b"%PDF-"), ("html", b"<!")):
        assert f"{DEMO}report.{form}" in page
        response = client.get(f"{DEMO}report.{form}")
        assert b"".join(response.streaming_content).startswith(start)
        assert response["Content-Disposition"] == f'attachment; filename="demo-report.{form}"'
    assert client.get(f"{DEMO}report.docx").status_code == 404
    (computed.folder / "report.pdf").unlink()
    assert client.get(f"{DEMO}report.pdf").status_code == 404
    assert "report.pdf" not in html(client.get(DEMO))


def test_a_table_that_no_section_names_is_shown_all_the_same() -> None:
    made = {name: tables.Table(name, name, "", (), ((),)) for name in ("readers", "brand_new")}
    found = layout.sections({"forest": "a picture"}, made)
    assert [(s.key, [t.name for t in s.tables]) for s in found] == [
        ("readers", ["readers"]), ("more", ["brand_new"]),
    ]  # fmt: skip


def test_every_table_names_the_positive_class(computed: ResultsSnapshot) -> None:
    made = tables.all_tables(selectors.results_of(computed))
    for name in ("endpoints", "detection", "readers", "pooled", "subgroups", "methods"):
        assert "Positive class: synthetic." in made[name].note
    assert "synthetic" in made["fool_rate"].note


def test_X9_each_number_on_the_page_is_the_exported_one_rounded(
    computed: ResultsSnapshot, client_for: Any, coordinator: Any
) -> None:
    client = client_for(coordinator)
    page = html(client.get(DEMO))
    results = json.loads(client.get(f"{DEMO}results.json").content)
    rows = list(
        csv.DictReader(io.StringIO(client.get(f"{DEMO}tables/readers.csv").content.decode()))
    )
    for row, reader in zip(rows, results["readers"], strict=True):
        assert float(row["auc"]) == reader["auc"]["estimate"]
        assert float(row["accuracy_wilson_low"]) == reader["accuracy"]["ci"][0]
        assert f"{float(row['auc']):.3f}" in page
        assert f"{float(row['sensitivity']):.3f}" in page
    primary = results["primary"]["result"]
    assert f"{primary['ci95'][0]:.3f} to {primary['ci95'][1]:.3f}" in page


def test_case_explorer_filters(
    computed: ResultsSnapshot, client_for: Any, coordinator: Any
) -> None:
    client = client_for(coordinator)
    results = selectors.results_of(computed)
    page = html(client.get(f"{DEMO}cases/?truth=synthetic&misled=R02"))
    want = [
        c for c in results["cases"] if c["truth"] == "synthetic" and "R02" in c["wrong_readers"]
    ]
    assert f"{len(want)} of {len(results['cases'])} cases" in page
    assert all(f">{c['case']}<" in page for c in want)
    assert "No case matches" in html(client.get(f"{DEMO}cases/?organ=none"))


def test_real_as_the_positive_class_is_carried_through(coordinator: Any, small_rows: Any) -> None:
    trial = make_trial(
        coordinator, rows=small_rows, document=protocol("real", "balanced_accuracy", 0.05)
    )
    results = services.analyze_trial(trial)
    assert (results["positive"], results["primary"]["metric"]) == ("real", "balanced_accuracy")
    assert results["primary"]["margin"] == 0.05
    assert results["fool_rate"]["overall"]["truth"] == "synthetic"
    assert len(list(figures.draw_all(results, screen=False))) > 8


def test_patients_with_several_cases_are_the_unit(unblinded: Trial) -> None:
    data = services.analyze_trial(unblinded)["data"]
    assert (data["unit"], data["n_units"], data["n_cases"]) == ("patient", 30, 40)


def test_a_trial_without_readings_fails_with_a_sentence(
    coordinator: Any, client_for: Any, run_jobs: Any, small_rows: Any
) -> None:
    trial = make_trial(coordinator, rows=small_rows)
    from readerstudy.reading.models import Judgment

    Judgment.objects.all().delete()
    client = client_for(coordinator)
    client.post(f"{DEMO}compute/")
    (job,) = run_jobs()
    assert job.state == "failed"
    assert job.error == (
        "Trial demo cannot be analysed: The table has a header but no rows: there are no readings."
    )
    assert selectors.snapshot_of(trial) is None
    assert "not computed yet" in html(client.get(DEMO))


def test_export_from_the_page(
    computed: ResultsSnapshot, client_for: Any, coordinator: Any, run_jobs: Any
) -> None:
    client = client_for(coordinator)
    assert client.post(f"{DEMO}exports/", {"level": "everything"}).status_code == 400
    assert client.post(f"{DEMO}exports/", {"level": "unblinded"}).status_code == 302
    (job,) = run_jobs()
    bundle = Bundle.objects.get(pk=job.result["bundle"])
    assert bundle.filename in html(client.get(DEMO))
    response = client.get(f"{DEMO}exports/{bundle.pk}/")
    assert b"".join(response.streaming_content) == bundle.path.read_bytes()
    assert response["Content-Disposition"] == 'attachment; filename="demo-unblinded.zip"'


def test_a_killed_computation_leaves_nothing_half_done(
    unblinded: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    few = figures.kinds()[:2]
    monkeypatch.setattr(figures, "kinds", lambda: few)

    def die(done: int, total: int, message: str) -> None:
        if message == "Drawing the figures":  # the folder beside is half full
            raise Killed

    with pytest.raises(Killed):
        services.compute_results(unblinded, progress=die)
    assert selectors.snapshot_of(unblinded) is None
    assert not list(ResultsSnapshot(trial=unblinded).folder.parent.glob("*"))
    assert services.compute_results(unblinded).sha256
    assert services.compute_results(unblinded) == ResultsSnapshot.objects.get()


def test_figures_have_the_same_bytes_each_time(computed: ResultsSnapshot) -> None:
    results = selectors.results_of(computed)
    for drawn in figures.draw_all(results):
        for name, content in drawn.files.items():
            assert (computed.folder / "figures" / name).read_bytes() == content, name
        assert drawn.alt
        assert b"<dc:date>" not in drawn.files[f"{drawn.name}.svg"]


def test_A5_reading_results_writes_nothing(
    computed: ResultsSnapshot, client_for: Any, coordinator: Any
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client = client_for(coordinator)
    client.get(DEMO)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        for page in ("", "cases/", "results.json", "figures/roc.svg", "tables/readers.csv"):
            assert client.get(DEMO + page).status_code == 200
    verbs = {q["sql"].split()[0] for q in queries.captured_queries}
    assert verbs <= {"SELECT"}, verbs
    assert len(queries) < 60


def test_O12_the_pages_import_no_heavy_library() -> None:
    program = (
        "import sys, django; django.setup()\n"
        "import readerstudy.analysis.views, readerstudy.analysis.jobs\n"
        "heavy = ('scipy', 'statsmodels', 'matplotlib', 'pandas', 'torch')\n"
        "print([name for name in heavy if name in sys.modules])\n"
        # The planning page needs scipy, and nothing heavier, once somebody plans.
        "import readerstudy.analysis.stats.plantable\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT,
        env=environment(), check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["[]", "['scipy']"], done.stderr


def _without_token(page: str) -> str:
    import re

    return re.sub(r'(csrfmiddlewaretoken" value|X-CSRFToken": )[^>]+', "", page)


def test_zero_has_no_minus_sign() -> None:
    from readerstudy.analysis import tables

    assert tables.share(-1e-17) == "0.000" and tables.share(-0.25) == "−0.250"
    assert tables.open_bounds((-1e-9, 1.5)) == "0.000 to 1.500"
