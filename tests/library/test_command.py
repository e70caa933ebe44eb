"""import_ct: what it stores, what it says, and that it can be run again."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from readerstudy.audit.models import AuditEvent
from readerstudy.library import selectors
from readerstudy.library.models import Mask, Volume

from .makers import phantom, write_nifti, write_rtstruct, write_series, zip_of
from .test_masks import GRID, blob, square

pytestmark = pytest.mark.django_db


def run(*arguments) -> str:
    out = io.StringIO()
    call_command("import_ct", *map(str, arguments), stdout=out)
    return out.getvalue()


def test_a_series_with_masks_is_stored_exactly(tmp_path):
    hu = phantom()
    write_series(tmp_path / "ct", hu)
    liver = write_nifti(tmp_path / "liver.nii.gz", blob().astype(np.uint8))
    rt = write_rtstruct(
        tmp_path / "rt.dcm",
        {"GTV": [square(7.5, 9.5, 5.5, 8.5, 3)], "Cord": [square(0, 1, 0, 1, 0)]},
    )
    said = run(
        tmp_path / "ct", "--organ", "Liver", "--organ-mask", liver, "--tumor-mask", f"{rt}#GTV",
        "--source", "Test set, CC BY",
    )  # fmt: skip
    volume = Volume.objects.get()
    assert np.array_equal(selectors.load_ct(volume), hu)
    assert selectors.geometry(volume) == GRID
    assert (volume.hu_min, volume.hu_max) == (hu.min(), hu.max())
    assert (volume.source, volume.origin_format) == ("Test set, CC BY", "dicom")
    organ, tumor = volume.masks.order_by("kind")
    assert (organ.kind, organ.label, tumor.kind, tumor.label) == (
        "organ",
        "liver",
        "tumor",
        "liver",
    )
    assert np.array_equal(selectors.load_mask(organ), blob())
    assert selectors.load_mask(tumor).sum() == tumor.voxels == 2 * 3
    assert tumor.volume_ml == pytest.approx(6 * 0.7 * 0.8 * 2.5 / 1000)
    assert "Stored" in said
    assert "PatientName" in said


def test_U3_no_identifying_word_is_stored_anywhere(tmp_path, data_dir):
    folder = tmp_path / "Doe^Jane MRN-4711"
    write_series(folder, phantom())
    run(folder)
    volume = Volume.objects.get()
    rows = json.dumps(
        [list(Volume.objects.values()), list(AuditEvent.objects.values("data", "object_id"))],
        default=str,
    )
    files = [path for path in data_dir.rglob("*") if path.is_file()]
    for secret in ("Doe", "MRN-4711", "4711", "19500101", "20200102"):
        assert secret not in rows
        assert not [path for path in files if secret.encode() in path.read_bytes()]
    assert volume.patient.startswith("P-")


def test_a_patient_keeps_the_code_over_imports_and_another_key_gives_another(tmp_path, settings):
    write_series(tmp_path / "a", phantom(seed=1))
    write_series(tmp_path / "b", phantom(seed=2))
    run(tmp_path / "a")
    run(tmp_path / "b")
    first, second = Volume.objects.order_by("created_at")
    assert first.patient == second.patient
    assert [first.name, second.name] == [f"{first.patient} CT 1", f"{first.patient} CT 2"]
    settings.PSEUDONYM_KEY = "another installation"
    write_series(tmp_path / "c", phantom(seed=3))
    run(tmp_path / "c")
    assert Volume.objects.latest("created_at").patient != first.patient


def test_a_given_code_is_used_and_cannot_cover_two_patients(tmp_path):
    write_nifti(tmp_path / "ct.nii.gz", phantom())
    run(tmp_path / "ct.nii.gz", "--patient", "LIDC-0001")
    assert Volume.objects.get().patient == "LIDC-0001"
    for name in ("x", "y"):
        uids = {"patient": name, "series": f"1.{ord(name)}", "study": f"2.{ord(name)}"}
        write_series(tmp_path / "two", phantom(seed=ord(name)), prefix=name, uids=uids)
    with pytest.raises(CommandError, match="of 2 patients"):
        run(tmp_path / "two", "--patient", "LIDC-0001")


def test_the_same_volume_is_known_again_and_new_masks_join_it(tmp_path):
    """Also from another format, in another axis order."""
    hu = phantom()
    write_series(tmp_path / "dicom", hu)
    run(tmp_path / "dicom")
    ras = np.diag([0.7, 0.8, 2.5, 1.0])
    ras[:3, 3] = [100.0 - 23 * 0.7, 90.5 - 19 * 0.8, 30.25]
    nifti = write_nifti(tmp_path / "ct.nii.gz", hu[:, ::-1, ::-1], affine=ras)
    mask = write_nifti(
        tmp_path / "m.nii.gz", blob()[:, ::-1, ::-1].astype(np.uint8), affine=ras
    )  # fmt: skip
    said = run(nifti, "--organ", "liver", "--organ-mask", mask)
    volume = Volume.objects.get()
    assert f"It equals {volume.name}" in said
    assert "1 new mask was added" in said
    assert np.array_equal(selectors.load_mask(volume.masks.get()), blob())
    said = run(nifti, "--organ", "liver", "--organ-mask", mask)
    assert "new mask" not in said
    assert Mask.objects.count() == 1


def test_one_event_for_each_write_and_none_for_what_is_known(tmp_path):
    write_nifti(tmp_path / "ct.nii.gz", phantom())
    run(tmp_path)
    run(tmp_path)
    event = AuditEvent.objects.get(action__startswith="library.")
    assert event.action == "library.volume_imported"
    assert event.data["sha256"] == Volume.objects.get().sha256


def test_labels_of_one_file_become_organs(tmp_path):
    labels = np.zeros(GRID.shape, dtype=np.uint8)
    labels[1, :5], labels[2, :5], labels[3, :5] = 2, 3, 5
    write_nifti(tmp_path / "ct.nii.gz", phantom())
    write_nifti(tmp_path / "organs.nii.gz", labels)
    said = run(tmp_path, "--labels", "organs.nii.gz", "5=liver", "2+3=kidneys")
    assert "masks nobody named" not in said
    masks = {mask.label: mask.voxels for mask in Mask.objects.all()}
    assert masks == {"liver": 5 * 24, "kidney": 2 * 5 * 24}


def test_a_zip_with_its_structure_set_inside(tmp_path):
    paths = write_series(tmp_path / "ct", phantom())
    rt = write_rtstruct(tmp_path / "rt.dcm", {"GTV": [square(7.5, 9.5, 5.5, 8.5, 3)]})
    files = {f"CT/{path.name}": path for path in paths} | {"RTSTRUCT.dcm": rt}
    archive = zip_of(tmp_path / "study.zip", files)
    run(archive, "--organ", "lung", "--tumor-mask", "RTSTRUCT.dcm")
    assert Mask.objects.get().label == "lung"


def test_a_structure_set_of_another_scan_is_refused(tmp_path, stored_nothing):
    write_series(tmp_path / "ct", phantom())
    rt = write_rtstruct(
        tmp_path / "rt.dcm", {"GTV": [square(7.5, 9.5, 5.5, 8.5, 3)]}, frame_uid="9.9.9"
    )
    with pytest.raises(CommandError, match="another frame of reference"):
        run(tmp_path / "ct", "--tumor-mask", rt)
    stored_nothing()


def test_several_volumes_each_get_their_own_masks(tmp_path):
    """Two patients on equal grids: the folder decides; the masks do not swap."""
    for patient, rows in (("a", slice(2, 6)), ("b", slice(9, 14))):
        write_nifti(tmp_path / patient / "ct.nii.gz", phantom(seed=ord(patient)))
        mask = np.zeros(GRID.shape, np.uint8)
        mask[2, rows, 3:6] = 1
        write_nifti(tmp_path / patient / "liver.nii.gz", mask)
    run(
        tmp_path,
        "--organ", "liver", "--organ-mask", "a/liver.nii.gz",
        "--organ", "liver", "--organ-mask", "b/liver.nii.gz",
    )  # fmt: skip
    assert Volume.objects.count() == 2
    for mask in Mask.objects.all():
        hu = np.asarray(selectors.load_ct(mask.volume))
        own = "a" if np.array_equal(hu, phantom(seed=ord("a"))) else "b"
        rows = np.nonzero(selectors.load_mask(mask).any(axis=(0, 2)))[0]
        assert rows.min() == {"a": 2, "b": 9}[own]


def test_good_volumes_are_kept_when_another_is_refused_and_the_exit_says_so(tmp_path):
    write_nifti(tmp_path / "good.nii.gz", phantom())
    write_nifti(tmp_path / "bad.nii.gz", phantom(seed=5) + 0.5)
    with pytest.raises(CommandError, match=r"bad.nii.gz: .*whole HU.*1 other volume") as caught:
        run(tmp_path)
    assert caught.value.returncode == 2
    assert Volume.objects.count() == 1


def test_a_failing_database_leaves_no_file(tmp_path, monkeypatch, stored_nothing):
    from readerstudy.library import services

    def broken(*args, **kwargs):
        raise RuntimeError("disk full")

    monkeypatch.setattr(services, "record", broken)
    write_nifti(tmp_path / "ct.nii.gz", phantom())
    with pytest.raises(RuntimeError):
        run(tmp_path)
    stored_nothing()
