"""Every folder of the shared real CT, through the command."""

from __future__ import annotations

import hashlib
import io
import json

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from django.core.management import call_command

from readerstudy.library import selectors
from readerstudy.library.imaging.archive import unpack
from readerstudy.library.imaging.masks import choose, open_mask
from readerstudy.library.imaging.scan import Source, scan
from readerstudy.library.models import Volume

from .conftest import only

pytestmark = [pytest.mark.shared, pytest.mark.django_db]

NIFTI = {
    "lung_lidc-idri-0001": ("lung", ["lung.nii.gz"], ["tumour.nii.gz"]),
    "lung_4dlung-p113": ("lung", ["lung.nii.gz"], ["tumour.nii.gz", "tumour_ln.nii.gz"]),
    "liver_crlm-ct-1006": ("liver", ["liver.nii.gz"], ["tumour_draft.nii.gz"]),
    "abdomen_cptac-pda-c3l-00189": ("liver", ["liver.nii.gz"], []),
}


def run(*arguments):
    out = io.StringIO()
    call_command("import_ct", *map(str, arguments), stdout=out)
    return out.getvalue()


@pytest.mark.parametrize("name", NIFTI)
def test_nifti_folders(shared_ct, name):
    organ, organ_masks, tumors = NIFTI[name]
    arguments = [shared_ct / name]
    for mask in organ_masks:
        arguments += ["--organ", organ, "--organ-mask", mask]
    for mask in tumors:
        arguments += ["--tumor-mask", mask]
    run(*arguments)
    volume = Volume.objects.get()
    image = sitk.ReadImage(str(shared_ct / name / "ct.nii.gz"))
    assert np.array_equal(selectors.load_ct(volume), sitk.GetArrayFromImage(image))
    geometry = selectors.geometry(volume)
    assert np.allclose(geometry.spacing, image.GetSpacing(), atol=1e-6)
    assert np.allclose(geometry.origin, image.GetOrigin(), atol=1e-4)
    assert np.allclose(np.ravel(geometry.direction), image.GetDirection(), atol=1e-6)
    said = json.loads((shared_ct / name / "info.json").read_text())["masks"]
    for kind, files in (("organ", organ_masks), ("tumor", tumors)):
        stored = sorted(mask.volume_ml for mask in volume.masks.filter(kind=kind))
        expected = sorted(said[file.removesuffix(".nii.gz")]["ml"] for file in files)
        assert stored == pytest.approx(expected, abs=0.01)


def test_the_small_volume_with_many_organs(shared_ct):
    folder = shared_ct / "organs_totalsegmentator-example"
    run(folder, "--labels", "organs_multilabel.nii.gz", "5=liver", "2+3=kidney", "7=pancreas")
    volume = Volume.objects.get()
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "organs_multilabel.nii.gz")))
    for mask in volume.masks.all():
        keys = {"liver": [5], "kidney": [2, 3], "pancreas": [7]}[mask.label]
        assert np.array_equal(selectors.load_mask(mask), np.isin(labels, keys))


@pytest.fixture
def unpacked(shared_ct, tmp_path):
    def at(pattern):
        return unpack(only(list(shared_ct.glob(pattern))), tmp_path / "unpacked")

    return at


def test_the_jpeg_2000_series_and_its_labels_in_another_axis_order(shared_ct, unpacked):
    folder = shared_ct / "dicom_totalsegmentator-example"
    run(folder / "example_ct_dicom.zip", "--labels", folder / "organs_multilabel.nii.gz", "5=liver")
    volume = Volume.objects.get()
    files = unpacked("dicom_totalsegmentator-example/*.zip")
    headers = {
        float(ds.ImagePositionPatient[2]): ds
        for ds in map(pydicom.dcmread, [f.path for f in files])
    }
    hu = selectors.load_ct(volume)
    for index, place in enumerate(sorted(headers)):
        ds = headers[place]
        assert np.array_equal(hu[index], ds.pixel_array.astype(int) * ds.RescaleSlope - 1024)
    liver = volume.masks.get()
    # enhanced liver of this scan: the mask would lie on something else if an axis were swapped
    inside = hu[selectors.load_mask(liver)]
    assert 80 < np.median(inside) < 140
    assert liver.volume_ml > 200


def test_the_radiotherapy_contours_equal_the_published_mask(shared_ct, unpacked):
    """RTSTRUCT rasterized here against the masks of lung_4dlung-p113.

    Tumor: all 23,611 voxels equal. Nodes: one of 2,240 has its center exactly on an edge.
    """
    files = unpacked("dicom_4dlung-p113/*.zip")
    found = scan(Source(file.path, file.name) for file in files)
    volume, mask = only(found.volumes), only(found.masks)
    for name, file, ml, unlike in (
        ("Tumor_c40", "tumour.nii.gz", 67.56, 0),
        ("LN_c40", "tumour_ln.nii.gz", 6.41, 1),
    ):
        ours = mask.open().read(choose(mask.segments, name), volume.geometry)
        assert ours.sum() * volume.geometry.voxel_ml == pytest.approx(ml, abs=0.01)
        published = open_mask(shared_ct / "lung_4dlung-p113" / file)
        theirs = published.read([1], published.geometry)
        placed = np.zeros_like(ours)
        x, y, z = np.rint(volume.geometry.world_to_index(published.geometry.origin)).astype(int)
        for k, plane in enumerate(theirs):
            if plane.any():  # the DICOM has fewer slices, but all the contours need
                placed[k + z, y : y + plane.shape[0], x : x + plane.shape[1]] = plane
        assert np.count_nonzero(ours != placed) == unlike


def test_the_original_dicom_of_4d_lung(shared_ct):
    before = hashlib.sha256(
        only(list(shared_ct.glob("dicom_4dlung-p113/*.zip"))).read_bytes()
    ).hexdigest()
    said = run(
        shared_ct / "dicom_4dlung-p113", "--organ", "lung", "--tumor-mask", "RTSTRUCT.dcm#Tumor_c40"
    )
    volume = Volume.objects.get()
    assert (volume.slices, volume.rows, volume.columns) == (53, 512, 512)
    assert volume.masks.get().volume_ml == pytest.approx(67.56, abs=0.01)
    assert volume.report["private"] > 0
    stored = json.dumps(list(Volume.objects.values()), default=str)
    for secret in ("P113", "HM10395", "2819497684894126", "19991126"):
        assert secret not in stored
    assert "PatientID" in said
    after = hashlib.sha256(
        only(list(shared_ct.glob("dicom_4dlung-p113/*.zip"))).read_bytes()
    ).hexdigest()
    assert before == after
