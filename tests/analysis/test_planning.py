"""The planning page: what is typed is what is computed, and the address says all of it."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from readerstudy.analysis import charts, planner, selectors
from readerstudy.analysis.models import ResultsSnapshot
from readerstudy.analysis.stats.planning import power_single
from readerstudy.analysis.stats.plantable import cases_needed
from readerstudy.analysis.stats.simulation import RoeMetz, components_of

pytestmark = pytest.mark.django_db
PAGE = "/planning/"


def html(response: Any, status: int = 200) -> str:
    assert response.status_code == status, response.content[:400]
    text: str = response.content.decode()
    return re.sub(r"\s+", " ", text)


def test_the_page_shows_what_the_engine_computes(client_for: Any, researcher: Any) -> None:
    page = html(
        client_for(researcher).get(
            f"{PAGE}?readers=9&cases=150&endpoint=balanced_accuracy&margin=0.08&theta=0.51"
            "&expected=0.62&seconds=90&source=own&var_reader=0.001&var_error=0.003&cov2=0.0008"
            "&pilot_cases=100"
        )
    )
    known = {"var_reader": 0.001, "var_error": 0.003, "cov2": 0.0008, "pilot_cases": 100}
    flat = power_single(9, 150, theta=0.51, margin=0.08, **known)
    tilted = power_single(9, 150, theta=0.62, margin=0.08, **known)
    assert f"with a power of <strong>{100 * flat.power_tost:.0f} %" in page
    assert f"it finds that with <strong>{100 * tilted.power_two_sided:.0f} %" in page
    assert f"±{flat.half_width95:.3f}" in page
    assert "1350 readings" in page and "<dd>34</dd>" in page  # 9 x 150 x 90 s = 33.75 h
    own = planner._components({"source": "own", "endpoint": "auc", **known}, {})
    assert own is not None
    wanted = cases_needed(9, own, theta=0.51, margin=0.08)
    assert f"takes <strong>{wanted.n_cases} cases</strong>" in page


def test_a_number_in_the_table_leads_to_its_design(client_for: Any, coordinator: Any) -> None:
    client = client_for(coordinator)
    page = html(client.get(f"{PAGE}?margin=0.12&seconds=60"))
    cells = re.findall(r'<a href="\?([^"]+)" >(\d+)</a>', page)
    query, shown = next((q, n) for q, n in cells if "readers=20" in q and "cases=240" in q)
    there = html(client.get(f"{PAGE}?{query.replace('&amp;', '&')}"))
    assert "20 readers, 240 cases" in there
    assert f"with a power of <strong>{shown} %" in there
    assert "within ±0.12" in there and "60 s a case" in there
    for show in planner.MEASURES:
        assert planner.MEASURES[show] in html(client.get(f"{PAGE}?show={show}"))


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("readers=1", "Type a number from 2 to 500."),
        ("cases=many", "Type a number from 10 to 5000."),
        ("readers=", "Type a number from 2 to 500."),
        ("margin=nan", "Type a number from 0.01 to 0.4."),
        ("theta=0.65", "0.65 lies outside 0.5 ± 0.1: equivalence cannot be shown of it."),
        ("expected=0.5", "0.5 is guessing: there is no difference to find."),
        ("source=own&var_error=0", "Type a number from 0 to 0.25."),
        ("source=own&var_reader=0&var_error=0&cov2=0&pilot_cases=9", "must be above 0."),
        ("source=trial:nobodys", "Select a valid choice."),
    ],
)
def test_what_cannot_be_planned_is_said_beside_its_field(
    client_for: Any, researcher: Any, query: str, sentence: str
) -> None:
    page = html(client_for(researcher).get(f"{PAGE}?{query}"), 400)
    assert sentence in page
    assert "The plan follows once the marked fields are corrected." in page


def test_a_design_without_variation_says_so(client_for: Any, researcher: Any) -> None:
    query = "source=own&var_reader=0&var_error=0.001&cov2=0.001&pilot_cases=50"
    page = html(client_for(researcher).get(f"{PAGE}?{query}"))
    assert "This design has no answer: these variance components leave no variation" in page


def test_a_finished_trial_lends_its_variances_to_its_analysts_alone(
    computed: ResultsSnapshot, client_for: Any, researcher: Any, other_coordinator: Any
) -> None:
    query = f"{PAGE}?source=trial:demo&readers=4&cases=40"
    page = html(client_for(researcher).get(query))
    found = selectors.results_of(computed)["endpoints"]["auc"]
    assert f"Var {found['var_error']:.6f}, Cov2 {found['cov2']:.6f}" in page
    assert "As found in “Fidelity of synthetic tumors”: 4 readers, 40 cases" in page
    page = html(client_for(other_coordinator).get(query), 400)
    assert "Fidelity of synthetic tumors" not in page


def test_the_preset_is_what_the_simulation_gives() -> None:
    preset = planner.PRESETS["freetumor"]
    stored = {"auc": preset.auc_components, "balanced_accuracy": preset.accuracy_components}
    for metric, components in stored.items():
        made = components_of(
            RoeMetz.of(preset.structure, preset.auc),  # type: ignore[arg-type]
            planner.PILOT_READERS, planner.PILOT_CASES, np.random.default_rng(planner.PILOT_SEED),
            replicates=planner.PILOT_TRIALS, metric=metric,  # type: ignore[arg-type]
        )  # fmt: skip
        assert (made.var_reader, made.var_error, made.cov2) == pytest.approx(components, abs=1e-6)


def test_labels_of_curves_do_not_touch() -> None:
    points = [(100, 0.5), (200, 0.9)]
    chart = charts.power_curves([(j, j == 8, points) for j in (5, 8, 13, 20)], (100, 0.5))
    places = sorted(line.label_y for line in chart.lines)
    assert all(b - a >= charts.LABEL_STEP - 1e-9 for a, b in pairwise(places))
    assert chart.top <= places[0] and places[-1] <= chart.bottom
    assert "8 readers: 50 % with 100 cases" in chart.description
