"""`import_synthetic`: another generator's volume as an arm, with what it changed elsewhere."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from hypothesis import given, settings
from hypothesis import strategies as st

from readerstudy.audit.models import AuditEvent
from readerstudy.cases import foreign
from readerstudy.cases.errors import CasesError
from readerstudy.cases.models import Candidate, SynthesisRun
from readerstudy.cases.selectors import native_volume
from readerstudy.cases.services import make_candidates
from readerstudy.library.imaging.geometry import Geometry
from readerstudy.library.models import Volume
from tests.library import makers
from tests.synthesis.hosts import ball_host

AFFINE = np.diag([-1.5, -1.5, 3.0, 1.0])


class Made:
    """A ball-shaped organ, and what a careless generator made of it."""

    def __init__(self, folder, noise=0):
        self.folder = folder
        scan = ball_host((1.5, 1.5, 3.0))
        self.original = scan.hu
        self.mask = np.zeros(scan.hu.shape, bool)
        self.mask[11:15, 20:28, 22:30] = True
        rng = np.random.default_rng(1)
        self.synthetic = scan.hu - 45 * self.mask.astype(np.int16)
        if noise:
            self.synthetic += rng.integers(-noise, noise + 1, scan.hu.shape).astype(np.int16)
        self.write("original", self.original)
        self.write("synthetic", self.synthetic)
        self.write("mask", self.mask.astype(np.uint8))
        self.write("organ", scan.organ_mask.astype(np.uint8))

    def path(self, name):
        return self.folder / f"{name}.nii.gz"

    def write(self, name, array, affine=AFFINE):
        return makers.write_nifti(self.path(name), array, affine=affine)


@pytest.fixture
def made(tmp_path):
    return Made(tmp_path / "made")


@pytest.fixture
def noisy(tmp_path):
    return Made(tmp_path / "noisy", noise=3)


def bring(made, *more, generator="Diffusion 2"):
    out = io.StringIO()
    call_command(
        "import_synthetic",
        *("--original", str(made.path("original")), "--synthetic", str(made.path("synthetic"))),
        *("--mask", str(made.path("mask")), "--generator", generator, *more),
        stdout=out,
    )
    return out.getvalue()


def refused(made, *more, **changes):
    with pytest.raises(CommandError) as caught:
        bring(made, *more, **changes)
    assert caught.value.returncode == 2
    assert "\n" not in str(caught.value)
    assert not Candidate.objects.exists()
    assert not SynthesisRun.objects.exists()
    assert not Volume.objects.exists()
    return str(caught.value)


def test_a_clean_volume_becomes_a_candidate_with_exactly_its_voxels(made, db):
    said = bring(made, "--organ", "liver")
    assert "256 of 256 voxels of the mask changed, none outside it." in said
    row = Candidate.objects.get()
    assert (row.kind, row.organ, row.state) == ("synthetic", "liver", "pending")
    assert row.run.generator == "Diffusion 2"
    assert row.contrast_hu == pytest.approx(-45, abs=5)
    assert np.array_equal(native_volume(row), made.synthetic)
    assert row.provenance["imported"]["outside_voxels"] == 0
    assert row.provenance["volume_sha256"] == Volume.objects.get().sha256
    event = AuditEvent.objects.get(action="cases.synthetic_imported")
    assert event.data["generator"] == "Diffusion 2"


def test_change_outside_the_mask_is_counted_and_kept_unless_asked(noisy, db):
    said = bring(noisy, "--organ", "liver")
    outside = (noisy.synthetic != noisy.original) & ~noisy.mask
    assert f"and {outside.sum():,} outside it by up to 3 HU" in said
    assert "was kept" in said
    assert np.array_equal(native_volume(Candidate.objects.get()), noisy.synthetic)


def test_an_original_that_is_no_scan_is_marked_and_so_is_what_was_made_of_it(made, db):
    bring(made, "--organ", "liver", "--original-synthetic")
    volume = Volume.objects.get()
    assert volume.synthetic == "a person said so"
    call_command("import_ct", str(made.path("synthetic")), stdout=io.StringIO())
    again = Volume.objects.exclude(pk=volume.pk).get()
    assert again.synthetic == ""  # nothing in the file says so, but its content is known
    with pytest.raises(CasesError, match="the work of another generator"):
        make_candidates(again)


def test_change_outside_the_mask_is_removed_when_asked(noisy, db):
    from scipy import ndimage

    said = bring(noisy, "--organ", "liver", "--clean-outside")
    assert "was removed" in said
    row = Candidate.objects.get()
    hu = native_volume(row)
    away = ndimage.distance_transform_edt(~noisy.mask, sampling=(3.0, 1.5, 1.5))
    assert np.array_equal(hu[noisy.mask], noisy.synthetic[noisy.mask])
    assert np.array_equal(hu[away >= foreign.FEATHER_MM], noisy.original[away >= 2.0])
    assert row.provenance["imported"]["clean_outside"] is True


def test_the_organ_is_found_from_the_masks_of_a_known_volume(made, db):
    call_command(
        "import_ct", str(made.path("original")), "--organ", "liver",
        "--organ-mask", str(made.path("organ")), stdout=io.StringIO(),
    )  # fmt: skip
    bring(made)
    assert Candidate.objects.get().organ == "liver"
    assert Volume.objects.count() == 1


def test_a_volume_held_in_another_axis_order_gets_the_same_change(made, db):
    """The library holds the DICOM of the same scan; the generator wrote a NIfTI turned around."""
    flip = AFFINE @ np.array([[-1, 0, 0, 49], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    flip[0, 3] = AFFINE[0, 0] * (made.original.shape[2] - 1)
    flip[0, 0] = -AFFINE[0, 0]
    call_command("import_ct", str(made.path("original")), stdout=io.StringIO())
    for name, array in (("original", made.original), ("synthetic", made.synthetic)):
        made.write(name, array[:, :, ::-1], affine=flip)
    bring(made, "--organ", "liver")
    assert Volume.objects.count() == 1
    assert np.array_equal(native_volume(Candidate.objects.get()), made.synthetic)


def test_the_same_twice_is_said_and_adds_nothing(made, db):
    bring(made, "--organ", "liver")
    with pytest.raises(CommandError, match="is here already"):
        bring(made, "--organ", "liver")
    bring(made, "--organ", "liver", generator="GAN 1")
    assert sorted(SynthesisRun.objects.values_list("generator", flat=True)) == [
        "Diffusion 2",
        "GAN 1",
    ]


def _wrong(made, what):
    hu = made.synthetic
    if what == "grid":
        moved = AFFINE.copy()
        moved[2, 3] = 3.0
        made.write("synthetic", hu, affine=moved)
    elif what == "cropped":
        made.write("synthetic", hu[:-1])
    elif what == "fractions":
        made.write("synthetic", hu + np.float32(0.4))
    elif what == "scaled":
        made.write("synthetic", ((hu + 160) / 400).clip(0, 1).astype(np.float32))
    elif what == "minus one to one":
        made.write("synthetic", (((hu + 160) / 200) - 1).clip(-1, 1).astype(np.float32))
    elif what == "bytes":
        made.write("synthetic", ((hu + 200) / 2).clip(0, 255).astype(np.uint8))
    elif what == "nan":
        bad = hu.astype(np.float32)
        bad[3, 4, 5] = np.nan
        made.write("synthetic", bad)
    elif what == "clipped":
        made.write("synthetic", hu.clip(-90, 120))
    elif what == "same":
        made.write("synthetic", made.original)
    elif what == "cut":
        made.path("synthetic").write_bytes(made.path("original").read_bytes()[:9000])
    elif what == "mask grid":
        made.write("mask", made.mask[1:].astype(np.uint8))
    elif what == "empty mask":
        made.write("mask", np.zeros(hu.shape, np.uint8))
    elif what == "gone":
        made.path("synthetic").unlink()


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("grid", "synthetic.nii.gz: its grid is"),
        ("cropped", "make it on the grid of the original"),
        ("fractions", "not whole HU; round them"),
        ("scaled", "they are scaled, not HU"),
        ("minus one to one", "they are scaled, not HU"),
        ("bytes", "CT in HU has air or fat below 0"),
        ("nan", "1 voxel is not a number"),
        ("clipped", "clipped below -90 and above 120"),
        ("same", "Nothing changed inside the mask"),
        ("cut", "cut off"),
        ("mask grid", "mask.nii.gz: its grid is"),
        ("empty mask", "marks nothing"),
        ("gone", "give a folder, a file or a zip"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence_and_stores_nothing(made, db, what, sentence):
    _wrong(made, what)
    assert sentence in refused(made, "--organ", "liver")


def test_a_clipped_volume_can_be_saved_by_cleaning(made, db):
    _wrong(made, "clipped")
    bring(made, "--organ", "liver", "--clean-outside")
    hu = native_volume(Candidate.objects.get())
    assert hu.min() == made.original.min()
    assert hu.max() == made.original.max()


@pytest.mark.parametrize("name", ["textural", "Textural", "a" * 41, "", "<b>"])
def test_a_name_that_would_confuse_is_refused(made, db, name):
    said = refused(made, "--organ", "liver", generator=name)
    assert "another name" in said or "may hold letters" in said


def test_without_an_organ_it_is_asked_for(made, db):
    assert "Name the organ" in refused(made)


def test_two_generators_render_by_one_rule_beside_a_real_lesion(made, db, sick):
    from readerstudy.cases.rendition import Rule, build_renditions, rule_document
    from readerstudy.cases.services import make_candidates

    bring(made, "--organ", "liver")
    bring(made, "--organ", "liver", generator="GAN 1")
    rows = [*Candidate.objects.filter(kind="synthetic"), *make_candidates(sick)]
    built = build_renditions(rows, rule_document(Rule()), 5)
    assert len({row.bucket_bytes for row in built.values()}) == 1
    told = json.dumps([[row.organ, row.rule] for row in built.values()])
    assert "GAN" not in told
    assert "Diffusion" not in told


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from([0.7, 1.5, 5.0]))
def test_a_patch_gives_back_the_synthetic_volume_or_only_its_inside(seed, clean, slice_mm):
    rng = np.random.default_rng(seed)
    shape = (7, 12, 11)
    original = rng.integers(-1024, 3072, shape).astype(np.int16)
    made = np.where(rng.random(shape) < 0.3, rng.integers(-1024, 3072, shape), original)
    made = made.astype(np.int16)
    mask = np.zeros(shape, bool)
    z, y, x = (int(rng.integers(0, n - 2)) for n in shape)
    mask[z : z + 2, y : y + 2, x : x + 2] = True
    made[z, y, x] = original[z, y, x] + (7 if original[z, y, x] < 3000 else -7)
    geometry = Geometry(shape, (0.8, 0.8, slice_mm), (0.0, 0.0, 0.0))
    after = foreign.as_patch(original, made, mask, geometry, clean_outside=clean).apply(original)
    assert np.array_equal(after[mask], made[mask])
    if not clean:
        assert np.array_equal(after, made)
        return
    reach = [int(np.ceil(foreign.FEATHER_MM / s)) for s in (slice_mm, 0.8, 0.8)]
    near = np.zeros(shape, bool)
    cut = tuple(
        slice(max(0, low - r), low + 2 + r) for low, r in zip((z, y, x), reach, strict=True)
    )
    near[cut] = True
    assert np.array_equal(after[~near], original[~near])
    assert (np.abs(after - original.astype(int)) <= np.abs(made - original.astype(int))).all()


def test_an_unclipped_volume_is_never_called_clipped():
    rng = np.random.default_rng(4)
    original = rng.integers(-1000, 1500, (20, 40, 40)).astype(np.int16)
    made = original.copy()
    made[5:9, 5:9, 5:9] -= 40
    assert foreign.clipped_to(original, made) == (None, None)
    with pytest.raises(CasesError, match="clipped below -175 and above 250"):
        foreign.refuse_clipped(original, made.clip(-175, 250), "a.nii.gz")


def test_the_names_of_our_own_generators_are_all_refused():
    from readerstudy.cases.services.foreign import generator_name
    from synthesis.engine.generators import generator_names

    for name in generator_names():
        with pytest.raises(CasesError, match="is a generator of this platform"):
            generator_name(name.upper())


PAGE = "/cases/import/"


def sent(made, *parts):
    return {
        part: SimpleUploadedFile(f"{part}.nii.gz", made.path(part).read_bytes()) for part in parts
    }


ALL = ("original", "synthetic", "mask")


def test_the_page_brings_a_volume_in(noisy, coordinator, client_for, run_jobs, data_dir):
    client = client_for(coordinator)
    fields = {"generator": "Diffusion 2", "organ": "Liver", "clean_outside": "on"}
    response = client.post(PAGE, fields | sent(noisy, *ALL), follow=True)
    assert response.redirect_chain == [(PAGE, 302)]
    (job,) = run_jobs()
    assert job.state == "done", job.error
    row = Candidate.objects.get()
    assert (row.organ, row.run.created_by) == ("liver", coordinator)
    page = client.get(PAGE).content.decode()
    assert f"/cases/candidates/{row.pk}/" in page
    assert "outside it by up to 3 HU" in page
    run = client.get(f"/cases/runs/{row.run_id}/").content.decode()
    assert "by up to 3 HU; removed" in run
    assert "Diffusion 2" in client.get("/cases/").content.decode()
    assert not list((data_dir / "foreign").iterdir())


def test_the_page_takes_the_original_from_the_library(made, coordinator, client_for, run_jobs):
    call_command(
        "import_ct", str(made.path("original")), "--organ", "liver",
        "--organ-mask", str(made.path("organ")), stdout=io.StringIO(),
    )  # fmt: skip
    fields = {"generator": "GAN 1", "volume": str(Volume.objects.get().pk)}
    client_for(coordinator).post(PAGE, fields | sent(made, "synthetic", "mask"))
    run_jobs()
    assert Candidate.objects.get().organ == "liver"


def test_a_job_that_was_killed_after_storing_ends_well(made, coordinator, client_for, run_jobs):
    fields = {"generator": "GAN 1", "organ": "liver"}
    for _ in range(2):
        client_for(coordinator).post(PAGE, fields | sent(made, *ALL))
        (job,) = run_jobs()
        assert job.state == "done", job.error
    assert Candidate.objects.count() == 1
    assert SynthesisRun.objects.count() == 1


def test_a_volume_that_cannot_be_used_fails_with_the_sentence(
    made, coordinator, client_for, run_jobs, data_dir
):
    _wrong(made, "clipped")
    fields = {"generator": "GAN 1", "organ": "liver"}
    client_for(coordinator).post(PAGE, fields | sent(made, *ALL))
    (job,) = run_jobs()
    assert job.state == "failed"
    assert "clipped below -90" in job.error
    assert not Volume.objects.exists()
    assert not list((data_dir / "foreign").iterdir())


@pytest.mark.parametrize(
    ("fields", "parts", "sentence"),
    [
        ({"generator": ""}, ALL, "Name the generator"),
        ({"generator": "textural"}, ALL, "give what was made elsewhere another name"),
        ({"generator": "a<b"}, ALL, "may hold letters"),
        ({"generator": "G", "organ": "9%"}, ALL, "cannot be the name of an organ"),
        ({"generator": "G"}, ("synthetic", "mask"), "Choose the original in the library"),
        ({"generator": "G"}, ("original", "mask"), "Choose the file of the synthetic volume"),
        ({"generator": "G"}, ("original", "synthetic"), "Choose the file of the mask"),
    ],
)
def test_a_form_that_misses_something_says_what(
    made, coordinator, client_for, data_dir, fields, parts, sentence
):
    response = client_for(coordinator).post(PAGE, fields | sent(made, *parts))
    assert response.status_code == 400
    assert sentence in response.content.decode()
    assert not (data_dir / "foreign").exists() or not list((data_dir / "foreign").iterdir())


def test_file_names_from_a_browser_cannot_leave_their_folder(made, coordinator, data_dir, db):
    from readerstudy.cases.services import request_import

    files = sent(made, *ALL)
    files["mask"].name = "..\\..//\x00e&vil.nii.gz"
    request_import(
        files=files, volume=None, generator="G", organ="", clean_outside=False, actor=coordinator
    )
    kept = {path.name for path in (data_dir / "foreign").rglob("*") if path.is_file()}
    assert len(kept) == 3
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz._") for name in kept)
