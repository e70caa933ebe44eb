"""Each bad input gives one sentence by the command and over HTTP, and leaves nothing behind."""

from __future__ import annotations

import io
import re
import zipfile

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from readerstudy.library.models import Upload

from .http import folder_files, import_now, send
from .makers import phantom, save, slice_dataset, write_nifti, write_series, zip_of


def zip_bomb(folder):
    path = folder / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb, bomb.open("zeros", "w") as out:
        for _ in range(320):
            out.write(bytes(1 << 20))


def traversal(folder):
    zip_of(folder / "evil.zip", {"../../outside.dcm": b"x"})


def truncated_zip(folder):
    path = zip_of(folder / "half.zip", {"a": bytes(range(256)) * 40})
    path.write_bytes(path.read_bytes()[:-60])


def no_zip(folder):
    (folder / "called.zip").write_bytes(b"this is no archive")


def truncated_dicom(folder):
    paths = write_series(folder, phantom(), order=range(6))
    paths[3].write_bytes(paths[3].read_bytes()[:-100])


def truncated_nifti(folder):
    path = write_nifti(folder / "ct.nii.gz", phantom((12, 40, 40)))
    path.write_bytes(path.read_bytes()[:-500])


def mr(folder):
    def edit(ds, index):
        ds.SOPClassUID, ds.Modality = "1.2.840.10008.5.1.4.1.1.4", "MR"

    write_series(folder, phantom(), edit=edit)


def nan(folder):
    hu = phantom().astype(np.float32)
    hu[2, 3, 4] = np.nan
    write_nifti(folder / "ct.nii", hu)


def fractional(folder):
    write_nifti(folder / "ct.nii", phantom() + 0.4)


def gap(folder):
    write_series(folder, phantom(), edit=lambda ds, index: index != 2)


def tilt(folder):
    write_series(folder, phantom(), step=(0, 0.65, 2.4))


def only_localizers(folder):
    ds = slice_dataset(phantom()[0], 0)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    save(ds, folder / "scout.dcm")


def only_masks(folder):
    write_nifti(folder / "liver.nii.gz", (phantom() > 0).astype(np.uint8))


def text(folder):
    (folder / "report.txt").write_text("no image")


BAD = {
    "zip bomb": (zip_bomb, r"bomb.zip: .* times its size, as no CT does"),
    "path traversal": (traversal, r"evil.zip: .*leads out of its folder"),
    "truncated zip": (truncated_zip, r"half.zip: .*broken or cut off"),
    "not a zip": (no_zip, r"called.zip: it is called a zip archive but is none"),
    "truncated DICOM": (truncated_dicom, r"IM3.dcm: it is cut off: 860 of 960 bytes"),
    "truncated NIfTI": (truncated_nifti, r"ct.nii.gz: it is cut off"),
    "MR": (mr, r"not CT \(MR Image Storage\)"),
    "NaN": (nan, r"ct.nii: 1 voxel is not a number"),
    "fractional HU": (fractional, r"ct.nii: its values are not whole HU"),
    "gap": (gap, r"1 slice missing"),
    "gantry tilt": (tilt, r"gantry tilt of 15.2 degrees"),
    "localizer only": (only_localizers, r"scout.dcm: a localizer"),
    "masks only": (only_masks, r"No CT volume was found, only what looks like masks"),
    "text": (text, r"report.txt: neither DICOM nor NIfTI"),
}


def is_one_sentence(text: str) -> bool:
    return bool(text) and "\n" not in text and "Traceback" not in text and len(text) < 400


@pytest.mark.django_db
@pytest.mark.parametrize(("make", "words"), BAD.values(), ids=BAD)
def test_U1_U2_U4_command(tmp_path, stored_nothing, no_upload_left, make, words):
    folder = tmp_path / "in"
    folder.mkdir()
    make(folder)
    with pytest.raises(CommandError) as caught:
        call_command("import_ct", str(folder), stdout=io.StringIO())
    assert caught.value.returncode == 2
    assert is_one_sentence(str(caught.value))
    assert re.search(words, str(caught.value)), str(caught.value)
    stored_nothing()
    no_upload_left()


@pytest.mark.parametrize(("make", "words"), BAD.values(), ids=BAD)
def test_U1_U2_U4_http(
    tmp_path, coordinator, client_for, run_jobs, stored_nothing, no_upload_left, make, words
):
    folder = tmp_path / "in"
    folder.mkdir()
    make(folder)
    client = client_for(coordinator)
    response = send(client, folder_files(folder))
    if response.status_code == 200:
        run_jobs()
        upload = Upload.objects.get()
        if upload.state == Upload.State.REVIEW:  # only decoding shows it
            client.post(f"/library/upload/{upload.pk}/import/")
            run_jobs()
            upload.refresh_from_db()
        sentence = upload.error
        page = client.get(f"/library/upload/{upload.pk}/").content.decode()
        assert "Traceback" not in page
    else:
        assert response.status_code == 400
        sentence = response.json()["detail"]
        assert not Upload.objects.exists()
        no_upload_left()
    assert is_one_sentence(sentence)
    assert re.search(words, sentence), sentence
    stored_nothing()
    for upload in Upload.objects.all():
        client.post(f"/library/upload/{upload.pk}/discard/")
    no_upload_left()


@pytest.fixture
def with_wrong_mask(tmp_path):
    write_nifti(tmp_path / "in/ct.nii.gz", phantom())
    wrong = np.diag([-0.7, -0.8, 2.5, 1.0])
    mask = (phantom() > 0).astype(np.uint8)
    write_nifti(tmp_path / "in/liver.nii.gz", mask, affine=wrong)
    return tmp_path / "in"


WRONG_GRID = r"liver.nii.gz: its grid is 24 x 20 x 6 .*, the volume's 24 x 20 x 6"


@pytest.mark.django_db
def test_a_mask_on_another_grid_stores_nothing_by_the_command(with_wrong_mask, stored_nothing):
    with pytest.raises(CommandError, match=WRONG_GRID) as caught:
        call_command(
            "import_ct", str(with_wrong_mask), "--organ", "liver", "--organ-mask", "liver.nii.gz"
        )
    assert caught.value.returncode == 2
    stored_nothing()


def test_a_mask_on_another_grid_goes_back_to_the_answers_over_http(
    with_wrong_mask, coordinator, client_for, run_jobs, stored_nothing
):
    client = client_for(coordinator)
    answers = {"kind-0-1": "organ", "organ-0-1": "liver", "source": "Test"}
    upload = import_now(client, run_jobs, folder_files(with_wrong_mask), **answers)
    assert upload.state == Upload.State.REVIEW
    assert re.search(WRONG_GRID, upload.error)
    stored_nothing()
    page = client.get(f"/library/upload/{upload.pk}/").content.decode()
    assert "change the answers and import again" in page
    assert 'value="liver"' in page  # what was answered is still there
    client.post(f"/library/upload/{upload.pk}/import/", {"kind-0-1": ""})
    run_jobs()
    upload.refresh_from_db()
    assert upload.state == Upload.State.DONE


COMMANDS = {
    "missing path": (["nowhere"], "nowhere; give a folder, a file or a zip"),
    "organ without mask": (["ct.nii.gz", "--organ", "liver"], "give them in pairs"),
    "mask without organ": (["ct.nii.gz", "--organ-mask", "m.nii.gz"], "give them in pairs"),
    "missing mask": (
        ["ct.nii.gz", "--tumor-mask", "gone.nii.gz"],
        "The mask gone.nii.gz does not exist",
    ),
    "a CT as mask": (["ct.nii.gz", "--tumor-mask", "ct.nii.gz"], "it is no mask"),
    "bad organ": (
        ["ct.nii.gz", "--organ", "l1ver!", "--organ-mask", "m.nii.gz"],
        "name of an organ",
    ),
    "name as patient": (["ct.nii.gz", "--patient", "Jane Doe"], "never a name"),
    "labels without organ": (["ct.nii.gz", "--labels", "m.nii.gz", "5"], "NUMBER=ORGAN"),
    "part that is not there": (["ct.nii.gz", "--tumor-mask", "m.nii.gz#9"], "no part '9'"),
}


@pytest.mark.django_db
@pytest.mark.parametrize(("arguments", "words"), COMMANDS.values(), ids=COMMANDS)
def test_a_command_line_that_cannot_be(tmp_path, monkeypatch, stored_nothing, arguments, words):
    write_nifti(tmp_path / "ct.nii.gz", phantom())
    write_nifti(tmp_path / "m.nii.gz", (phantom() > 0).astype(np.uint8))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CommandError, match=re.escape(words)) as caught:
        call_command("import_ct", *arguments, stdout=io.StringIO())
    assert caught.value.returncode == 2
    assert is_one_sentence(str(caught.value))
    stored_nothing()
