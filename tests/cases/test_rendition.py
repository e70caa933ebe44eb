"""Renditions: one writer, one rule, one size; decoded frames are the source HU."""

from __future__ import annotations

import dataclasses
import json
import uuid

import numpy as np
import pytest

from readerstudy.cases import codec, rendition
from readerstudy.cases.errors import CasesError
from readerstudy.cases.frames import read_frame
from readerstudy.cases.models import Candidate, Rendition
from readerstudy.cases.patches import load_patch, real_patch, save_patch
from readerstudy.cases.paths import rendition_folder
from readerstudy.cases.rendition import Rule, build_renditions, native_volume, render, sweep
from readerstudy.jobs.services import execute
from readerstudy.library import selectors as library
from readerstudy.library.imaging.geometry import to_lps_axes
from tests.synthesis.hosts import ball_host

from .conftest import FLIPPED, keep

RULE = {
    "matrix": 128,
    "max_slices": 24,
    "marker": {"kind": "box", "margin_mm": 6.0, "jitter_mm": 3.0},
    "start_slice": {"rule": "lesion", "jitter_slices": 3},
}


def decoded(row):
    return np.stack([codec.decode_frame(read_frame(row.pk, k)) for k in range(row.frames)])


def expected_frames(candidate, row):
    """What the frames must hold, worked out without the code under test."""
    hu, _ = to_lps_axes(native_volume(candidate), library.geometry(candidate.volume))
    clipped = np.clip(hu, -1024, 3071)
    top, left = (row.rows - hu.shape[1]) // 2, (row.columns - hu.shape[2]) // 2
    padded = np.full((hu.shape[0], row.rows, row.columns), -1024, np.int16)
    padded[:, top : top + hu.shape[1], left : left + hu.shape[2]] = clipped
    return padded


def test_decoded_frames_equal_the_clipped_source_hu_of_both_arms(both):
    rows = build_renditions(both, RULE, seed=1)
    for candidate in both:
        row = rows[candidate.pk]
        frames, source = decoded(row), expected_frames(candidate, row)
        starts = [
            k
            for k in range(source.shape[0] - row.frames + 1)
            if np.array_equal(source[k : k + row.frames], frames)
        ]
        assert len(starts) == 1


def test_D9_every_frame_of_the_build_has_one_size_on_disk_and_in_the_row(both):
    rows = build_renditions(both, RULE, seed=1)
    sizes = {len(read_frame(row.pk, k)) for row in rows.values() for k in range(row.frames)}
    assert sizes == {row.bucket_bytes for row in rows.values()}
    assert len(sizes) == 1
    for row in rows.values():
        folder = rendition_folder(row.pk)
        assert {path.name for path in folder.iterdir()} == {"frames.bin", "index.json"}
        assert set(json.loads((folder / "index.json").read_text())) == {"bucket_bytes", "frames"}
        with pytest.raises(IndexError):
            read_frame(row.pk, row.frames)


def test_D3_rows_of_both_arms_differ_in_nothing_that_says_an_arm(both):
    rows = list(build_renditions(both, RULE, seed=1).values())
    for name in ("rows", "columns", "bucket_bytes", "rule", "built_at", "organ", "spacing"):
        first, second = (getattr(Rendition.objects.get(pk=row.pk), name) for row in rows)
        assert first == second, name
    assert all(row.pk.version == 4 for row in rows)
    fields = {field.name for field in Rendition._meta.get_fields() if not field.auto_created}
    assert fields == {
        "id",
        "organ",
        "frames",
        "rows",
        "columns",
        "spacing",
        "slice_spacing",
        "marker",
        "start_slice",
        "bucket_bytes",
        "rule",
        "sha256",
        "built_at",
    }
    assert not any(field.is_relation for field in Rendition._meta.get_fields())


def test_T1_twins_with_equal_pixels_and_opposite_truth_render_equally(made_run, host):
    """A real lesion that has the very voxels of a synthetic one."""
    synthetic = made_run.candidates.filter(by_gate=False).first()
    patch = load_patch(synthetic)
    scan = ball_host((1.5, 1.5, 3.0))
    twin_volume = keep(
        dataclasses.replace(scan, hu=native_volume(synthetic)), name="Twin", patient="P7"
    )
    twin = Candidate(
        **{
            field.attname: getattr(synthetic, field.attname)
            for field in Candidate._meta.concrete_fields
            if field.name not in {"id", "volume", "kind", "run"}
        },
        volume=twin_volume,
        kind="real",
    )
    twin.save()
    save_patch(twin.pk, real_patch(patch.offset, patch.mask))
    rule = Rule.from_document(RULE)
    one, other = (
        render(candidate, rule, np.random.default_rng(4)) for candidate in (synthetic, twin)
    )
    assert np.array_equal(one.frames, other.frames)
    for name in ("spacing", "slice_spacing", "marker", "start_slice"):
        assert getattr(one, name) == getattr(other, name)


def test_orientation_is_lps_whatever_the_native_axes(db):
    from readerstudy.cases.services import make_candidates

    scan = ball_host((1.5, 1.5, 3.0), tumor_radius_mm=9.0)
    # Off the middle in all three axes, so that a forgotten flip shows.
    tumor = np.roll(scan.tumor_mask, (3, 7, -9), axis=(0, 1, 2))
    straight = keep(dataclasses.replace(scan, tumor_mask=tumor), patient="A")
    flip = (slice(None, None, -1),) * 3
    hu = np.ascontiguousarray(scan.hu[flip])
    hu[0, 0, 0] += 1  # another volume for the library, elsewhere the same
    turned = keep(
        dataclasses.replace(scan, hu=hu, tumor_mask=np.ascontiguousarray(tumor[flip])),
        patient="B",
        direction=FLIPPED,
        name="Turned",
    )
    rule = Rule.from_document(RULE)
    one, other = (
        render(make_candidates(volume)[0], rule, np.random.default_rng(1))
        for volume in (straight, turned)
    )
    assert one.marker == other.marker
    assert one.start_slice == other.start_slice
    assert (one.frames != other.frames).sum() <= 1


def test_marker_holds_the_lesion_and_moves_with_the_seed(both):
    rule = Rule.from_document(RULE)
    for candidate in both:
        boxes = [render(candidate, rule, np.random.default_rng(s)).marker for s in range(12)]
        prepared = render(candidate, rule, np.random.default_rng(0))
        (x0, x1), (y0, y1), (z0, z1) = boxes[0]
        diameter = candidate.diameter_mm
        for low, high, spacing in ((x0, x1, 1.5), (y0, y1, 1.5), (z0, z1, 3.0)):
            extent = (high - low) * spacing
            assert diameter * 0.6 + 6 < extent < diameter * 1.7 + 18 + 2 * spacing
        assert len({tuple(map(tuple, box)) for box in boxes}) > 6
        inside = prepared.frames[z0:z1, y0:y1, x0:x1]
        assert inside.size > 0
        assert 0 <= z0 < z1 <= prepared.frames.shape[0]


def test_start_slice_shows_the_lesion_or_the_middle(both):
    for candidate in both:
        starts = set()
        for seed in range(15):
            rng = np.random.default_rng(seed)
            prepared = render(candidate, Rule.from_document(RULE), rng)
            z0, z1 = prepared.marker[2]
            assert z0 - 3 <= prepared.start_slice <= z1 + 3
            starts.add(prepared.start_slice)
        assert len(starts) > 2
        middle = {**RULE, "start_slice": {"rule": "middle", "jitter_slices": 3}}
        prepared = render(candidate, Rule.from_document(middle), np.random.default_rng(0))
        assert prepared.start_slice == prepared.frames.shape[0] // 2


def test_a_volume_larger_than_the_matrix_is_cropped_around_the_lesion(db):
    scan = ball_host((0.5, 0.5, 3.0), radius_mm=34.0, tumor_radius_mm=4.0)
    tumor = np.roll(scan.tumor_mask, (42, 40), axis=(1, 2))
    volume = keep(dataclasses.replace(scan, tumor_mask=tumor))
    from readerstudy.cases.services import make_candidates

    candidate = make_candidates(volume)[0]
    rule = dataclasses.replace(Rule.from_document(RULE), matrix=64)
    prepared = render(candidate, rule, np.random.default_rng(0))
    assert prepared.frames.shape[1:] == (64, 64)
    (x0, x1), (y0, y1), _ = prepared.marker
    assert 0 < x0 < x1 < 64
    assert 0 < y0 < y1 < 64
    assert (prepared.frames != -1024).all()


@pytest.mark.parametrize("value", [-3024, -2000, 4000])
def test_values_beyond_ct_are_clipped_alike(db, value):
    scan = ball_host((1.5, 1.5, 3.0), tumor_radius_mm=9.0)
    scan.hu[:, :3, :3] = value
    from readerstudy.cases.services import make_candidates

    candidate = make_candidates(keep(scan))[0]
    prepared = render(candidate, Rule.from_document(RULE), np.random.default_rng(0))
    assert prepared.frames.min() >= -1024
    assert prepared.frames.max() <= 3071


def test_padding_after_the_last_marker_decodes_everywhere_here(both):
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate

    row = build_renditions(both, RULE, seed=1)[both[0].pk]
    data = read_frame(row.pk, 3)
    assert data.endswith(bytes(64))
    frame = codec.decode_frame(data)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(codec.TRANSFER_SYNTAX)
    dataset.Rows, dataset.Columns = row.rows, row.columns
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 1
    dataset.PixelData = encapsulate([data])
    dataset["PixelData"].VR = "OB"
    assert np.array_equal(dataset.pixel_array, frame)


@pytest.mark.parametrize("largest", [1, 4096, 4097, 100_000, 524_288])
def test_buckets_form_a_short_ladder(largest):
    bucket = codec.bucket_for(largest)
    assert largest <= bucket <= max(4096, 1.3 * largest + 1024)
    assert bucket % 1024 == 0
    assert codec.bucket_for(bucket) == bucket


def test_a_frame_over_the_bucket_is_refused():
    with pytest.raises(ValueError, match="does not fit"):
        codec.pad(b"12345", 4)


def test_each_build_gives_fresh_ids_and_equal_pixels(both):
    first, second = (build_renditions(both, RULE, seed=2) for _ in range(2))
    for candidate in both:
        assert first[candidate.pk].pk != second[candidate.pk].pk
        assert first[candidate.pk].sha256 == second[candidate.pk].sha256


def test_nothing_to_build_is_said_in_a_sentence(db):
    with pytest.raises(CasesError, match="no accepted candidates to build; accept some first"):
        build_renditions([], RULE, seed=1)


def test_O4_a_build_that_stops_leaves_nothing(both, data_dir):
    def stop(done, total, message=""):
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_renditions(both, RULE, seed=1, progress=stop)
    assert not Rendition.objects.exists()
    assert list((data_dir / "renditions").iterdir()) == []


def test_progress_counts_to_the_end(both):
    seen = []
    build_renditions(both, RULE, seed=1, progress=lambda *args: seen.append(args[:2]))
    assert seen == [(0, 3), (1, 3), (2, 3)]


def test_sweep_takes_old_renditions_that_nothing_uses(both, data_dir, monkeypatch):
    from datetime import timedelta

    kept = build_renditions(both, RULE, seed=1)
    stray = data_dir / "renditions" / str(uuid.uuid4())
    stray.mkdir()
    assert sweep() == 0
    monkeypatch.setattr(rendition, "_LEFT_BEHIND", -timedelta(minutes=1))
    assert sweep() == 3
    assert not Rendition.objects.exists()
    assert list((data_dir / "renditions").iterdir()) == []
    assert len(kept) == 2


def test_sweep_leaves_renditions_of_cases_alone(both, coordinator, monkeypatch):
    from datetime import timedelta

    from readerstudy.trials.models import Case, Trial

    rows = build_renditions(both, RULE, seed=1)
    used = rows[both[0].pk]
    trial = Trial.objects.create(slug="t", title="T", seed=1, created_by=coordinator)
    Case.objects.create(
        trial=trial,
        number=1,
        rendition=used,
        organ="liver",
        size_band="any",
        patient_key="P1",
        phase="main",
    )
    monkeypatch.setattr(rendition, "_LEFT_BEHIND", -timedelta(minutes=1))
    assert sweep() == 1
    assert Rendition.objects.get().pk == used.pk
    assert len(read_frame(used.pk, 0)) == used.bucket_bytes


@pytest.mark.shared
@pytest.mark.parametrize("folder", ["liver_crlm-ct-1006", "lung_4dlung-p113"])
def test_frames_of_the_shared_ct_equal_its_hu(db, shared_ct, folder):
    import nibabel as nib

    organ = folder.split("_")[0]
    tumor = "tumour_draft" if organ == "liver" else "tumour"

    def read(name):
        return np.ascontiguousarray(
            np.asarray(nib.load(shared_ct / folder / f"{name}.nii.gz").dataobj).transpose(2, 1, 0)
        )

    image = nib.load(shared_ct / folder / "ct.nii.gz")
    scan = dataclasses.replace(
        ball_host(),
        hu=read("ct").astype(np.int16),
        spacing=tuple(float(s) for s in image.header.get_zooms()[:3]),
        organ_mask=read(organ) > 0,
        tumor_mask=read(tumor) > 0,
    )
    from readerstudy.cases.services import make_candidates, start_run

    volume = keep(scan, organ_label=organ)
    real = make_candidates(volume)[0]
    run = start_run(
        volumes=[volume], organs=[organ], per_volume=1, diameter_mm=(10.0, 16.0), seed=3
    )
    execute(str(run.job_id))
    candidates = [real, run.candidates.get(by_gate=False)]
    rows = build_renditions(candidates, {**RULE, "matrix": 512, "max_slices": 16}, seed=1)
    for candidate in candidates:
        row = rows[candidate.pk]
        frames, source = decoded(row), expected_frames(candidate, row)
        assert any(
            np.array_equal(source[k : k + row.frames], frames)
            for k in range(source.shape[0] - row.frames + 1)
        )
    assert len({row.bucket_bytes for row in rows.values()}) == 1
