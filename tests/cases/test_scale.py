"""`plan_scale`: the arithmetic, and that docs/scale.md says what was measured."""

from __future__ import annotations

import io
import json

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from readerstudy.cases.scale.plan import STEPS, Assumed, Measured, make_plan

BENCHMARK = settings.BASE_DIR / "docs" / "benchmarks" / "scale.json"


def document():
    values = {
        "Source, NIfTI": 40,
        "Source, DICOM series": 80,
        "Recognition: windows": 30,
        "Recognition: one window": 100,
    }
    for step in STEPS:
        values |= {f"{step}: CPU": 36, f"{step}: disk": 10, f"{step}: wall": 40}
        values[f"{step}: peak memory"] = 900
    values |= {"Queue: handing in": 0.5, "Queue: taking a job": 5, "Queue: a row": 0.4}
    values["swinunetr-48: one window"] = 700
    measures = [{"name": name, "value": value} for name, value in values.items()]
    return {"sections": [{"measures": measures}]}


def said(*arguments):
    out = io.StringIO()
    call_command("plan_scale", *arguments, stdout=out)
    return out.getvalue()


def test_the_plan_is_the_sum_of_its_volumes():
    assumed = Assumed(volumes=1000, cores=10, busy=0.5, gpus=2, gpu_tflops=100, gpu_share=0.1)
    plan = make_plan(Measured(document()), assumed)
    assert [line.value for line in plan["Storage"]] == pytest.approx([0.04] + [0.01] * 5)
    hours = {line.what: line.value for line in plan["Processor time"]}
    assert hours["Evaluation"] == pytest.approx(1000 * 36 / 3600)
    assert hours["… on all cores"] == pytest.approx(2)
    disk = {line.what: line.value for line in plan["Reading and writing"]}
    assert disk["synthesis"] == pytest.approx(1000 * 50 / 2000 / 3600)
    gpu = {line.what: line.value for line in plan["GPU time"]}
    # 1000 volumes, 30 windows of 100 GFLOP at 10 TFLOP/s are 300 s
    assert gpu["recognition of all, the network that ships"] == pytest.approx(300 / 3600)
    # 1000 volumes seen 10 times, 2 crops each, forward and backward 3 x 700 GFLOP
    assert gpu["a training, swinunetr-48"] == pytest.approx(20000 * 2.1 / 10 / 3600)
    failures = {line.what: line.value for line in plan["Failures and the queue"]}
    assert failures["time lost to dead workers"] == pytest.approx(10 * 70)
    assert failures["handing in all of them"] == pytest.approx(0.5)


def test_another_assumption_changes_the_tables(tmp_path):
    path = tmp_path / "scale.json"
    path.write_text(json.dumps(document()))
    text = said("--measured", str(path), "--volumes", "2000", "--cores", "10", "--busy", "1")
    assert "2,000 × 36 s / 3,600 | **20** core hours" in text
    assert "| Evaluation | 36 | 40 | 10 | 900 |" in text
    assert "| volumes (`--volumes`) | 2,000 |" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--measured", "/no.json"], "/no.json is no document"),
        (["--gpu-share", "0"], "--gpu-share must be above 0"),
        (["--measured", str(settings.BASE_DIR / "docs/benchmarks/reading.json")], "says nothing"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(arguments, sentence):
    with pytest.raises(CommandError, match=sentence) as error:
        said(*arguments)
    assert error.value.returncode == 2


def test_the_page_holds_the_plan_of_the_numbers_that_were_measured():
    page = (settings.BASE_DIR / "docs" / "scale.md").read_text()
    assert said("--measured", str(BENCHMARK)) in page
