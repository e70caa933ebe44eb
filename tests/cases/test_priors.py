"""What made lesions look like: one answer for runs, for `synthesize` and for the pages."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from readerstudy.cases.errors import CasesError
from readerstudy.cases.models import Candidate
from readerstudy.cases.priors import chosen_prior, library_priors
from readerstudy.cases.services import make_candidates
from synthesis.engine.grain import grain_hu
from synthesis.engine.organs import PRIORS
from tests.synthesis.hosts import ball_host

from .test_delivery import asked, ball, synthesize  # noqa: F401 - a fixture
from .test_runs import add_real_lesions


@pytest.fixture
def five(sick):
    """Five real lesions of the liver, four of them at -60 HU with a grain of 12 HU."""
    make_candidates(sick)
    add_real_lesions(sick, 4, contrast_hu=-60.0, grain_hu=12.0)


def run(*arguments):
    out = io.StringIO()
    call_command("lesion_priors", *map(str, arguments), stdout=out)
    return out.getvalue()


def test_too_few_real_lesions_leave_the_table_and_say_how_many_there_are(sick):
    make_candidates(sick)
    found = library_priors(["liver", "lung"])
    assert found["liver"].prior == PRIORS["liver"]
    assert (found["liver"].source, found["liver"].lesions, found["liver"].needed) == ("table", 1, 2)
    assert found["lung"].lesions == 0
    assert "table (1 real lesions, 3 are needed)" in run("--organ", "Liver")


def test_contrast_and_grain_move_to_the_real_lesions(five):
    found = library_priors(["liver"])["liver"]
    # the table counts as three lesions: 3/8 of -38 and 5/8 of the median
    assert found.value == pytest.approx(0.375 * -38 + 0.625 * -60)
    assert found.prior.heterogeneity_sd == pytest.approx(0.375 * 6 + 0.625 * 12)
    assert found.prior.contrast_range[0] <= -60
    assert "fitted to 5 real lesions" in run("--organ", "liver")


def test_lesions_that_are_rejected_or_of_synthetic_volumes_do_not_count(five, sick):
    Candidate.objects.filter(verdict__measures__contrast_hu=-60.0).update(state="rejected")
    assert library_priors(["liver"])["liver"].lesions == 1
    type(sick).objects.update(synthetic="a person said so")
    assert library_priors(["liver"])["liver"].lesions == 0


def test_the_grain_of_a_lesion_is_read_through_the_noise():
    scan = ball_host((1.0, 1.0, 1.0), tumor_radius_mm=14.0, noise_hu=12.0, seed=5)
    from synthesis.engine.textures import band_limited

    rng = np.random.default_rng(2)
    grain = band_limited(rng, scan.hu.shape, (1.0, 1.0, 1.0), 4.5)
    coarse = scan.hu + np.rint(10.0 * grain * scan.tumor_mask).astype(np.int16)
    organ = scan.organ_mask
    even = grain_hu(scan.hu, scan.tumor_mask, scan.spacing, organ=organ)
    assert even < 3.0
    assert grain_hu(coarse, scan.tumor_mask, scan.spacing, organ=organ) == pytest.approx(10, abs=3)
    tiny = np.zeros_like(scan.tumor_mask)
    tiny[40, 40, 40] = True
    assert np.isnan(grain_hu(scan.hu, tiny, scan.spacing, organ=organ))


def test_a_file_of_priors_gives_what_the_library_gave(five, tmp_path):
    path = tmp_path / "priors.json"
    run("--out", path)
    assert chosen_prior("liver", str(path)).prior == library_priors(["liver"])["liver"].prior
    path.write_text(json.dumps({"priors": {"Liver": {"contrast": -50, "contrast_sd": 4}}}))
    found = chosen_prior("liver", str(path))
    assert (found.value, found.spread, found.source) == (-50, 4, "priors.json")
    assert found.prior.edge_mm == PRIORS["liver"].edge_mm


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "There is no file .*; give library, table or a JSON file"),
        ("{", "is no JSON"),
        ("[" * 50_000, "is no JSON"),
        ("[]", "must hold an object with one object for each organ"),
        ('{"lung": {}}', "has no priors of the liver; it has lung"),
        ('{"liver": {"contrasts": -50}}', "'contrasts' is no property of a prior; did you mean"),
        ('{"liver": {"contrast": "low"}}', 'contrast must be a number, not "low"'),
        ('{"liver": {"contrast": NaN}}', "contrast must be a number"),
        ('{"liver": {"edge_mm": [2, 1]}}', "edge_mm must be two numbers, the smaller first"),
        ('{"liver": {"absolute": 1}}', "absolute must be true or false"),
        ('{"liver": {"contrast_sd": -1}}', "contrast_sd must not be negative"),
        ('{"liver": {"contrast": 40}}', "contrast of 40 HU lies outside its range"),
    ],
)
def test_a_bad_file_is_one_sentence(tmp_path, text, sentence):
    path = tmp_path / "p.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(CasesError, match=sentence) as caught:
        chosen_prior("liver", str(path))
    assert "\n" not in str(caught.value)


def test_synthesize_uses_the_library_and_its_manifest_can_be_used_again(five, ball, tmp_path):  # noqa: F811
    def made(out, *more):
        said = synthesize(*asked(ball / "ct.nii.gz", ball, tmp_path / out), *more)
        return said, json.loads((tmp_path / out / "manifest.json").read_text())

    said, first = made("a", "--priors", "library")
    assert "Appearance of lesions: library, from 5 real ones" in said
    assert first["priors"]["liver"]["fitted_from"] == 5
    _, table = made("b", "--priors", "table")
    _, again = made("c", "--priors", tmp_path / "a" / "manifest.json")
    digests = [m["variants"][0]["lesions"][0]["sha256"] for m in (first, table, again)]
    assert digests[0] == digests[2] != digests[1]
    with pytest.raises(CommandError, match="There is no file"):
        made("d", "--priors", tmp_path / "none.json")
