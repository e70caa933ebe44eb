"""U4 and the NIfTI half of U5: exact HU and geometry, or one sentence."""

from __future__ import annotations

import gzip
import struct
from contextlib import suppress

import numpy as np
import pytest
import SimpleITK as sitk

from readerstudy.library.imaging.errors import ImagingError
from readerstudy.library.imaging.nifti import NiftiFile

from .conftest import only
from .makers import phantom, write_nifti

SIGNS = [(-1, -1, 1), (1, 1, 1), (-1, 1, 1), (1, -1, -1)]


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("signs", SIGNS, ids=str)
def test_U5_hu_and_geometry_equal_simpleitk(tmp_path, suffix, signs):
    hu = phantom()
    affine = np.diag([0.7 * signs[0], 0.8 * signs[1], 2.5 * signs[2], 1])
    affine[:3, 3] = [12.5, -30.25, 400]
    path = write_nifti(tmp_path / f"ct{suffix}", hu, affine=affine)
    data = NiftiFile(path).volume()
    image = sitk.ReadImage(str(path))
    assert np.array_equal(data.hu, hu)
    assert np.array_equal(data.hu, sitk.GetArrayFromImage(image))
    assert np.allclose(data.geometry.spacing, image.GetSpacing(), atol=1e-6)
    assert np.allclose(data.geometry.origin, image.GetOrigin(), atol=1e-4)
    assert np.allclose(np.ravel(data.geometry.direction), image.GetDirection(), atol=1e-6)


def test_an_oblique_qform_equals_simpleitk(tmp_path):
    turn = np.array([[0.96, -0.28, 0], [0.28, 0.96, 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([0.7, 0.8, 2.5])
    affine[:3, 3] = [3, 4, 5]

    def header(h):
        h.set_sform(None, 0)
        h.set_qform(affine, 1)

    path = write_nifti(tmp_path / "ct.nii", phantom(), affine=affine, header=header)
    geometry = NiftiFile(path).geometry
    image = sitk.ReadImage(str(path))
    assert np.allclose(np.ravel(geometry.direction), image.GetDirection(), atol=1e-6)
    assert np.allclose(geometry.origin, image.GetOrigin(), atol=1e-5)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64])
def test_whole_hu_are_exact_in_any_type(tmp_path, dtype):
    hu = phantom()
    data = NiftiFile(write_nifti(tmp_path / "ct.nii.gz", hu, dtype=dtype)).volume()
    assert np.array_equal(data.hu, hu)


def test_slope_and_intercept_are_applied(tmp_path):
    hu = phantom()
    path = write_nifti(tmp_path / "ct.nii", (hu + 1024).astype(np.int16))
    raw = bytearray(path.read_bytes())
    raw[112:120] = struct.pack("<2f", 1.0, -1024.0)
    path.write_bytes(bytes(raw))
    assert np.array_equal(NiftiFile(path).volume().hu, hu)


def test_a_last_dimension_of_one_is_no_fourth_dimension(tmp_path):
    hu = phantom()
    path = write_nifti(tmp_path / "ct.nii", hu.transpose(2, 1, 0)[..., None])
    assert np.array_equal(NiftiFile(path).volume().hu, hu)


def refuse(path) -> str:
    with pytest.raises(ImagingError) as caught:
        NiftiFile(path).volume()
    return str(caught.value)


def test_U4_nan_overflow_and_fractions(tmp_path):
    hu = phantom().astype(np.float32)
    nan = hu.copy()
    nan[1, 2, 3:5] = np.nan
    assert "2 voxels are not a number" in refuse(write_nifti(tmp_path / "a.nii", nan))
    wide = hu.copy()
    wide[0, 0, 0] = 70_000
    assert "beyond HU (int16)" in refuse(write_nifti(tmp_path / "b.nii", wide))
    assert "not whole HU" in refuse(write_nifti(tmp_path / "c.nii", hu + 0.25))


@pytest.mark.parametrize(
    ("affine", "words"),
    [
        (np.diag([0.7, 0.0, 2.5, 1]), "length zero"),
        (np.array([[0.7, 0.2, 0, 0], [0, 0.8, 0, 0], [0, 0, 2.5, 0], [0, 0, 0, 1]]), "right ang"),
        (np.diag([np.nan, 0.8, 2.5, 1]), "not a number"),
    ],
    ids=["degenerate", "sheared", "NaN"],
)
def test_U4_bad_affine(tmp_path, affine, words):
    path = write_nifti(tmp_path / "ct.nii", phantom())
    raw = bytearray(path.read_bytes())
    raw[280:328] = affine[:3].astype("<f4").tobytes()
    path.write_bytes(bytes(raw))
    assert words in refuse(path)


def test_without_orientation_left_would_be_a_guess(tmp_path):
    assert "left is unknown" in refuse(write_nifti(tmp_path / "ct.nii", phantom(), sform=False))


def test_two_orientations_that_disagree(tmp_path):
    def header(h):
        h.set_qform(np.diag([0.7, -0.8, 2.5, 1.0]), 1)

    path = write_nifti(tmp_path / "ct.nii", phantom(), header=header)
    assert "qform and sform) disagree by" in refuse(path)


def test_four_dimensions_units_and_sizes(tmp_path):
    four = write_nifti(tmp_path / "a.nii", np.zeros((4, 4, 4, 3), np.int16))
    assert "4 dimensions (4 x 4 x 4 x 3)" in refuse(four)
    meters = write_nifti(tmp_path / "b.nii", phantom(), header=lambda h: h.set_xyzt_units("meter"))
    assert "in meter, not in mm" in refuse(meters)
    huge = write_nifti(tmp_path / "c.nii", phantom())
    raw = bytearray(huge.read_bytes())
    raw[42:48] = struct.pack("<3h", 32_000, 32_000, 3)
    huge.write_bytes(bytes(raw))
    assert "32,000 x 32,000 x 3 voxels, more than can be read" in refuse(huge)


@pytest.mark.parametrize("share", [0.002, 0.3, 0.95])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_truncated_file(tmp_path, suffix, share):
    path = write_nifti(tmp_path / f"ct{suffix}", phantom((20, 40, 40)))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    assert "cut off" in refuse(path)


def test_a_gzip_bomb_is_not_inflated(tmp_path):
    """The header says how much there is; what follows it in the stream is never read."""
    plain = write_nifti(tmp_path / "ct.nii", phantom())
    path = tmp_path / "ct.nii.gz"
    with gzip.open(path, "wb") as file:
        file.write(plain.read_bytes())
        for _ in range(300):
            file.write(bytes(1 << 20))
    assert np.array_equal(NiftiFile(path).volume().hu, phantom())


def test_stored_values_without_the_hu_offset_are_refused(tmp_path):
    path = write_nifti(tmp_path / "ct.nii", (phantom() + 1024).astype(np.int16))
    assert "without the HU offset" in refuse(path)


def test_text_of_the_header_is_named_but_not_kept(tmp_path, look):
    def header(h):
        h["descrip"] = b"Jane Doe 1950"

    write_nifti(tmp_path / "ct.nii.gz", phantom(), header=header)
    _, report = only(look(tmp_path).volumes).read()
    assert report["removed"] == {"descrip": 1}
    assert "Jane" not in str(report)


def test_volumes_and_label_maps_are_told_apart(tmp_path, look):
    hu = phantom()
    write_nifti(tmp_path / "ct.nii.gz", hu)
    write_nifti(tmp_path / "seg.nii.gz", (hu > 0).astype(np.uint8))
    write_nifti(tmp_path / "float_seg.nii.gz", (hu > 0).astype(np.float32) * 3)
    found = look(tmp_path)
    assert only(found.volumes).name == "ct.nii.gz"
    assert {mask.name: [part.key for part in mask.segments] for mask in found.masks} == {
        "seg.nii.gz": [1],
        "float_seg.nii.gz": [3],
    }


def test_random_damage_never_raises_anything_but_a_sentence(tmp_path):
    rng = np.random.default_rng(5)
    path = write_nifti(tmp_path / "ct.nii", phantom())
    clean = path.read_bytes()
    for _ in range(300):
        damaged = bytearray(clean)
        for at in rng.integers(0, 360, 3):
            damaged[at] = rng.integers(0, 256)
        path.write_bytes(bytes(damaged))
        with suppress(ImagingError):
            NiftiFile(path).volume()
