"""Organ masks made here: the command, the import, the button; TotalSegmentator by a stand-in."""

from __future__ import annotations

import io
import sys
import types

import nibabel as nib
import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from readerstudy.library import organs, selectors
from readerstudy.library.imaging.geometry import Geometry, VolumeData
from readerstudy.library.models import Mask, Volume
from readerstudy.library.services import store_volume
from recognition.engine.overlap import dice
from tests.recognition.test_lungs import MM, chest

pytestmark = pytest.mark.django_db
# x to the right, y to the head, z to the front: nothing as a network wants it
TURNED = ((-1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0))


def run(*arguments) -> str:
    out = io.StringIO()
    call_command(*map(str, arguments), stdout=out)
    return out.getvalue()


@pytest.fixture(scope="module")
def lungs() -> tuple[np.ndarray, np.ndarray]:
    return chest()


@pytest.fixture
def volume(lungs) -> Volume:
    data = VolumeData(lungs[0], Geometry(lungs[0].shape, MM, (0.0, 0.0, 0.0)))
    return store_volume(data, patient="P1", origin_format="phantom", name="Chest 1").volume


@pytest.fixture
def ct(lungs, tmp_path):
    path = tmp_path / "ct.nii.gz"
    nib.save(nib.Nifti1Image(lungs[0].transpose(2, 1, 0), np.diag([-2.0, -2.0, 3.0, 1.0])), path)
    return path


@pytest.fixture
def total(monkeypatch) -> list[dict]:
    """A module in the place of TotalSegmentator, with the signature of its `python_api`.

    It calls the right half of the patient liver, so that a wrong axis shows.
    """
    calls: list[dict] = []
    config = {"send_usage_stats": True}

    def totalsegmentator(
        input, output=None, ml=False, nr_thr_resamp=1, nr_thr_saving=6, fast=False,
        nora_tag="None", preview=False, task="total", roi_subset=None, statistics=False,
        radiomics=False, crop_path=None, body_seg=False, force_split=False, output_type="nifti",
        quiet=False, verbose=False, test=0, skip_saving=False, device="gpu", license_number=None,
        statistics_exclude_masks_at_border=True, no_derived_masks=False, v1_order=False,
        fastest=False, roi_subset_robust=None,
    ):  # fmt: skip
        calls.append({"ml": ml, "task": task, "roi_subset": roi_subset, **config})
        index = np.indices(input.shape).reshape(3, -1)
        world = nib.affines.apply_affine(input.affine, index.T)
        middle = (world[:, 0].min() + world[:, 0].max()) / 2
        labels = np.where(world[:, 0] > middle, 5, 1).reshape(input.shape)
        return nib.Nifti1Image(labels.astype(np.uint8), input.affine)

    parts = {
        "totalsegmentator": {},
        "totalsegmentator.python_api": {"totalsegmentator": totalsegmentator},
        "totalsegmentator.map_to_binary": {"class_map": {"total": {1: "spleen", 5: "liver"}}},
        "totalsegmentator.config": {
            "setup_totalseg": lambda: config,
            "set_config_key": lambda key, value: config.update({key: value}),
        },
    }
    for name, values in parts.items():
        module = types.ModuleType(name)
        module.__dict__.update(values)
        module.__spec__ = types.SimpleNamespace(name=name)
        monkeypatch.setitem(sys.modules, name, module)
    return calls


def test_the_lungs_of_a_stored_volume(volume, lungs):
    said = run("segment_organs", "Chest 1", "--organ", "lungs")
    mask = volume.masks.get()
    assert (mask.kind, mask.label, mask.origin_format) == ("organ", "lung", "threshold")
    assert dice(selectors.load_mask(mask), lungs[1]) > 0.97
    assert f"{mask.volume_ml:.0f} ml, by threshold" in said
    with pytest.raises(CommandError, match="has a mask of the lung already") as error:
        run("segment_organs", "Chest 1", "--organ", "lung")
    assert error.value.returncode == 2


def test_a_file_becomes_a_file_on_the_same_grid(ct, lungs, tmp_path):
    run("segment_organs", "--ct", ct, "--organ", "lung", "--out", tmp_path / "lung.nii.gz")
    image = nib.load(tmp_path / "lung.nii.gz")
    assert np.allclose(image.affine, nib.load(ct).affine)
    assert dice(np.asarray(image.dataobj).T > 0, lungs[1]) > 0.97
    assert image.header["descrip"].tobytes().startswith(b"mask of lung, by threshold")
    assert not Mask.objects.exists()


BAD = {
    "nothing": ((), "Give either a VOLUME of the library or --ct"),
    "no file": (("--ct", "ct.nii.gz"), "Say with --out where the mask"),
    "an unknown organ": (("V", "--organ", "knee"), "No mask of the knee can be made; choose"),
    "no package": (("V", "--organ", "liver"), "install the extra 'organs'"),
    "not by thresholding": (
        ("V", "--organ", "liver", "--method", "threshold"), "Thresholding finds lungs alone",
    ),
    "no volume": (("V",), "There is no volume 'V' in the library"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_status_2(case):
    extra, sentence = BAD[case]
    organ = () if "--organ" in extra else ("--organ", "lung")
    with pytest.raises(CommandError, match=sentence) as error:
        run("segment_organs", *extra, *organ)
    assert error.value.returncode == 2


def test_an_abdomen_without_lungs_says_so_and_writes_nothing(tmp_path):
    path, out = tmp_path / "ct.nii.gz", tmp_path / "lung.nii.gz"
    hu = np.full((40, 40, 20), 40, np.int16)
    hu[:3] = -100  # fat
    nib.save(nib.Nifti1Image(hu, np.eye(4)), path)
    with pytest.raises(CommandError, match="No lung was found"):
        run("segment_organs", "--ct", path, "--organ", "lung", "--out", out)
    assert not list(tmp_path.glob("*lung*"))


def test_totalsegmentator_is_asked_for_the_open_task_and_its_axes_come_back(total, lungs):
    hu = lungs[0]
    data = VolumeData(hu, Geometry(hu.shape, (1.0, 1.5, 2.0), (5.0, 6.0, 7.0), TURNED))
    mask = organs.organ_mask(data, "liver")
    assert total == [
        {"ml": True, "task": "total", "roi_subset": ["liver"], "send_usage_stats": False}
    ]
    # TURNED: x grows to the right of the patient, where the stand-in sees a liver
    half = hu.shape[2] // 2
    assert mask[..., half + 1 :].all()
    assert not mask[..., : half - 1].any()


def test_a_failure_of_totalsegmentator_is_one_sentence(total, volume, monkeypatch):
    def fail(*args, **options):
        raise SystemExit(1)

    monkeypatch.setattr(sys.modules["totalsegmentator.python_api"], "totalsegmentator", fail)
    with pytest.raises(CommandError, match="TotalSegmentator failed") as error:
        run("segment_organs", "Chest 1", "--organ", "liver")
    assert error.value.returncode == 2
    assert not Mask.objects.exists()


def test_an_import_makes_the_mask_that_it_was_asked_for(ct):
    said = run("import_ct", ct, "--organ", "lung", "--organ-mask", "auto")
    mask = Volume.objects.get().masks.get()
    assert mask.label == "lung"
    assert f"lung (organ), {mask.volume_ml:.0f} ml, made here" in said
    run("import_ct", ct, "--organ", "lung", "--organ-mask", "auto")  # again: nothing new
    assert Mask.objects.count() == 1


def test_an_import_asks_first_whether_the_mask_can_be_made(ct):
    with pytest.raises(CommandError, match="install the extra 'organs'"):
        run("import_ct", ct, "--organ", "liver", "--organ-mask", "auto")
    assert not Volume.objects.exists()


def test_the_button_of_a_volume_starts_a_job(volume, coordinator, client_for, run_jobs):
    client = client_for(coordinator)
    address = reverse("library:volume", args=[volume.pk])
    page = client.get(address).content.decode()
    assert "Other organs need TotalSegmentator" in page
    answer = client.post(reverse("library:make_organ", args=[volume.pk]), {"organ": "lung"})
    assert answer["Location"] == address
    (job,) = run_jobs()
    assert job.state == "done"
    assert volume.masks.get().label == "lung"
    assert "Make a mask of the" not in client.get(address).content.decode()
    answer = client.post(reverse("library:make_organ", args=[volume.pk]), {"organ": "knee"})
    assert answer.status_code == 400


def test_a_job_that_finds_no_lung_says_so_on_the_page(coordinator, client_for, run_jobs):
    data = VolumeData(
        np.full((10, 20, 20), 40, np.int16), Geometry((10, 20, 20), MM, (0.0, 0.0, 0.0))
    )
    plain = store_volume(data, patient="P1", origin_format="phantom").volume
    client = client_for(coordinator)
    client.post(reverse("library:make_organ", args=[plain.pk]), {"organ": "lung"})
    (job,) = run_jobs()
    assert job.state == "failed"
    assert "No lung was found" in job.error


@pytest.mark.shared
def test_lungs_of_a_real_chest_by_the_command(shared_ct, tmp_path):
    folder = "lung_4dlung-p113"
    run(
        "segment_organs", "--ct", shared_ct / folder / "ct.nii.gz", "--organ", "lung",
        "--out", tmp_path / "lung.nii.gz",
    )  # fmt: skip
    made, known = (
        np.asarray(nib.load(path).dataobj) > 0
        for path in (tmp_path / "lung.nii.gz", shared_ct / folder / "lung.nii.gz")
    )
    assert dice(made, known) >= 0.95
