"""The upload page's API and pages, over HTTP."""

from __future__ import annotations

import io
import json
import uuid
from datetime import timedelta

import numpy as np
import pytest
from django.utils import timezone

from readerstudy.audit.models import AuditEvent
from readerstudy.jobs.models import Job
from readerstudy.jobs.registry import JobCancelled
from readerstudy.library import importing, selectors, uploads
from readerstudy.library.models import Mask, Upload, UploadFile, Volume

from .http import API, announce, folder_files, import_now, put, send
from .makers import phantom, write_nifti, write_rtstruct, write_series, zip_of
from .test_masks import blob, square


@pytest.fixture
def client(coordinator, client_for):
    return client_for(coordinator)


@pytest.fixture
def study(tmp_path):
    """A folder as a coordinator drops it: a series, a structure set, a localizer, notes."""
    folder = tmp_path / "study"
    write_series(folder / "CT", phantom())
    write_rtstruct(
        folder / "RTSTRUCT.dcm",
        {"Tumor_1": [square(7.5, 9.5, 5.5, 8.5, 3)], "Liver": [square(2.5, 12.5, 2.5, 12.5, 3)]},
    )
    write_series(
        folder / "scout",
        phantom((1, 8, 8)),
        uids={"series": "1.7"},
        edit=lambda ds, index: setattr(ds, "ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"]),
    )
    (folder / "notes.txt").write_text("hello")
    return folder


def test_a_dropped_folder_becomes_a_volume_with_masks(client, study, run_jobs, no_upload_left):
    files = folder_files(study)
    assert send(client, files).status_code == 200
    run_jobs()
    upload = Upload.objects.get()
    assert upload.state == Upload.State.REVIEW
    review = client.get(f"/library/upload/{upload.pk}/").content.decode()
    assert "a localizer (scout view)" in review
    assert "neither DICOM nor NIfTI" in review
    masks = upload.findings["masks"][0]
    guesses = {part["name"]: (part["kind"], part["organ"]) for part in masks["parts"]}
    assert guesses == {"Tumor_1": ("tumor", ""), "Liver": ("organ", "liver")}
    answers = {"kind-0-1": "tumor", "organ-0-1": "", "kind-0-2": "organ", "organ-0-2": "Liver"}
    client.post(f"/library/upload/{upload.pk}/import/", {**answers, "source": "Test"})
    run_jobs()
    upload.refresh_from_db()
    assert upload.state == Upload.State.DONE
    volume = Volume.objects.get()
    assert np.array_equal(selectors.load_ct(volume), phantom())
    # the only organ named in the upload is where the tumor is
    assert {(mask.kind, mask.label) for mask in volume.masks.all()} == {
        ("organ", "liver"),
        ("tumor", "liver"),
    }
    assert volume.source == "Test"
    page = client.get(f"/library/upload/{upload.pk}/").content.decode()
    assert "PatientName" in page
    assert volume.name in page
    assert not UploadFile.objects.exists()
    no_upload_left()


def test_names_of_files_go_with_the_files(client, tmp_path, run_jobs):
    """A folder called by a name leaves no trace once imported, not even in jobs or the log."""
    write_series(tmp_path / "x" / "Doe_Jane", phantom())
    upload = import_now(client, run_jobs, folder_files(tmp_path / "x"))
    assert upload.state == Upload.State.DONE
    client.post(f"/library/upload/{upload.pk}/discard/")
    rows = [list(model.objects.values()) for model in (Job, Upload, UploadFile, AuditEvent, Volume)]
    assert "Doe" not in json.dumps(rows, default=str)


def test_chunks_go_on_where_they_stopped(client, tmp_path, settings):
    """After a reload the same files give the same upload and how far each has come."""
    settings.UPLOAD_CHUNK_BYTES = 1000
    path = write_nifti(tmp_path / "ct.nii", phantom())
    data = path.read_bytes()
    first = announce(client, {"ct.nii": path}).json()
    file = first["files"][0]["id"]
    assert put(client, first["id"], file, 0, data[:1000]).json() == {"received": 1000}
    again = announce(client, {"ct.nii": path}).json()
    assert again["id"] == first["id"]
    assert again["files"][0]["received"] == 1000
    assert client.get(f"{API}/{first['id']}").json()["files"][0]["received"] == 1000
    wrong = put(client, first["id"], file, 500, data[500:1500])
    assert (wrong.status_code, wrong.json()["received"]) == (409, 1000)
    assert client.post(f"{API}/{first['id']}/finish").status_code == 400
    for offset in range(1000, len(data), 1000):
        put(client, first["id"], file, offset, data[offset : offset + 1000])
    assert client.post(f"{API}/{first['id']}/finish").status_code == 200
    page = client.get(f"/library/upload/{first['id']}/")
    assert "Looking at the files" in page.content.decode()


def test_what_a_killed_server_wrote_uncounted_is_cut_off(client, tmp_path, data_dir):
    path = write_nifti(tmp_path / "ct.nii", phantom())
    upload = announce(client, {"ct.nii": path}).json()
    file = upload["files"][0]["id"]
    on_disk = data_dir / "uploads" / upload["id"] / f"file-{file}"
    data = path.read_bytes()
    on_disk.write_bytes(b"?" * (len(data) + 100))
    put(client, upload["id"], file, 0, data)
    assert on_disk.read_bytes() == data


def test_a_chunk_longer_than_announced_is_refused(client, tmp_path, settings):
    path = tmp_path / "a.nii"
    path.write_bytes(b"12345")
    upload = announce(client, {"a.nii": path}).json()
    file = upload["files"][0]["id"]
    response = put(client, upload["id"], file, 0, b"123456789")
    assert response.status_code == 400
    assert "longer than was announced" in response.json()["detail"]
    assert UploadFile.objects.get().received == 0


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([{"name": "../../x", "size": 1}], "leads out of its folder"),
        ([{"name": "/etc/passwd", "size": 1}], "absolute path"),
        ([{"name": "a", "size": 1}, {"name": "./a", "size": 1}], "listed twice"),
        ([{"name": "a", "size": 2**50}], "one upload may have"),
        ([], "no file to upload"),
    ],
)
def test_announcements_that_are_refused(client, data_dir, files, words):
    response = client.post(API, json.dumps({"files": files}), content_type="application/json")
    assert response.status_code == 400
    assert words in response.json()["detail"]
    assert not Upload.objects.exists()
    assert not (data_dir / "uploads").exists()


def test_an_upload_belongs_to_its_owner(client, other_coordinator, reader, client_for, tmp_path):
    path = write_nifti(tmp_path / "ct.nii", phantom())
    upload = announce(client, {"ct.nii": path}).json()
    file = upload["files"][0]["id"]
    for user, status in ((other_coordinator, 404), (reader, 403)):
        theirs = client_for(user)
        assert theirs.get(f"{API}/{upload['id']}").status_code == status
        assert put(theirs, upload["id"], file, 0, b"x").status_code == status
        assert theirs.delete(f"{API}/{upload['id']}").status_code == status
        assert theirs.get(f"/library/upload/{upload['id']}/").status_code == status
    assert client_for().get(f"{API}/{upload['id']}").status_code == 401


def test_A3_writes_need_the_token(coordinator, client_for, tmp_path):
    path = write_nifti(tmp_path / "ct.nii", phantom())
    strict = client_for(coordinator, csrf=True)
    assert announce(strict, {"ct.nii": path}).status_code == 403
    assert put(strict, str(uuid.uuid4()), 1, 0, b"x").status_code == 403


def test_cancel_deletes_what_has_arrived(client, tmp_path, no_upload_left):
    path = write_nifti(tmp_path / "ct.nii", phantom())
    upload = announce(client, {"ct.nii": path}).json()
    put(client, upload["id"], upload["files"][0]["id"], 0, path.read_bytes())
    assert client.delete(f"{API}/{upload['id']}").status_code == 204
    assert not Upload.objects.exists()
    no_upload_left()


def test_discarding_stops_a_queued_job(client, tmp_path, run_jobs, no_upload_left):
    path = write_nifti(tmp_path / "ct.nii", phantom())
    send(client, {"ct.nii": path})
    upload = Upload.objects.get()
    client.post(f"/library/upload/{upload.pk}/discard/")
    assert Job.objects.get().state == Job.State.CANCELLED
    run_jobs()
    no_upload_left()


def test_a_cancelled_import_can_be_repeated(client, tmp_path, run_jobs, monkeypatch):
    path = write_nifti(tmp_path / "ct.nii", phantom())
    send(client, {"ct.nii": path})
    run_jobs()
    upload = Upload.objects.get()

    def stop(*args, **kwargs):
        raise JobCancelled

    with monkeypatch.context() as patch:
        patch.setattr(importing, "run", stop)
        client.post(f"/library/upload/{upload.pk}/import/")
        run_jobs()
    page = client.get(f"/library/upload/{upload.pk}/").content.decode()
    assert "Cancelled" in page
    client.post(f"/library/upload/{upload.pk}/again/")
    run_jobs()
    upload.refresh_from_db()
    assert upload.state == Upload.State.DONE
    assert Volume.objects.count() == 1


def test_a_killed_import_goes_on_after_the_last_stored_volume(
    client, tmp_path, run_jobs, monkeypatch
):
    """The worker dies while the second of three volumes is written; nothing is stored twice."""
    for seed in (1, 2, 3):
        write_nifti(tmp_path / "in" / f"{seed}.nii.gz", phantom(seed=seed))
    send(client, folder_files(tmp_path / "in"))
    run_jobs()
    upload = Upload.objects.get()
    client.post(f"/library/upload/{upload.pk}/import/")
    real, calls = importing.services.store_volume, []

    def dies_once(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise SystemExit  # as a kill: no handler of the job sees it
        return real(*args, **kwargs)

    monkeypatch.setattr(importing.services, "store_volume", dies_once)
    with pytest.raises(SystemExit):
        run_jobs()
    Job.objects.filter(state=Job.State.RUNNING).update(
        lease_until=timezone.now() - timedelta(seconds=1)
    )
    run_jobs()
    upload.refresh_from_db()
    assert upload.state == Upload.State.DONE
    assert [item["state"] for item in upload.result["outcomes"]] == ["stored"] * 3
    assert len(calls) == 4  # one, died, two, three
    assert Volume.objects.count() == 3


def test_masks_are_added_to_a_stored_volume(client, tmp_path, run_jobs):
    import_now(client, run_jobs, {"ct.nii": write_nifti(tmp_path / "ct.nii", phantom())})
    Upload.objects.all().delete()
    volume = Volume.objects.get()
    mask = write_nifti(tmp_path / "tumor_liver.nii.gz", blob().astype(np.uint8))
    assert client.get(f"/library/upload/?volume={volume.pk}").status_code == 200
    assert send(client, {mask.name: mask}, volume.pk).status_code == 200
    run_jobs()
    upload = Upload.objects.get()
    part = upload.findings["masks"][0]["parts"][0]
    assert (part["kind"], part["organ"]) == ("tumor", "liver")
    client.post(f"/library/upload/{upload.pk}/import/", {"kind-0-1": "tumor", "organ-0-1": "liver"})
    run_jobs()
    stored = Mask.objects.get()
    assert (stored.volume, stored.kind, stored.label) == (volume, "tumor", "liver")
    assert np.array_equal(selectors.load_mask(stored), blob())


def test_a_structure_set_of_another_scan_is_not_added(client, tmp_path, run_jobs):
    import_now(client, run_jobs, folder_files_of_series(tmp_path / "ct"))
    Upload.objects.all().delete()
    rt = write_rtstruct(
        tmp_path / "rt.dcm", {"GTV": [square(7.5, 9.5, 5.5, 8.5, 3)]}, frame_uid="9.9.9"
    )
    send(client, {"rt.dcm": rt}, Volume.objects.get().pk)
    run_jobs()
    upload = Upload.objects.get()
    client.post(f"/library/upload/{upload.pk}/import/", {"kind-0-1": "tumor"})
    run_jobs()
    upload.refresh_from_db()
    assert "it was drawn on another scan" in upload.error
    assert not Mask.objects.exists()


def folder_files_of_series(folder):
    write_series(folder, phantom())
    return folder_files(folder)


def test_a_zip_in_the_page_is_unpacked_and_its_names_are_shown(client, tmp_path, run_jobs):
    paths = write_series(tmp_path / "ct", phantom())
    archive = zip_of(tmp_path / "study.zip", {f"S1/{path.name}": path for path in paths})
    send(client, {"study.zip": archive})
    run_jobs()
    found = Upload.objects.get().findings["volumes"][0]
    assert (found["name"], found["files"]) == ("S1/IM0.dcm", 6)


def test_uploads_left_for_a_day_are_swept_with_orphaned_folders(client, tmp_path, data_dir):
    import os
    import time

    path = write_nifti(tmp_path / "ct.nii", phantom())
    old = announce(client, {"ct.nii": path}).json()
    put(client, old["id"], old["files"][0]["id"], 0, path.read_bytes())
    Upload.objects.update(active_at=timezone.now() - timedelta(hours=25))
    half = data_dir / "volumes" / ".half.part"
    orphan = data_dir / "volumes" / str(uuid.uuid4())
    for folder in (half, orphan):
        folder.mkdir(parents=True)
        (folder / "ct.npy").write_bytes(b"x")
        os.utime(folder, (time.time() - 90_000,) * 2)
    young = data_dir / "volumes" / ".young.part"
    young.mkdir()
    assert uploads.sweep() == 3
    assert not Upload.objects.exists()
    assert not (data_dir / "uploads" / old["id"]).exists()
    assert not half.exists()
    assert not orphan.exists()
    assert young.exists()


def test_a_chunk_cut_off_by_the_network_counts_as_far_as_it_came(coordinator, tmp_path, db):
    upload = uploads.begin(coordinator, [("a.nii", 10)])
    file = upload.files.get()
    assert uploads.receive(file, 0, io.BytesIO(b"1234")) == 4
    file.refresh_from_db()
    assert file.received == 4
    assert uploads.receive(file, 4, io.BytesIO(b"567890")) == 10
