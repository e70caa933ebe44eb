"""`synthesize` over many CTs: which files belong together, resumed, the failed ones named."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from readerstudy.cases.delivery.orders import find_orders
from readerstudy.cases.errors import CasesError
from tests.library import makers
from tests.synthesis.hosts import ball_host

pytestmark = pytest.mark.django_db
AFFINE = np.diag([-1.5, -1.5, 3.0, 1.0])


@pytest.fixture(scope="module")
def scans(tmp_path_factory) -> Path:
    """Three CTs of a ball, a folder each; the second has a tumor, the third a tumor mask of zeros.

    Beside them a list whose labels hold organ (1) and tumor (2).
    """
    folder = tmp_path_factory.mktemp("scans")
    items = []
    for number, name in enumerate("abc"):
        tumor_mm = 6.0 if name == "b" else 0.0
        scan = ball_host((1.5, 1.5, 3.0), radius_mm=26, tumor_radius_mm=tumor_mm, seed=number)
        case = folder / name
        case.mkdir()
        makers.write_nifti(case / "ct.nii.gz", scan.hu, affine=AFFINE)
        label = scan.organ_mask.astype(np.uint8)
        makers.write_nifti(case / "liver.nii.gz", label, affine=AFFINE)
        tumor = scan.tumor_mask if scan.tumor_mask is not None else np.zeros(label.shape, bool)
        if name != "a":
            makers.write_nifti(case / "tumor.nii.gz", tumor.astype(np.uint8), affine=AFFINE)
        label[tumor] = 2
        makers.write_nifti(case / "label.nii.gz", label, affine=AFFINE)
        shutil.copy(case / "ct.nii.gz", folder / f"ct_{name}.nii.gz")
        items.append({"image": f"ct_{name}.nii.gz", "label": f"{name}/label.nii.gz"})
    labels = {"0": "background", "1": "liver", "2": "liver_tumour"}
    (folder / "dataset.json").write_text(json.dumps({"labels": labels, "training": items}))
    return folder


def arguments(scans, out, *extra, seed=7):
    return [
        *("synthesize", "--ct", str(scans / "{case}" / "ct.nii.gz"), "--organ", "liver"),
        *("--organ-mask", str(scans / "{case}" / "liver.nii.gz"), "--priors", "table"),
        *("--diameter-mm", "8-12", "--seed", str(seed), "--out", str(out), *map(str, extra)),
    ]


def run(*given):
    out = io.StringIO()
    call_command(*given, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def contents(folder):
    """Every file but the hash of its request, which knows time stamps and paths.

    Of the manifest not the packages: torch counts where an earlier test has loaded it.
    """
    found = {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "request.json"
    }
    for path in found:
        if path.name == "manifest.json":
            found[path] = json.loads(found[path]) | {"packages": None}
    return found


def test_each_ct_is_made_once_and_again_only_when_something_changed(scans, tmp_path):
    tumors = ("--tumor-mask", scans / "{case}" / "tumor.nii.gz")
    said = run(*arguments(scans, tmp_path / "out", *tumors))
    assert "3 CTs, 2 of them with a tumor mask" in said
    assert "3 made" in said
    manifests = {n: json.loads((tmp_path / "out" / n / "manifest.json").read_text()) for n in "abc"}
    assert len({m["seed"] for m in manifests.values()}) == 3
    known = {name: m["input"]["tumor_mask_sha256"] is not None for name, m in manifests.items()}
    assert known == {"a": False, "b": True, "c": False}
    before = contents(tmp_path / "out")
    assert "0 made, 3 were there already." in run(*arguments(scans, tmp_path / "out", *tumors))
    assert "3 made" in run(*arguments(scans, tmp_path / "out", *tumors, seed=8))
    after = contents(tmp_path / "out")
    assert before.keys() == after.keys()
    assert before[Path("a/01_ct.nii.gz")] != after[Path("a/01_ct.nii.gz")]


def test_neither_workers_nor_the_others_change_what_a_ct_gets(scans, tmp_path):
    run(*arguments(scans, tmp_path / "two", "--workers", 2))
    moved = tmp_path / "scans"
    shutil.copytree(scans / "b", moved / "b")
    run(*arguments(moved, tmp_path / "one"))
    assert contents(tmp_path / "two" / "b") == contents(tmp_path / "one" / "b")
    seed = json.loads((tmp_path / "one" / "b" / "manifest.json").read_text())["seed"]
    run(
        *("synthesize", "--ct", moved / "b" / "ct.nii.gz", "--organ", "liver", "--seed", seed),
        *("--organ-mask", moved / "b" / "liver.nii.gz", "--priors", "table"),
        *("--diameter-mm", "8-12", "--out", tmp_path / "alone"),
    )
    assert contents(tmp_path / "alone") == contents(tmp_path / "one" / "b")


def test_a_ct_that_fails_is_named_and_the_rest_is_made(scans, tmp_path):
    shutil.copytree(scans, tmp_path / "scans")
    (tmp_path / "scans" / "b" / "ct.nii.gz").write_bytes(b"nothing")
    (tmp_path / "scans" / "c" / "liver.nii.gz").unlink()
    out = tmp_path / "out"
    with pytest.raises(CommandError, match="2 of 3 volumes failed") as error:
        run(*arguments(tmp_path / "scans", out))
    assert error.value.returncode == 3
    with (out / "failed.csv").open(newline="") as file:
        rows = {row["name"]: row["reason"] for row in csv.DictReader(file)}
    assert rows.keys() == {"b", "c"}
    assert "There is no mask file" in rows["c"]
    assert {path.name for path in out.iterdir()} == {"a", "failed.csv"}
    for name in ("b/ct.nii.gz", "c/liver.nii.gz"):
        shutil.copy(scans / name, tmp_path / "scans" / name)
    assert "2 made, 1 were there already" in run(*arguments(tmp_path / "scans", out))
    assert not (out / "failed.csv").exists()


def test_a_list_says_which_values_are_organ_and_tumor(scans, tmp_path):
    said = run(
        *("synthesize", "--ct", scans / "dataset.json", "--organ", "liver", "--seed", 1),
        *("--diameter-mm", "8-12", "--priors", "table", "--out", tmp_path / "out"),
    )
    assert "3 made" in said
    found = {
        path.parent.name: json.loads(path.read_text())["input"]["tumor_mask_sha256"] is not None
        for path in (tmp_path / "out").glob("*/manifest.json")
    }
    assert found == {"ct_a": False, "ct_b": True, "ct_c": False}


def test_a_folder_of_files_takes_its_masks_by_name(scans, tmp_path):
    (tmp_path / "images").mkdir()
    for name in "ab":
        shutil.copy(scans / name / "ct.nii.gz", tmp_path / "images" / f"{name}.nii.gz")
    orders = find_orders(
        str(tmp_path / "images"), str(scans / "{case}" / "label.nii.gz#1+2"), None, "liver",
        tmp_path / "out",
    )  # fmt: skip
    assert [(order.name, order.organ_mask) for order in orders] == [
        (name, f"{scans / name / 'label.nii.gz'}#1+2") for name in "ab"
    ]


@pytest.mark.slow
def test_a_killed_batch_goes_on_and_leaves_nothing_half_written(scans, tmp_path):
    many = tmp_path / "scans"
    for number in range(7):
        shutil.copytree(scans / "abc"[number % 3], many / f"case{number}")
    out = tmp_path / "out"
    command = [sys.executable, "manage.py", *arguments(many, out, "--workers", 2, "--n", 3)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 60
    while not list(out.glob(".*.part")) or len(list(out.glob("case*/manifest.json"))) < 2:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = {path.parent.name: path.stat().st_mtime_ns for path in out.glob("case*/manifest.json")}
    assert 2 <= len(done) < 7
    said = run(*arguments(many, out, "--n", 3))
    assert f"{7 - len(done)} made, {len(done)} were there already" in said
    assert {path.name for path in out.iterdir()} == {f"case{n}" for n in range(7)}
    for name, stamp in done.items():
        assert (out / name / "manifest.json").stat().st_mtime_ns == stamp


BAD = {
    "no seed": (["--ct", "x/{case}.nii.gz", "--organ-mask", "y/{case}.nii"], "need --seed"),
    "no CT": (["--ct", "/no/{case}.nii", "--organ-mask", "{case}.nii", "--seed", "1"], "Nothing"),
    "twice": (["--ct", "{case}/{case}", "--organ-mask", "{case}", "--seed", "1"], "once is enough"),
    "one mask for all": (
        ["--ct", "/no/{case}.nii", "--organ-mask", "liver.nii", "--seed", "1"],
        "--organ-mask must hold {case}",
    ),
    "no list": (["--ct", "/no/list.json", "--seed", "1"], "There is no list /no/list.json"),
    "no mask": (["--ct", "/no/ct.nii"], "--organ-mask is missing"),
    "a list and a mask": (
        ["--ct", "list.json", "--organ-mask", "x.nii", "--seed", "1"],
        "names the masks",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_status_2(case, tmp_path):
    given, sentence = BAD[case]
    with pytest.raises(CommandError) as error:
        run("synthesize", *given, "--organ", "liver", "--out", tmp_path / "out")
    assert error.value.returncode == 2
    assert sentence in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_tumor_mask_that_no_ct_has_is_a_slip(scans, tmp_path):
    with pytest.raises(CasesError, match="No CT has a tumor mask"):
        find_orders(
            str(scans / "{case}" / "ct.nii.gz"), str(scans / "{case}" / "liver.nii.gz"),
            str(scans / "{case}" / "tumour.nii.gz"), "liver", tmp_path,
        )  # fmt: skip
