"""Looking for tumors in the library: the run, its results and files, who may see them."""

from __future__ import annotations

import base64
import csv
import io
import json

import nibabel as nib
import numpy as np
import pytest
from django.urls import reverse

from readerstudy.audit.models import AuditEvent
from readerstudy.cases import codec
from readerstudy.cases.errors import CasesError
from readerstudy.cases.models import Recognition, RecognitionRun
from readerstudy.cases.paths import recognition_folder
from readerstudy.cases.recognition.pages import file_of, viewer_config
from readerstudy.cases.services import delete_recognition, start_recognition
from readerstudy.errors import Conflict
from readerstudy.jobs.models import Job
from readerstudy.jobs.registry import JobCancelled
from readerstudy.jobs.services import Context, cancel, execute, retry
from readerstudy.library import selectors as library
from readerstudy.library.imaging.geometry import to_lps_axes
from readerstudy.library.imaging.masks import open_mask
from readerstudy.library.models import Volume
from synthesis.engine.shipped import shipped_network
from tests.synthesis.hosts import ball_host

from .conftest import FLIPPED, keep

NETWORK = "freetumor-small-segmentor"


@pytest.fixture
def turned(db):
    """A liver with a tumor of 20 mm, stored with axes that no viewer wants."""
    scan = ball_host((2.0, 2.0, 3.0), tumor_radius_mm=10.0, seed=3)
    return keep(scan, name="Turned", patient="P3", direction=FLIPPED)


@pytest.fixture
def finished(turned, coordinator, run_jobs):
    run = start_recognition(volumes=[turned], checkpoint=NETWORK, organ="liver", actor=coordinator)
    run_jobs()
    run.refresh_from_db()
    return run


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"volumes": []}, "No volume is chosen; tick at least one."),
        ({"organ": "kidney"}, "knows no tumor of the kidney, only of liver, lung"),
        ({"checkpoint": "nobody"}, "There is no checkpoint 'nobody'"),
        ({"threshold": 1.0}, "The probability lies between 0 and 1."),
        ({"smallest_mm": -1.0}, "The smallest diameter lies between"),
    ],
)
def test_a_bad_wish_is_one_sentence_and_stores_nothing(turned, change, sentence):
    with pytest.raises(CasesError, match=sentence):
        start_recognition(**{"volumes": [turned], "checkpoint": NETWORK, **change})
    assert not RecognitionRun.objects.exists()
    assert not Job.objects.exists()


def test_a_run_stores_findings_and_every_file_of_them_agrees(finished, turned):
    result = finished.results.get()
    assert (finished.job.state, result.state) == ("done", "done")
    assert finished.sha256 == shipped_network(NETWORK).sha256
    assert result.lesions
    image = nib.Nifti1Image.from_bytes(_gunzip(file_of(result, "mask.nii.gz")[0]))
    mask = np.asarray(image.dataobj).T > 0
    voxel_ml = turned.spacing_x * turned.spacing_y * turned.spacing_z / 1000
    assert sum(row["volume_ml"] for row in result.lesions) == pytest.approx(
        mask.sum() * voxel_ml, rel=1e-3
    )
    assert {row["organ"] for row in result.lesions} == {"liver"}
    rows = list(csv.DictReader(io.StringIO(file_of(result, "lesions.csv")[0].decode())))
    assert len(rows) == len(result.lesions)
    reader = open_mask(recognition_folder(result.pk) / "found_seg.dcm")
    assert np.array_equal(reader.read([1, 2], library.geometry(turned)), mask)
    assert file_of(result, "mask.nii.gz")[2] == "turned_mask.nii.gz"
    assert file_of(result, "../record.json") is None
    actions = AuditEvent.objects.filter(action__startswith="cases.recognition").order_by("seq")
    assert [event.action.rpartition("_")[2] for event in actions] == ["started", "finished"]


def test_what_lies_outside_the_organ_is_no_finding(turned, coordinator, run_jobs):
    runs = [
        start_recognition(
            volumes=[turned], checkpoint=NETWORK, organ="liver", threshold=0.01, inside=inside
        )
        for inside in (True, False)
    ]
    run_jobs()
    within, everywhere = (_mask(run.results.get()) for run in runs)
    liver = library.load_mask(turned.masks.get(kind="organ"))
    outside = np.argwhere(within & ~liver)
    assert within.sum() < everywhere.sum()
    assert not (within & ~everywhere).any()
    if len(outside):
        from scipy import ndimage

        away = ndimage.distance_transform_edt(~liver, sampling=(3.0, 2.0, 2.0))
        assert away[within].max() <= 5.0


def test_outlines_and_frames_are_those_of_the_voxels_on_patient_axes(
    finished, turned, coordinator, client_for
):
    result = finished.results.get()
    config = viewer_config(result, 1)
    hu, _ = to_lps_axes(library.load_ct(turned), library.geometry(turned))
    mask, _ = to_lps_axes(_mask(result), library.geometry(turned))
    drawn = np.zeros(hu.shape, bool)
    for finding in config["findings"]:
        (x0, x1), (y0, y1), (z0, z1) = finding["outline"]["box"]
        shape = (z1 - z0, y1 - y0, x1 - x0)
        bits = np.frombuffer(base64.b64decode(finding["outline"]["bits"]), np.uint8)
        voxels = np.unpackbits(bits, count=int(np.prod(shape))).reshape(shape).astype(bool)
        drawn[z0:z1, y0:y1, x0:x1] |= voxels
    assert np.array_equal(drawn, mask)
    client = client_for(coordinator)
    url = config["case"]["frames"]["url"]
    for index in (0, config["case"]["startSlice"], len(hu) - 1):
        answer = client.get(f"{url}{index}")
        assert np.array_equal(codec.decode_frame(answer.content), hu[index])
    assert client.get(f"{url}{len(hu)}").status_code == 404


def test_a_volume_that_fails_is_named_and_stops_nothing(turned, host, coordinator, run_jobs):
    from readerstudy.library.paths import ct_file

    run = start_recognition(volumes=[turned, host], checkpoint=NETWORK, actor=coordinator)
    ct_file(host.pk).unlink()
    run_jobs()
    run.refresh_from_db()
    states = {result.volume.name: result for result in run.results.all()}
    assert run.job.state == "done"
    assert run.job.result["failed"] == 1
    assert states["Turned"].state == "done"
    assert states["Ball"].state == "failed"
    assert "missing in the data directory" in states["Ball"].reason


def test_a_run_that_was_cancelled_goes_on_where_it_was(
    turned, host, coordinator, run_jobs, monkeypatch
):
    run = start_recognition(volumes=[turned, host], checkpoint=NETWORK, actor=coordinator)
    saved = Context.save_checkpoint

    def then_cancel(self, data):
        saved(self, data)
        cancel(Job.objects.get(pk=run.job_id), coordinator)

    with monkeypatch.context() as patch:
        patch.setattr(Context, "save_checkpoint", then_cancel)
        execute(str(run.job_id))
    job = Job.objects.get(pk=run.job_id)
    assert job.state == "cancelled"
    assert sorted(run.results.values_list("state", flat=True)) == ["done", "waiting"]
    done = run.results.get(state="done")
    before = (recognition_folder(done.pk) / "found.json").stat().st_mtime_ns
    retry(job, coordinator)
    run_jobs()
    assert set(run.results.values_list("state", flat=True)) == {"done"}
    assert (recognition_folder(done.pk) / "found.json").stat().st_mtime_ns == before


def test_cancelling_stops_between_two_windows(turned, coordinator):
    run = start_recognition(volumes=[turned], checkpoint=NETWORK, actor=coordinator)
    Job.objects.filter(pk=run.job_id).update(state="running", cancel_requested=True)
    from readerstudy.cases.services import run_recognition

    with pytest.raises(JobCancelled):
        run_recognition(Context(Job.objects.get(pk=run.job_id)), run)
    assert run.results.get().state == "waiting"


def test_other_weights_of_the_same_name_are_refused(turned, coordinator, run_jobs):
    run = start_recognition(volumes=[turned], checkpoint=NETWORK, actor=coordinator)
    RecognitionRun.objects.filter(pk=run.pk).update(sha256="0" * 64)
    (job,) = run_jobs()
    assert job.state == "failed"
    assert "is not the one this run was started with" in job.error


def test_deleting_takes_the_files_and_frees_the_volume(
    finished, turned, coordinator, django_capture_on_commit_callbacks
):
    folder = recognition_folder(finished.results.get().pk)
    assert folder.is_dir()
    assert library.uses(turned) == ["1 recognition"]
    Job.objects.filter(pk=finished.job_id).update(state="running")
    finished.refresh_from_db()
    with pytest.raises(Conflict, match="cancel it first"):
        delete_recognition(finished, actor=coordinator)
    Job.objects.filter(pk=finished.job_id).update(state="done")
    finished.refresh_from_db()
    with django_capture_on_commit_callbacks(execute=True):
        delete_recognition(finished, actor=coordinator)
    assert not folder.exists()
    assert not Recognition.objects.exists()
    assert library.uses(turned) == []


def test_the_pages_show_the_findings_and_say_what_they_are(
    finished, turned, coordinator, client_for
):
    client = client_for(coordinator)
    result = finished.results.get()
    page = client.get(reverse("cases:recognition_run", args=[finished.pk])).content.decode()
    assert f"{result.lesions[0]['diameter_mm']:.1f} mm" in page
    assert "not checked by a radiologist" in page
    listed = client.get(reverse("cases:recognition")).content.decode()
    assert NETWORK in listed
    seg = client.get(reverse("cases:recognition_file", args=[result.pk, "seg.dcm"]))
    assert seg["Content-Type"] == "application/dicom"
    assert 'filename="turned_seg.dcm"' in seg["Content-Disposition"]
    shown = client.get(reverse("cases:recognition_result", args=[result.pk])).content.decode()
    assert "findings-" in shown


def test_an_empty_library_and_an_empty_result_say_so(coordinator, client_for, db, run_jobs):
    client = client_for(coordinator)
    assert "The library is empty" in client.get(reverse("cases:recognition")).content.decode()
    new = client.get(reverse("cases:new_recognition")).content.decode()
    assert "The library is empty" in new
    plain = keep(ball_host((4.0, 4.0, 4.0)), name="Plain")
    answer = client.post(
        reverse("cases:new_recognition"),
        {"volumes": [plain.pk], "checkpoint": NETWORK, "organ": "lung", "threshold": 0.99,
         "smallest_mm": 90},
    )  # fmt: skip
    run_jobs()
    page = client.get(answer["Location"]).content.decode()
    assert "Nothing was found" in page
    result = Recognition.objects.get()
    assert json.loads(file_of(result, "record.json")[0])["lesions"] == []
    assert viewer_config(result, 7)["findings"] == []


def test_a_form_without_volumes_says_what_to_do(turned, coordinator, client_for):
    answer = client_for(coordinator).post(
        reverse("cases:new_recognition"),
        {"checkpoint": NETWORK, "threshold": "2", "smallest_mm": "3"},
    )
    assert answer.status_code == 400
    page = answer.content.decode()
    assert "No volume is chosen; tick at least one." in page
    assert "The probability lies between 0.01 and 0.99." in page


def test_readers_fetch_nothing_of_the_page_of_findings():
    import re

    from readerstudy.templatetags.viewer import viewer_assets, viewer_preload

    own = set(re.findall(r"assets/(findings[\w-]+\.(?:js|css))", viewer_assets("findings")))
    assert len(own) == 2
    for links in (viewer_assets(), viewer_preload(), viewer_assets("review")):
        assert not [name for name in own if name in links]


def _gunzip(data: bytes) -> bytes:
    import gzip

    return gzip.decompress(data)


def _mask(result: Recognition) -> np.ndarray:
    image = nib.Nifti1Image.from_bytes(_gunzip(file_of(result, "mask.nii.gz")[0]))
    volume = Volume.objects.get(pk=result.volume_id)
    mask = np.asarray(image.dataobj).T > 0
    assert mask.shape == (volume.slices, volume.rows, volume.columns)
    return mask
