"""The same services from the command line."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command

from readerstudy.cases.models import Candidate, SynthesisRun


def run(*arguments):
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_make_candidates_lists_what_it_found(sick, host):
    said = run("make_candidates")
    assert "Sick: 1 new" in said
    assert "  liver 19.8 mm, contrast -4" in said
    assert Candidate.objects.get().kind == "real"
    assert "Sick: 0 new" in run("make_candidates", "--volume", "Sick")


def test_run_synthesis_makes_lesions_and_says_k_of_n(host):
    said = run(
        "run_synthesis",
        "--organ",
        "Liver",
        "--count",
        "2",
        "--seed",
        "4",
        "--volume",
        str(host.pk),
        "--diameter-mm",
        "9-14",
    )
    assert "2 of 2 lesions passed the gate" in said
    assert SynthesisRun.objects.get().parameters["diameter_mm"] == [9.0, 14.0]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run_synthesis", "--organ", "liver", "--seed", "1", "--diameter-mm", "x"], "LOW-HIGH"),
        (["run_synthesis", "--organ", "liver", "--seed", "1", "--diameter-mm", "30-8"], "reversed"),
        (["run_synthesis", "--organ", "spleen", "--seed", "1"], "has a mask of the spleen"),
        (["run_synthesis", "--organ", "liver", "--seed", "1", "--volume", "No"], "no volume 'No'"),
        (["make_candidates"], "No volume in the library has a tumor mask"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_status_2(host, arguments, sentence):
    with pytest.raises(CommandError, match=sentence) as caught:
        run(*arguments)
    assert caught.value.returncode == 2
    assert "\n" not in str(caught.value)
    assert not SynthesisRun.objects.exists()


def test_page_and_commands_ask_for_the_same_diameters():
    from readerstudy.cases.forms import RunForm
    from readerstudy.cases.management.commands import run_synthesis, synthesize

    form = {name: field.initial for name, field in RunForm.base_fields.items()}
    assert (form["diameter_low"], form["diameter_high"]) == (4, 80)
    for command in (run_synthesis, synthesize):
        parser = command.Command().create_parser("manage.py", "x")
        assert parser.get_default("diameter_mm") == "4-80"
