"""`utility_study` as a person runs it: whole, killed and resumed, and with bad input."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
import yaml
from django.core.management import call_command
from django.core.management.base import CommandError

TINY = {
    "arms": ["real", "both"],
    "ungated": False,
    "seeds": [0],
    "copies": {"lesions": 4},
    "statistics": {"replicates": 100},
    "evaluation": {"overlap": 0.0},
}


@pytest.fixture
def tiny(lists, tmp_path):
    """A study file of the tiny volumes, in two folds; keys with dots change it."""

    def make(**changes) -> Path:
        document = json.loads(json.dumps(TINY))
        document["training"] = {
            "device": "cpu",
            "data": {
                "labelled": str(lists / "labelled.json"),
                "unlabelled": str(lists / "unlabelled.json"),
                "spacing_mm": [4, 4, 4],
                "crop": [16, 16, 32],
                "folds": 2,
                "cache": str(lists / "cache"),
            },
            "network": {"name": "unet", "width": 4},
            "optimizer": {"steps": 2, "batch": 1, "warmup": 0},
            "logging": {"checkpoint_every": 1, "log_every": 1, "tensorboard": False},
        }
        for key, value in changes.items():
            here = document
            *path, last = key.split("__")
            for part in path:
                here = here.setdefault(part, {})
            here[last] = value
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(document))
        return path

    return make


class Killer(io.StringIO):
    """A terminal that dies at a line."""

    def __init__(self, at: str, count: int) -> None:
        super().__init__()
        self.at, self.count = at, count

    def write(self, text: str) -> int:
        self.count -= self.at in text
        if self.count == 0:
            raise KeyboardInterrupt
        return super().write(text)


def run(config, out, *extra, stdout=None) -> str:
    told = stdout or io.StringIO()
    call_command("utility_study", "--config", str(config), "--out", str(out), *extra, stdout=told)
    return told.getvalue()


def numbers(out: Path) -> dict:
    """The results without what may differ between two runs of one study."""
    document = json.loads((out / "results.json").read_text())
    document["config"]["out"] = ""
    for training in document["trainings"]:
        training["seconds"] = 0
    return document


def test_a_killed_study_goes_on_and_ends_with_the_same_results(tiny, tmp_path):
    config = tiny()
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(config, whole)
    with pytest.raises(CommandError) as error:  # in the middle of the third training
        run(config, broken, stdout=Killer("step 1 of 2", 3))
    assert error.value.returncode == 130
    done = {p: p.stat().st_mtime_ns for p in broken.glob("runs/*/*/result.json")}
    assert len(done) == 2
    told = run(config, broken)
    assert "2 of 4 trainings were done before" in told
    assert all(path.stat().st_mtime_ns == when for path, when in done.items())
    assert numbers(broken) == numbers(whole)
    # a third run trains nothing and writes the same again
    assert "4 of 4 trainings were done before" in run(config, broken)
    assert numbers(broken) == numbers(whole)
    with pytest.raises(CommandError, match="holds results of other settings"):
        run(config, broken, "--set", "training.optimizer.lr=0.1")


def test_machines_may_share_a_study_and_a_failed_training_is_told(tiny, tmp_path, lists):
    config, out = tiny(), tmp_path / "out"
    told = run(config, out, "--share", "1/2")
    assert "2 of 4 trainings are done; the report is written when all are" in told
    assert not (out / "report.html").exists()
    damaged = lists / "b1_ct.nii.gz"  # a host: the arms with hosts fail, the others go on
    kept = damaged.read_bytes()
    damaged.write_bytes(b"nothing")
    try:
        with pytest.raises(CommandError, match="run the command again") as error:
            run(config, out, "--set", "copies.lesions=0")
    finally:
        damaged.write_bytes(kept)
    assert error.value.returncode == 2
    page = (out / "report.html").read_text()
    assert "Failed: real + textural, seed 0" in page
    assert "cannot be read as a volume" in page
    results = json.loads((out / "results.json").read_text())
    assert [arm["name"] for arm in results["arms"]] == ["real only"]
    assert results["left_out"] == ["real + textural"]


def test_phantoms_need_no_data_and_every_part_of_the_report_is_there(tmp_path, capsys):
    out = tmp_path / "out"
    small = ["seeds=[0]", "phantoms.test=2", "copies.lesions=5", "statistics.replicates=100"]
    changes = [word for key in small for word in ("--set", key)]
    call_command("utility_study", "--preset", "smoke", "--out", str(out), *changes)
    assert "Written:" in capsys.readouterr().out
    results = json.loads((out / "results.json").read_text())
    assert [arm["name"] for arm in results["arms"]] == [
        "real only",
        "textural only",
        "real + textural, 50% of hosts",
        "real + textural",
        "real + textural, no gate",
    ]
    assert {row["question"] for row in results["contrasts"]} >= {"added to real", "gate", "scale"}
    assert results["copies"][0]["lesions"] == 5
    assert results["transfer"][0]["arm"] == "textural only"
    page = (out / "report.html").read_text()
    for heading in ("What it gains", "Train on synthetic", "Copies and variety", "Methods"):
        assert heading in page
    assert "http" not in page  # self-contained
    assert page.count("data:image/svg+xml") == 4
    assert "4 labelled" in page
    figures = {path.name for path in (out / "figures").iterdir()}
    assert figures >= {"gain.svg", "froc.svg", "sizes.svg", "nearest.svg", "nearest-textural.png"}
    with (out / "tables" / "lesions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5 * results["lesions"]


def test_volumes_made_elsewhere_are_a_source(tiny, lists, tmp_path):
    made = tmp_path / "made"
    made.mkdir()
    for k in range(2):  # stand-ins with a mask of 1 organ, 2 tumor
        for part in ("ct", "label"):
            (made / f"m{k}_{part}.nii.gz").write_bytes((lists / f"a{k}_{part}.nii.gz").read_bytes())
    source = [{"name": "diffusion", "kind": "volumes", "volumes": str(made)}]
    out = tmp_path / "out"
    run(tiny(sources=source), out)
    results = json.loads((out / "results.json").read_text())
    assert [arm["name"] for arm in results["arms"]] == ["real only", "real + diffusion"]
    # the stand-ins are the training lesions themselves: distance 0
    (copies,) = results["copies"]
    assert [pair["distance"] for pair in copies["pairs"]] == pytest.approx([0, 0], abs=1e-3)
    assert copies["copies"] == 2


BAD = {
    "an unknown key": ({"seed": 3}, "unknown key 'seed'; did you mean 'seeds'"),
    "a key of a source": ({"sources": [{"name": "x", "kind": "gan"}]}, "sources.0.kind"),
    "no real arm": ({"arms": ["both"]}, "arms must hold real"),
    "the same seed twice": ({"seeds": [1, 1]}, "a seed stands twice"),
    "a scale of nothing": ({"scales": [0, 1]}, "scales are shares above 0"),
    "phantoms and lists": ({"phantoms": {"labelled": 4}}, "not both"),
    "no such list": ({"training__data__labelled": "/no.json"}, "There is no data list /no.json"),
    "nothing to test on": ({"training__data__labelled": []}, "There is nothing to test on"),
    "no hosts": ({"training__data__unlabelled": []}, "has no hosts"),
    "no such weights": (
        {"sources": [{"name": "x", "kind": "freetumor", "checkpoint": "/no.safetensors"}]},
        "/no.safetensors",
    ),
    "volumes of a generator": (
        {"sources": [{"name": "x", "kind": "textural", "volumes": "a.json"}]},
        "volumes belong to a source of kind volumes",
    ),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.django_db
def test_bad_settings_are_one_sentence_and_status_2(case, tiny, tmp_path):
    changes, sentence = BAD[case]
    with pytest.raises(CommandError) as error:
        run(tiny(**changes), tmp_path / "out")
    assert error.value.returncode == 2
    assert sentence in str(error.value)
    assert not list((tmp_path / "out").glob("runs/*/*"))


@pytest.mark.parametrize("share", ["2", "0/2", "3/2", "a/b"])
def test_a_share_that_is_none_is_refused(share, tiny, tmp_path):
    with pytest.raises(CommandError, match="--share is I/N"):
        run(tiny(), tmp_path / "out", "--share", share)
