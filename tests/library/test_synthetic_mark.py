"""What a generator made is remembered as such on the way in, whatever form it comes in."""

from __future__ import annotations

import io
import json

import nibabel as nib
import numpy as np
import pytest
from django.core.management import call_command
from django.urls import reverse

from readerstudy.audit.models import AuditEvent
from readerstudy.library.imaging import synthetic
from readerstudy.library.models import Mask, Volume

from .http import folder_files, import_now
from .makers import phantom, write_nifti, write_series
from .test_masks import blob

pytestmark = pytest.mark.django_db


def run(*arguments) -> str:
    out = io.StringIO()
    call_command("import_ct", *map(str, arguments), stdout=out)
    return out.getvalue()


def described(path, words):
    image = nib.load(path)
    image.header["descrip"] = words
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header), path)
    return path


def test_a_series_that_says_synthetic_data_yes_is_remembered(tmp_path):
    def edit(ds, index):
        if index == 2:  # one file among many is enough
            ds.SyntheticData = "YES"

    write_series(tmp_path, phantom(), edit=edit)
    assert "never take it for a real case" in run(tmp_path)
    assert Volume.objects.get().synthetic == synthetic.BY_DICOM


def test_a_scan_is_not(tmp_path):
    write_series(tmp_path, phantom(), edit=lambda ds, index: setattr(ds, "SyntheticData", "NO"))
    run(tmp_path)
    assert Volume.objects.get().synthetic == ""


def test_our_nifti_says_so_in_its_header_or_beside_it(tmp_path):
    described(write_nifti(tmp_path / "a.nii.gz", phantom()), "SYNTHETIC liver lesion, seed 7")
    write_nifti(tmp_path / "b_ct.nii.gz", phantom(seed=1))
    (tmp_path / "b_ct.json").write_text(json.dumps({"SyntheticData": "YES"}))
    write_nifti(tmp_path / "c.nii.gz", phantom(seed=2))
    write_nifti(tmp_path / "d.nii.gz", phantom(seed=3))
    manifest = {"synthetic": True, "variants": [{"files": ["c.nii.gz"]}]}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    said = {}
    for name in ("a", "b_ct", "c", "d"):  # a single file: its folder is looked at
        run(tmp_path / f"{name}.nii.gz")
        said[name] = Volume.objects.order_by("-created_at").first().synthetic
    assert said == {
        "a": synthetic.BY_NIFTI,
        "b_ct": synthetic.BY_NOTE,
        "c": synthetic.BY_NOTE,
        "d": "",
    }


@pytest.mark.parametrize("text", ["", "[1]", '{"synthetic": true, "variants": 3}', "{" * 5000])
def test_a_json_file_that_says_nothing_harms_nothing(tmp_path, text):
    path = write_nifti(tmp_path / "ct.nii.gz", phantom())
    (tmp_path / "manifest.json").write_text(text)
    run(path)
    assert Volume.objects.get().synthetic == ""


def test_a_mask_of_what_was_inserted_is_remembered_on_the_scan(tmp_path):
    write_series(tmp_path / "ct", phantom())
    lesion = write_nifti(tmp_path / "lesion.nii.gz", blob().astype(np.uint8))
    described(lesion, "SYNTHETIC lesion mask")
    run(tmp_path / "ct", "--organ", "liver", "--tumor-mask", lesion)
    assert (Volume.objects.get().synthetic, Mask.objects.get().synthetic) == ("", True)


def test_a_person_may_say_so_for_the_equal_volume_that_is_here_already(tmp_path):
    path = write_nifti(tmp_path / "ct.nii.gz", phantom())
    run(path)
    run(path, "--synthetic")
    assert Volume.objects.get().synthetic == "a person said so"
    assert AuditEvent.objects.filter(action="library.volume_marked").count() == 1


def test_the_pages_mark_a_volume_and_take_the_mark_away(
    tmp_path, coordinator, client_for, run_jobs
):
    write_series(tmp_path, phantom())
    web = client_for(coordinator)
    import_now(web, run_jobs, folder_files(tmp_path), synthetic="on")
    volume = Volume.objects.get()
    assert volume.synthetic == "a person said so"
    page = web.get(reverse("library:volume", args=[volume.pk])).content.decode()
    assert "no lesion in it counts as a real one" in page
    said = {"name": volume.name, "patient": volume.patient, "source": ""}
    web.post(reverse("library:volume_edit", args=[volume.pk]), said)
    volume.refresh_from_db()
    assert volume.synthetic == ""
    event = AuditEvent.objects.filter(action="library.volume_changed").latest("seq")
    assert event.data["synthetic"] == ""
