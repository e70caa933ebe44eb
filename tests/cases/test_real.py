"""Real candidates: one per connected lesion of a tumor mask."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from readerstudy.audit.models import AuditEvent
from readerstudy.cases.errors import CasesError
from readerstudy.cases.models import Candidate, SynthesisRun
from readerstudy.cases.patches import load_patch
from readerstudy.cases.rendition import native_volume
from readerstudy.cases.services import (
    decide,
    decide_many,
    make_candidates,
    request_candidates,
)
from readerstudy.library import selectors as library
from readerstudy.library.services import MaskData, add_masks
from tests.synthesis.hosts import ball_host

from .conftest import ellipsoid, keep


@pytest.fixture
def several(db):
    """Three lesions in a mask: 12 mm, 8 mm and a stray voxel, and an organ mask that skips them."""
    scan = ball_host((1.0, 1.0, 2.0), radius_mm=28.0)
    z, y, x = (n // 2 for n in scan.hu.shape)
    tumor = ellipsoid(scan.hu.shape, (z, y, x - 12), (3, 6, 6))
    tumor |= ellipsoid(scan.hu.shape, (z, y, x + 12), (2, 4, 4))
    tumor[z, y + 15, x] = True
    hu = np.where(tumor, scan.hu - 40, scan.hu).astype(np.int16)
    scan = dataclasses.replace(scan, hu=hu, tumor_mask=tumor, organ_mask=scan.organ_mask & ~tumor)
    return keep(scan)


def test_each_connected_lesion_is_a_candidate_with_its_organ_and_measurements(several):
    made = sorted(make_candidates(several), key=lambda row: -row.diameter_mm)
    assert [row.organ for row in made] == ["liver", "liver"]
    assert [row.state for row in made] == ["pending", "pending"]
    assert made[0].diameter_mm == pytest.approx(12.0, rel=0.08)
    assert made[1].diameter_mm == pytest.approx(8.0, rel=0.12)
    assert made[0].contrast_hu == pytest.approx(-40.0, abs=4.0)
    assert made[0].volume_ml == pytest.approx(np.pi * 12**3 / 6000, rel=0.15)
    (x0, x1), (y0, y1), (z0, z1) = made[0].bbox
    assert (x1 - x0, y1 - y0, z1 - z0) == (11, 11, 5)
    patch = load_patch(made[0])
    tumor = library.load_mask(several.masks.get(kind="tumor"))
    assert np.array_equal(patch.mask, tumor[patch.slices] & patch.mask)
    assert patch.mask.sum() == np.count_nonzero(tumor[z0:z1, y0:y1, x0:x1])


def test_looking_twice_makes_no_doubles(several):
    first = make_candidates(several)
    assert make_candidates(several) == []
    assert Candidate.objects.count() == len(first) == 2
    assert AuditEvent.objects.filter(action="cases.real_found").count() == 1


def test_the_same_lesion_in_a_second_mask_is_one_candidate(several):
    make_candidates(several)
    tumor = library.load_mask(several.masks.get(kind="tumor"))
    bigger = tumor.copy()
    bigger[:, 1:] |= tumor[:, :-1]
    add_masks(several, [MaskData("tumor", "second reader", bigger, "nifti")])
    several.refresh_from_db()
    assert make_candidates(several.__class__.objects.get(pk=several.pk)) == []


def test_D12_a_real_candidate_changes_no_voxel(several):
    for row in make_candidates(several):
        assert np.array_equal(native_volume(row), library.load_ct(several))
        patch = load_patch(row)
        assert not patch.residual.any()
        assert not patch.feather.any()


def test_without_an_organ_mask_the_tumors_label_says_where_it_is(db):
    scan = ball_host((1.0, 1.0, 2.0), radius_mm=20.0, tumor_radius_mm=6.0)
    volume = keep(dataclasses.replace(scan, organ_mask=None))
    assert [row.organ for row in make_candidates(volume)] == ["tumor"]


def test_a_library_without_tumor_masks_is_told_in_a_sentence(host, coordinator):
    with pytest.raises(CasesError, match="has a tumor mask; import one"):
        request_candidates(actor=coordinator)
    assert make_candidates(host) == []


def test_the_search_runs_as_a_job_over_all_volumes(several, sick, coordinator, run_jobs):
    request_candidates(actor=coordinator)
    (job,) = run_jobs()
    assert job.state == "done"
    assert job.result == {"volumes": 2, "candidates": 3}


# -- what a generator made is never real -----------------------------------------------------------


def test_lesions_of_a_synthetic_volume_are_never_called_real(sick, coordinator):
    update = type(sick).objects.filter(pk=sick.pk).update
    update(synthetic="its manifest says so")
    marked = type(sick).objects.get(pk=sick.pk)
    with pytest.raises(CasesError) as caught:
        make_candidates(marked)
    assert str(caught.value) == (
        "Sick is synthetic (its manifest says so), so no lesion in it counts as real; import the "
        "patient's own scan, or correct its page in the library if this is wrong."
    )
    with pytest.raises(CasesError, match="Every tumor mask in the library belongs to a synthetic"):
        request_candidates(actor=coordinator)
    assert not Candidate.objects.exists()


def test_the_search_leaves_synthetic_volumes_out(several, sick, coordinator, run_jobs):
    type(sick).objects.filter(pk=sick.pk).update(synthetic="a person said so")
    request_candidates(actor=coordinator)
    (job,) = run_jobs()
    assert job.result == {"volumes": 1, "candidates": 2}


def test_a_mask_of_what_was_inserted_makes_no_candidate(sick):
    sick.masks.filter(kind="tumor").update(synthetic=True)
    assert make_candidates(type(sick).objects.get(pk=sick.pk)) == []


def test_a_volume_known_from_import_synthetic_is_refused_even_without_a_mark(sick):
    SynthesisRun.objects.create(
        generator="Diffusion 2",
        parameters={"imported": {"synthetic_sha256": sick.sha256}},
        seed=0,
        requested=1,
    )
    with pytest.raises(CasesError, match="imported as the work of another generator"):
        make_candidates(sick)


def test_a_lesion_found_before_its_volume_was_marked_cannot_be_accepted(sick, coordinator):
    (row,) = make_candidates(sick)
    type(sick).objects.filter(pk=sick.pk).update(synthetic="a person said so")
    with pytest.raises(CasesError, match="so no lesion in it counts as real"):
        decide(row, "accepted", actor=coordinator)
    with pytest.raises(CasesError, match="so no lesion in it counts as real"):
        decide_many([row.pk], "accepted", actor=coordinator)
    assert Candidate.objects.get().state == "pending"
    decide(row, "rejected", reason="Not a scan", actor=coordinator)


@pytest.mark.shared
def test_real_liver_lesions_of_the_shared_ct(db, shared_ct):
    import nibabel as nib

    folder = shared_ct / "liver_crlm-ct-1006"

    def read(name):
        return np.ascontiguousarray(np.asarray(nib.load(folder / name).dataobj).transpose(2, 1, 0))

    scan = ball_host()
    spacing = tuple(float(s) for s in nib.load(folder / "ct.nii.gz").header.get_zooms()[:3])
    volume = keep(
        dataclasses.replace(
            scan,
            hu=read("ct.nii.gz").astype(np.int16),
            spacing=spacing,
            organ_mask=read("liver.nii.gz") > 0,
            tumor_mask=read("tumour_draft.nii.gz") > 0,
        )
    )
    made = make_candidates(volume)
    assert len(made) == 4
    assert sorted(round(row.volume_ml, 1) for row in made) == [0.6, 1.3, 1.4, 5.7]
    assert all(row.organ == "liver" and row.contrast_hu < -25 for row in made)
