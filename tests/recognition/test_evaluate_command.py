"""`evaluate_recognition` on files, as a person runs it."""

from __future__ import annotations

import csv
import json

import nibabel as nib
import numpy as np
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from tests.recognition.masks import ball

SHAPE = (12, 40, 40)
MM = (1.0, 1.0, 2.5)


def write(path, mask, spacing=MM):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(np.asarray(mask).transpose(2, 1, 0), np.diag([*spacing, 1.0]))
    nib.save(image, path)


@pytest.fixture
def study(tmp_path):
    """Three scans: one tumor found by both methods, one by the first only, one scan without."""
    tumor = ball(SHAPE, (6, 20, 20), 8, MM).astype(np.uint8)
    none = np.zeros(SHAPE, np.uint8)
    for name, mask in {"a": tumor, "b": tumor, "c": none}.items():
        write(tmp_path / "ref" / f"{name}.nii.gz", mask)
    for name, mask in {"a": tumor, "b": tumor, "c": none}.items():
        write(tmp_path / "good" / f"{name}_mask.nii.gz", mask)
    speck = ball(SHAPE, (3, 8, 8), 4, MM).astype(np.uint8)
    for name, mask in {"a": tumor, "b": none, "c": speck}.items():
        write(tmp_path / "poor" / f"{name}_mask.nii.gz", mask)
        write(tmp_path / "poor" / f"{name}_prob.nii.gz", mask.astype(np.float32) * 0.75)
    return tmp_path


def run(study, *extra, pred=("good", "poor"), out="out"):
    given = [arg for name in pred for arg in ("--pred", f"{name}={study / name}")]
    call_command(
        "evaluate_recognition",
        *given,
        "--ref",
        str(study / "ref"),
        "--out",
        str(study / out),
        "--replicates",
        "100",
        *extra,
    )
    return study / out


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_two_methods_are_measured_and_compared(study, capsys):
    out = run(study)
    summary = {(r["method"], r["measure"]): r for r in rows(out / "summary.csv")}
    assert summary["good", "Dice"]["value"] == "1"
    assert summary["poor", "Dice"]["value"] == "0.5"
    assert summary["poor", "lesion sensitivity, all (iou)"]["value"] == "0.5"
    assert summary["poor", "false positives per scan (center)"]["value"] == "0.333333"
    assert summary["good", "patient specificity"]["value"] == "1"
    assert summary["good", "lesion sensitivity, >50 mm (iou)"]["reason"] == "There are no lesions."
    cases = {(r["method"], r["scan"]): r for r in rows(out / "per_case.csv")}
    assert cases["good", "c"]["dice"] == ""  # no reference: not defined, and not a zero
    assert cases["poor", "c"]["rating"] == "0.75"
    lesions = rows(out / "lesions.csv")
    assert {r["band"] for r in lesions} == {"10-20 mm"}
    document = json.loads((out / "results.json").read_text())
    assert document["rules"]["hit"]["iou"] == "IoU >= 0.1"
    assert {c["measure"] for c in document["comparisons"]} >= {"Dice"}
    assert (out / "froc.png").read_bytes()[:4] == b"\x89PNG"
    assert "6 made" in capsys.readouterr().out


def test_a_second_run_measures_only_what_changed(study, capsys):
    run(study)
    write(study / "poor" / "b_mask.nii.gz", ball(SHAPE, (6, 20, 20), 8, MM).astype(np.uint8))
    capsys.readouterr()
    out = run(study)
    assert "1 made, 5 were there already" in capsys.readouterr().out
    summary = {(r["method"], r["measure"]): r for r in rows(out / "summary.csv")}
    assert summary["poor", "Dice"]["value"] == "1"


def test_several_processes_write_the_bytes_of_one(study):
    alone, many = run(study), run(study, "--workers", "2", out="many")
    files = {path.relative_to(alone) for path in alone.rglob("*") if path.is_file()}
    assert files == {path.relative_to(many) for path in many.rglob("*") if path.is_file()}
    assert {f for f in files if (alone / f).read_bytes() != (many / f).read_bytes()} == set()


def test_a_broken_scan_is_reported_and_left_out_for_all(study, capsys):
    (study / "poor" / "a_mask.nii.gz").write_bytes(b"not a mask")
    with pytest.raises(CommandError, match="1 of 6 scans failed") as error:
        run(study)
    assert error.value.returncode == 3
    out = study / "out"
    assert (out / "failed.csv").read_text().splitlines()[1].startswith("poor/a,")
    assert {r["scan"] for r in rows(out / "per_case.csv")} == {"b", "c"}
    told = capsys.readouterr()
    assert "1 failed" in told.out
    assert "a_mask.nii.gz cannot be used" in told.err


def other_grid(study):
    for name in "abc":
        write(study / "poor" / f"{name}_mask.nii.gz", np.ones(SHAPE, np.uint8), (2.0, 1.0, 2.5))
        (study / "poor" / f"{name}_prob.nii.gz").unlink()


BAD = {
    "another grid": (other_grid, (), "is on another grid"),
    "a scan without prediction": (
        lambda s: (s / "poor" / "b_mask.nii.gz").unlink(),
        (),
        "has no mask for b",
    ),
    "two files of one scan": (
        lambda s: write(s / "poor" / "b.nii.gz", np.zeros(SHAPE, np.uint8)),
        (),
        "two files for b",
    ),
    "no folder": (lambda s: None, ("--pred", "x=/nowhere"), "/nowhere does not exist"),
    "no NIfTI": (lambda s: None, ("--pred", f"x={__file__}/.."), "does not exist"),
    "a method twice": (lambda s: None, ("--pred", "poor=."), "name each method once"),
    "no tolerance": (lambda s: None, ("--tolerance-mm", "0"), "--tolerance-mm must be above 0"),
    "no worker": (lambda s: None, ("--workers", "0"), "--workers is at least 1"),
    "no patient list": (lambda s: None, ("--patients", "/no.csv"), "/no.csv cannot be read"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_status_2(study, case):
    spoil, extra, sentence = BAD[case]
    spoil(study)
    with pytest.raises(CommandError, match=sentence.replace("/", "/")) as error:
        run(study, *extra, pred=("poor",))
    assert error.value.returncode == 2
    assert str(error.value).count("\n") == 0
    assert not (study / "out" / "summary.csv").exists()
