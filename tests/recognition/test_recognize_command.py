"""`recognize` on files, as a person runs it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import highdicom as hd
import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch
from django.core.management import call_command
from django.core.management.base import CommandError
from PIL import Image

from readerstudy.cases.delivery.hosts import read_host, read_mask
from readerstudy.cases.recognition.weights import chosen, load
from readerstudy.library.imaging.masks import open_mask
from readerstudy.library.imaging.masks.base import MaskReader
from recognition.engine.checkpoints import file_sha256, save_checkpoint
from recognition.engine.networks import NetworkConfig, build
from synthesis.engine.shipped import shipped_network
from synthesis.selectors import load_registered
from tests.library.makers import write_series
from tests.recognition.conftest import write_volume

pytestmark = pytest.mark.django_db


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
    seg, reader = seg_of(folder)
    assert [item.SegmentLabel for item in seg.SegmentSequence] == ["liver tumor"]
    assert not reader.read([1], read_host(tmp_path / "a_ct.nii.gz").data.geometry).any()


def test_a_ct_that_changed_is_looked_at_again(tmp_path, checkpoint, capsys):
    write_volume(tmp_path, "a", 1)
    run(tmp_path / "a_ct.nii.gz", checkpoint, tmp_path / "out")
    write_volume(tmp_path, "a", 2)
    run(tmp_path / "a_ct.nii.gz", checkpoint, tmp_path / "out")
    run(tmp_path / "a_ct.nii.gz", checkpoint, tmp_path / "out")
    said = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in said] == ["1 made", "1 made", "0 made"]


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


def test_how_a_file_stores_its_axes_does_not_matter(tmp_path, checkpoint):
    write_volume(tmp_path, "a", 1)
    lps = nib.load(tmp_path / "a_ct.nii.gz")
    # x to the right, z first: the same patient, in another order of voxels
    turned = lps.as_reoriented(nib.orientations.axcodes2ornt("SRP").astype(int) * [1, 1])
    nib.save(turned, tmp_path / "b_ct.nii.gz")
    masks = []
    for name in "ab":
        run(tmp_path / f"{name}_ct.nii.gz", checkpoint, tmp_path / "out", "--threshold", "0.2")
        path = tmp_path / "out" / f"{name}_ct" / f"{name}_ct_mask.nii.gz"
        masks.append(nib.as_closest_canonical(nib.load(path)))
    assert masks[1].shape == masks[0].shape
    one, other = (np.asarray(mask.dataobj) for mask in masks)
    assert np.array_equal(one, other)
    assert one.any()


def test_an_organ_mask_bounds_what_is_found(tmp_path, checkpoint):
    write_volume(tmp_path, "a", 1)
    label = nib.load(tmp_path / "a_label.nii.gz")
    half = (np.asarray(label.dataobj) > 0).astype(np.uint8)
    half[16:] = 0
    nib.save(nib.Nifti1Image(half, label.affine), tmp_path / "half.nii.gz")
    extra = ("--threshold", "0.2", "--organ", "liver")
    run(tmp_path / "a_ct.nii.gz", checkpoint, tmp_path / "all", *extra)
    extra += ("--organ-mask", str(tmp_path / "half.nii.gz"))
    run(tmp_path / "a_ct.nii.gz", checkpoint, tmp_path / "some", *extra)
    everywhere, inside = (
        np.asarray(nib.load(tmp_path / out / "a_ct" / "a_ct_mask.nii.gz").dataobj) > 0
        for out in ("all", "some")
    )
    assert everywhere[19:].any()
    assert inside.any()
    assert not inside[18:].any()  # a voxel is 4 mm: one beside the mask may be left
    assert not (inside & ~everywhere).any()


@pytest.fixture(scope="module")
def series(tmp_path_factory) -> Path:
    """The same kind of CT as a DICOM series."""
    folder = tmp_path_factory.mktemp("series")
    hu = np.full((8, 40, 48), 60, np.int16)
    hu[3:6, 12:24, 12:26] = -20
    write_series(folder / "ct", hu)
    return folder / "ct"


def seg_of(folder: Path) -> tuple[pydicom.Dataset, MaskReader]:
    path = folder / f"{folder.name}_seg.dcm"
    return pydicom.dcmread(path), open_mask(path)


def test_the_seg_of_a_dicom_series_lies_on_it_and_equals_the_nifti_mask(
    tmp_path, checkpoint, series
):
    run(series, checkpoint, tmp_path, "--threshold", "0.2")
    seg, reader = seg_of(tmp_path / "ct")
    host = read_host(series)
    source = pydicom.dcmread(next(series.iterdir()))
    assert reader.frame_uid == host.frame_uid == source.FrameOfReferenceUID
    assert seg.StudyInstanceUID == source.StudyInstanceUID
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == source.SeriesInstanceUID
    # as the import reads it, frame of reference and all, and as another library does
    grid = host.data.geometry
    expected = read_mask(str(tmp_path / "ct" / "ct_mask.nii.gz"), grid)
    assert np.array_equal(
        read_mask(f"{tmp_path / 'ct' / 'ct_seg.dcm'}#all", grid, host.frame_uid), expected
    )
    volume = hd.seg.segread(tmp_path / "ct" / "ct_seg.dcm").get_volume()
    assert volume.array.any(axis=-1).sum() == expected.sum() > 0


def test_a_seg_says_that_a_network_made_it_and_which(tmp_path, checkpoint, series):
    run(series, checkpoint, tmp_path, "--threshold", "0.2", "--hide-source-uids")
    seg, _ = seg_of(tmp_path / "ct")
    (segment,) = seg.SegmentSequence
    assert (segment.SegmentLabel, segment.SegmentAlgorithmType) == ("liver tumor", "AUTOMATIC")
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    sha256 = file_sha256(checkpoint)
    assert algorithm.AlgorithmName == "net (segresnet-4)"
    assert algorithm.AlgorithmVersion == sha256
    assert sha256 in algorithm.AlgorithmParameters
    assert algorithm.AlgorithmFamilyCodeSequence[0].CodeMeaning == "Artificial Intelligence"
    assert seg.SeriesDescription.startswith("AI RESULT")
    assert seg.ContentLabel == "AI_RESULT"
    assert seg.SyntheticData == "NO"
    # a real scan: no word of a synthetic one, and no native UID when they are to be hidden
    data = (tmp_path / "ct" / "ct_seg.dcm").read_bytes()
    source = pydicom.dcmread(next(series.iterdir()))
    assert b"SYNTHETIC" not in data
    for uid in (source.StudyInstanceUID, source.SeriesInstanceUID, source.FrameOfReferenceUID):
        assert uid.encode() not in data
    mask = nib.load(tmp_path / "ct" / "ct_mask.nii.gz")
    assert mask.header["descrip"].tobytes().startswith(b"AI result, net " + sha256[:12].encode())


def test_what_a_generator_made_stays_synthetic_in_its_seg(tmp_path, checkpoint):
    write_volume(tmp_path, "a", 1)
    image = nib.load(tmp_path / "a_ct.nii.gz")
    image.header["descrip"] = b"SYNTHETIC liver lesion, seed 1"
    nib.save(image, tmp_path / "made.nii.gz")
    run(tmp_path / "made.nii.gz", checkpoint, tmp_path / "out", "--threshold", "0.2")
    seg, _ = seg_of(tmp_path / "out" / "made")
    assert seg.SyntheticData == "YES"


def test_without_a_checkpoint_the_network_that_ships_is_taken(tmp_path, capsys):
    write_volume(tmp_path, "a", 1)
    ct = str(tmp_path / "a_ct.nii.gz")
    call_command("recognize", "--ct", ct, "--out", str(tmp_path / "one"), "--window", "64")
    # the name of the bundle stands for the segmentor in it
    extra = ("--checkpoint", "freetumor-small", "--window", "64")
    call_command("recognize", "--ct", ct, "--out", str(tmp_path / "two"), *extra)
    assert "tumors of the liver, lung" in capsys.readouterr().err
    ships = shipped_network("freetumor-small-segmentor")
    for out in ("one", "two"):
        record = json.loads((tmp_path / out / "a_ct" / "a_ct.json").read_text())
        assert record["checkpoint"]["sha256"] == ships.sha256
        assert record["network"]["classes"][2] == "liver tumor"


def test_a_segmentor_computes_the_same_logits_as_in_the_engine_it_comes_from():
    weights = chosen("freetumor-small-segmentor")
    ours = load(weights).network
    theirs = load_registered("freetumor-small-segmentor", "segmentor").network
    crop = torch.rand((1, 2, 32, 32, 32), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.equal(ours(crop), theirs(crop))


BAD = {
    "no CT": (("--ct", "/nowhere.nii.gz"), "/nowhere.nii.gz does not exist"),
    "no weights": (("--checkpoint", "/no.safetensors"), "There is no checkpoint"),
    "no such name": (("--checkpoint", "nobody"), "There is no checkpoint 'nobody'"),
    "weights that are none": (("--checkpoint", __file__), "not a safetensors file"),
    "a threshold of 1": (("--threshold", "1"), "--threshold lies between"),
    "a window that does not fit": (("--window", "15"), "multiple of 8"),
    "an organ it does not know": (("--organ", "kidney"), "knows no tumor of the kidney"),
    "a mask of no organ": (("--organ-mask", "m.nii.gz"), "Say with --organ"),
    "no mask": (("--organ", "liver", "--organ-mask", "/m.nii.gz"), "There is no mask file"),
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
