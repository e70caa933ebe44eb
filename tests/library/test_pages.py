"""List, volume page, pictures, deletion: for coordinators only."""

from __future__ import annotations

import io

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from PIL import Image

from readerstudy.audit.models import AuditEvent
from readerstudy.cases.models import Candidate, SynthesisRun
from readerstudy.library import paths, rendering, selectors, services
from readerstudy.library.imaging.geometry import Geometry, VolumeData
from readerstudy.library.models import Mask, Volume
from readerstudy.library.services import MaskData

from .makers import phantom

GRID = Geometry((6, 20, 24), (0.7, 0.8, 2.5), (-100.0, -90.5, 30.25))


def store(seed=0, *, organ="liver", source="", tumor=True, actor=None) -> Volume:
    hu = phantom(seed=seed)
    organ_mask = hu > 0
    tumor_mask = np.zeros(GRID.shape, bool)
    tumor_mask[4, 9:12, 11:15] = True
    masks = [MaskData("organ", organ, organ_mask, "nifti")]
    if tumor:
        masks.append(MaskData("tumor", organ, tumor_mask, "nifti"))
    return services.store_volume(
        VolumeData(hu, GRID),
        masks,
        patient=f"N-{seed}",
        origin_format="nifti",
        source=source,
        warnings=["Letters <b>seem</b> to be drawn"],
        actor=actor,
    ).volume


@pytest.fixture
def client(coordinator, client_for):
    return client_for(coordinator)


@pytest.fixture
def volume(coordinator):
    return store(actor=coordinator)


ROUTES = ["", "upload/", "{id}/", "{id}/preview.png", "{id}/slice/axial/3.png"]


@pytest.mark.parametrize("route", ROUTES)
def test_only_coordinators_see_the_library(
    route, volume, client, reader, researcher, nobody, client_for
):
    url = f"/library/{route.format(id=volume.pk)}"
    assert client.get(url).status_code == 200
    for user in (reader, researcher, nobody):
        assert client_for(user).get(url).status_code == 403
    assert client_for().get(url).status_code == 302


def test_an_empty_library_says_how_to_begin(client):
    page = client.get("/library/").content.decode()
    assert "The library is empty" in page
    assert "import_ct" in page


def test_the_list_is_searched_and_filtered(client, coordinator):
    first = store(1, organ="liver", source="Set A")
    second = store(2, organ="lung", source="Set B", tumor=False)

    def shown(query):
        page = client.get(f"/library/?{query}").content.decode()
        return {volume.name for volume in (first, second) if volume.name in page}

    assert shown("") == {first.name, second.name}
    assert shown("organ=lung") == {second.name}
    assert shown("source=Set+A") == {first.name}
    assert shown("q=N-2") == {second.name}
    assert shown("q=set") == {first.name, second.name}
    assert "No volume fits" in client.get("/library/?q=nothing").content.decode()


def test_O7_the_list_asks_as_often_for_ten_volumes_as_for_two(client, coordinator):
    store(1), store(2)
    client.get("/library/")

    def queries():
        with CaptureQueriesContext(
            connection,
        ) as caught:
            assert client.get("/library/").status_code == 200
        return len(caught)

    few = queries()
    for seed in range(3, 11):
        store(seed)
    assert queries() == few


def test_the_page_of_a_volume_says_what_is_known(client, volume):
    page = client.get(f"/library/{volume.pk}/").content.decode()
    for words in ("24 × 20 × 6", "0.70 × 0.80 × 2.50 mm", "(-100.0, -90.5, 30.2) mm", "liver"):
        assert words in page
    assert "Letters &lt;b&gt;seem" in page


def picture(response) -> np.ndarray:
    assert response["Content-Type"] == "image/png"
    return np.array(Image.open(io.BytesIO(response.content)))


def test_a_slice_shows_the_window_on_the_right_voxels(client, volume):
    image = picture(client.get(f"/library/{volume.pk}/slice/axial/2.png?window=bone"))
    center, width = rendering.WINDOWS["bone"]
    hu = phantom()[2].astype(float)
    expected = np.clip((hu - center + width / 2) * 255 / width, 0, 255)
    wide = np.array(
        Image.fromarray(expected.astype(np.uint8)).resize(
            image.shape[::-1], Image.Resampling.BILINEAR
        )
    )
    assert image.shape == (23, 24)  # 20 rows of 0.8 mm in pixels of 0.7 mm
    assert np.array_equal(image, wide)


def test_outlines_are_drawn_only_when_asked_for(client, volume):
    tumor = volume.masks.get(kind="tumor")
    url = f"/library/{volume.pk}/slice/axial/4.png"
    assert picture(client.get(url)).ndim == 2
    drawn = picture(client.get(f"{url}?masks={tumor.pk}"))
    colored = (drawn == rendering.COLORS[0]).all(axis=2)
    assert colored.any()
    rows, columns = np.nonzero(colored)
    assert (rows * 0.7 / 0.8 + 0.5 >= 9).all()
    assert columns.min() == 11
    assert columns.max() == 14


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_any_storage_order_gives_the_same_pictures(plane, db):
    """A volume stored with other axes is shown in the same view."""
    hu = phantom(seed=3)
    turned = np.ascontiguousarray(hu.transpose(2, 0, 1)[::-1])
    direction = ((0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0))
    matrix = np.array([[0, 0, -1], [1, 0, 0], [0, 1, 0]], float)
    origin = GRID.index_to_world((23, 0, 0))
    other = Geometry(turned.shape, (0.8, 2.5, 0.7), tuple(origin), tuple(map(tuple, matrix)))
    assert direction
    plain = Volume(id="00000000-0000-0000-0000-000000000001")
    pictures = []
    for data in (VolumeData(hu, GRID), VolumeData(turned, other)):
        Volume.objects.all().delete()
        plain = services.store_volume(data, patient="x", origin_format="nifti").volume
        pictures.append(rendering.slice_png(plain, plane, 2, (50, 400), []))
    assert pictures[0] == pictures[1]


@pytest.mark.parametrize("bad", ["axial/6.png", "axial/99999.png", "diagonal/1.png"])
def test_slices_that_are_not_there(client, volume, bad):
    assert client.get(f"/library/{volume.pk}/slice/{bad}").status_code == 404


def test_the_preview_is_made_once_and_anew_after_a_mask_is_added(client, volume, coordinator):
    first = client.get(f"/library/{volume.pk}/preview.png").content
    kept = paths.preview_file(volume.pk)
    assert kept.read_bytes() == first
    mask = np.zeros(GRID.shape, bool)
    mask[3, 2:16, 2:18] = True
    services.add_masks(volume, [MaskData("organ", "lung", mask, "nifti")], actor=coordinator)
    assert not kept.exists()
    volume = Volume.objects.get()
    assert client.get(f"/library/{volume.pk}/preview.png").content != first


def test_what_is_said_about_a_volume_can_be_corrected(client, volume):
    values = {"name": "Case A", "patient": "P-77", "source": "Set"}
    assert client.post(f"/library/{volume.pk}/edit/", values).status_code == 302
    volume.refresh_from_db()
    assert (volume.name, volume.patient, volume.source) == ("Case A", "P-77", "Set")
    assert AuditEvent.objects.filter(action="library.volume_changed").count() == 1
    refused = client.post(f"/library/{volume.pk}/edit/", {**values, "patient": "Jane Doe"})
    assert refused.status_code == 400
    assert "never a name" in refused.content.decode()


def test_an_unused_volume_is_deleted_with_its_files(
    client, volume, django_capture_on_commit_callbacks
):
    client.get(f"/library/{volume.pk}/preview.png")
    folder = paths.volume_folder(volume.pk)
    assert folder.exists()
    with django_capture_on_commit_callbacks(execute=True):
        assert client.post(f"/library/{volume.pk}/delete/").status_code == 302
    assert not Volume.objects.exists()
    assert not Mask.objects.exists()
    assert list(folder.parent.iterdir()) == []
    event = AuditEvent.objects.get(action="library.volume_deleted")
    assert event.data["sha256"] == volume.sha256


def candidate_of(volume):
    Candidate.objects.create(
        volume=volume, kind="real", organ="liver", center=[1, 1, 1], bbox=[[0, 1]] * 3,
        diameter_mm=9, volume_ml=1, contrast_hu=-20,
    )  # fmt: skip


def run_of(volume):
    SynthesisRun.objects.create(seed=1, requested=1).volumes.add(volume)


@pytest.mark.parametrize("use", [candidate_of, run_of])
def test_a_volume_in_use_stays(client, volume, use):
    use(volume)
    response = client.post(f"/library/{volume.pk}/delete/")
    assert response.status_code == 409
    assert "came from it" in response.content.decode()
    mask = volume.masks.first()
    assert client.post(f"/library/masks/{mask.pk}/delete/").status_code == 409
    assert Volume.objects.exists()
    assert paths.ct_file(volume.pk).exists()
    assert "It stays: 1" in client.get(f"/library/{volume.pk}/").content.decode()


def test_a_mask_is_deleted(client, volume, django_capture_on_commit_callbacks):
    mask = volume.masks.get(kind="tumor")
    file = paths.mask_file(volume.pk, mask.pk)
    with django_capture_on_commit_callbacks(execute=True):
        client.post(f"/library/masks/{mask.pk}/delete/")
    assert not file.exists()
    assert volume.masks.count() == 1
    assert AuditEvent.objects.filter(action="library.mask_deleted").count() == 1


def test_a_missing_file_is_said_not_crashed(client, volume):
    paths.ct_file(volume.pk).unlink()
    response = client.get(f"/library/{volume.pk}/slice/axial/2.png")
    assert response.status_code == 400
    assert "restore a backup" in response.content.decode()


def test_ct_is_read_only_and_memory_mapped(volume):
    hu = selectors.load_ct(volume)
    assert isinstance(hu, np.memmap)
    assert not hu.flags.writeable
    assert np.array_equal(hu, phantom())


def test_a_mask_of_another_shape_or_without_voxels_is_refused(volume):
    for array in (np.ones((2, 2, 2), bool), np.zeros(GRID.shape, bool)):
        with pytest.raises(services.LibraryError):
            services.add_masks(volume, [MaskData("organ", "lung", array, "nifti")])
    assert volume.masks.count() == 2
