"""`recognize` on files, as a person runs it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from PIL import Image

from recognition.engine.checkpoints import save_checkpoint
from recognition.engine.networks import NetworkConfig, build
from tests.recognition.conftest import write_volume


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A network that finds a tumor in soft tissue darker than a liver, by its bias and sign."""
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    config = NetworkConfig(
        name="segresnet", width=4, classes=("background", "liver", "liver tumor"),
        spacing_mm=(4.0, 4.0, 4.0),
    )  # fmt: skip
    save_checkpoint(path, config, build(config, 1).state_dict(), {"training": "none"})
    return path


def run(ct, checkpoint, out, *extra):
    call_command(
        "recognize",
        *("--ct", str(ct), "--checkpoint", str(checkpoint), "--out", str(out)),
        *("--window", "16", *extra),
    )


def test_a_ct_gets_mask_probability_table_picture_and_record(tmp_path, checkpoint, capsys):
    write_volume(tmp_path, "a", 1)
    run(tmp_path / "a_ct.nii.gz", checkpoint, tmp_path / "out", "--threshold", "0.2")
    folder = tmp_path / "out" / "a_ct"
    ct, mask, prob = (
        nib.load(path)
        for path in (
            tmp_path / "a_ct.nii.gz",
            folder / "a_ct_mask.nii.gz",
            folder / "a_ct_prob.nii.gz",
        )
    )
    assert np.allclose(ct.affine, mask.affine)
    assert np.allclose(ct.affine, prob.affine)
    p = np.asarray(prob.dataobj)
    assert 0 <= p.min() <= p.max() <= 1
    inside = np.asarray(mask.dataobj) > 0
    assert p[inside].min() >= 0.2 - 1 / 250
    record = json.loads((folder / "a_ct.json").read_text())
    with (folder / "a_ct_lesions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(record["lesions"]) > 0
    first = record["lesions"][0]
    voxel_ml = np.prod(ct.header.get_zooms()) / 1000
    assert sum(r["volume_ml"] for r in record["lesions"]) == pytest.approx(
        inside.sum() * voxel_ml, rel=1e-3
    )
    index = [first[f"index_{axis}"] for axis in "xyz"]
    world = nib.affines.apply_affine(np.diag([-1, -1, 1, 1]) @ ct.affine, index)
    assert world == pytest.approx([first[f"lps_{axis}_mm"] for axis in "xyz"], abs=0.3)
    assert record["checkpoint"]["sha256"] == record["checkpoint"]["sha256"].lower()
    assert Image.open(folder / "a_ct_overlay.png").width > 900
    run(tmp_path / "a_ct.nii.gz", checkpoint, tmp_path / "out", "--threshold", "0.2")
    assert "0 made, 1 were there already" in capsys.readouterr().out


def test_nothing_found_is_said_in_every_file(tmp_path, checkpoint):
    write_volume(tmp_path, "a", 1)
    run(tmp_path / "a_ct.nii.gz", checkpoint, tmp_path / "out", "--threshold", "0.999")
    folder = tmp_path / "out" / "a_ct"
    assert json.loads((folder / "a_ct.json").read_text())["lesions"] == []
    assert not np.asarray(nib.load(folder / "a_ct_mask.nii.gz").dataobj).any()
    assert (folder / "a_ct_lesions.csv").read_text().count("\n") == 1


def test_a_folder_is_worked_through_and_a_broken_file_skipped(tmp_path, checkpoint, capsys):
    scans = tmp_path / "scans"
    scans.mkdir()
    for seed in (1, 2):
        write_volume(scans, f"s{seed}", seed)
        (scans / f"s{seed}_label.nii.gz").unlink()
    (scans / "broken.nii.gz").write_bytes(b"nothing")
    with pytest.raises(CommandError, match="1 of 3 volumes failed") as error:
        run(scans, checkpoint, tmp_path / "out")
    assert error.value.returncode == 3
    told = capsys.readouterr()
    assert "2 made, 1 failed" in told.out
    assert "broken" in told.err
    assert not (tmp_path / "out" / "broken").exists()
    assert (tmp_path / "out" / "failed.csv").read_text().splitlines()[1].startswith("broken,")
    (scans / "broken.nii.gz").unlink()
    run(scans, checkpoint, tmp_path / "out")
    assert "0 made, 2 were there already." in capsys.readouterr().out
    assert not (tmp_path / "out" / "failed.csv").exists()


BAD = {
    "no CT": (("--ct", "/nowhere.nii.gz"), "/nowhere.nii.gz does not exist"),
    "no weights": (("--checkpoint", "/no.safetensors"), "There is no checkpoint"),
    "weights that are none": (("--checkpoint", __file__), "not a safetensors file"),
    "a threshold of 1": (("--threshold", "1"), "--threshold lies between"),
    "a window that does not fit": (("--window", "15"), "multiple of 8"),
    "no worker": (("--workers", "0"), "--workers is at least 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_status_2(case, tmp_path, checkpoint):
    extra, sentence = BAD[case]
    write_volume(tmp_path, "a", 1)
    with pytest.raises(CommandError, match=sentence) as error:
        run(tmp_path / "a_ct.nii.gz", checkpoint, tmp_path / "out", *extra)
    assert error.value.returncode == 2
    assert not (tmp_path / "out").exists()
