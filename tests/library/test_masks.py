"""Masks of every format land on the voxels they were drawn on, or are refused."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from readerstudy.library.imaging.errors import GridMismatch, ImagingError
from readerstudy.library.imaging.geometry import Geometry
from readerstudy.library.imaging.masks import Segment, choose, open_mask
from readerstudy.library.imaging.masks.rtstruct import fill_contours, fill_polygon

from .conftest import only
from .makers import phantom, write_nifti, write_rtstruct, write_seg, write_series

GRID = Geometry((6, 20, 24), (0.7, 0.8, 2.5), (-100.0, -90.5, 30.25))


def blob() -> np.ndarray:
    mask = np.zeros(GRID.shape, dtype=bool)
    mask[2:5, 4:11, 6:15] = True
    mask[3, 7, 8:10] = False
    return mask


def square(x0, x1, y0, y1, z) -> np.ndarray:
    """A closed contour in LPS mm around voxel centers x0..x1, y0..y1 of slice z."""
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    return GRID.index_to_world([(x, y, z) for x, y in corners])


# ---- NIfTI


def test_nifti_mask_in_the_same_axis_order(tmp_path):
    reader = open_mask(write_nifti(tmp_path / "m.nii.gz", blob().astype(np.uint8)))
    assert reader.fits(GRID)
    assert np.array_equal(reader.read([1], GRID), blob())


def test_nifti_mask_in_another_axis_order_is_turned_not_resampled(tmp_path):
    ras = np.diag([0.7, 0.8, 2.5, 1.0])
    ras[:3, 3] = [100.0 - 23 * 0.7, 90.5 - 19 * 0.8, 30.25]
    flipped = blob()[:, ::-1, ::-1].astype(np.uint8)
    reader = open_mask(write_nifti(tmp_path / "m.nii.gz", flipped, affine=ras))
    assert np.array_equal(reader.read([1], GRID), blob())


def test_labels_are_chosen_and_joined(tmp_path):
    labels = np.zeros(GRID.shape, dtype=np.uint8)
    labels[1, :3], labels[2, :3], labels[3, :3] = 2, 3, 5
    reader = open_mask(write_nifti(tmp_path / "m.nii.gz", labels))
    assert [part.key for part in reader.segments] == [2, 3, 5]
    kidneys = reader.read(choose(reader.segments, "2+3"), GRID)
    assert np.array_equal(kidneys, (labels == 2) | (labels == 3))


@pytest.mark.parametrize(
    ("shift", "shape"),
    [((0, 0, 2.5), GRID.shape), ((0.4, 0, 0), GRID.shape), ((0, 0, 0), (6, 20, 23))],
    ids=["one slice off", "half a voxel off", "one column less"],
)
def test_a_mask_on_another_grid_is_refused_naming_both(tmp_path, shift, shape):
    affine = np.diag([-0.7, -0.8, 2.5, 1.0])
    affine[:3, 3] = np.array([100.0, 90.5, 30.25]) + shift
    mask = np.ones(shape, dtype=np.uint8)
    mask[0] = 0
    reader = open_mask(write_nifti(tmp_path / "m.nii.gz", mask, affine=affine))
    assert not reader.fits(GRID)
    with pytest.raises(GridMismatch, match=r"its grid is .* mm, the volume's .* mm"):
        reader.read([1], GRID)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros(GRID.shape, np.uint8), "marks nothing"),
        (np.where(blob(), np.nan, 0).astype(np.float32), "NaN"),
        (blob() * 0.5, "no mask"),
        (phantom(), "no mask"),
    ],
    ids=["empty", "NaN", "fractions", "a CT"],
)
def test_what_is_no_mask_says_so(tmp_path, values, words):
    with pytest.raises(ImagingError, match=words):
        open_mask(write_nifti(tmp_path / "m.nii.gz", values))


PARTS = [Segment(1, "GTV"), Segment(2, "Liver"), Segment(7, "Liver edge")]


@pytest.mark.parametrize(
    ("wanted", "keys"), [("1", [1]), ("gtv", [1]), ("Liver+7", [2, 7]), ("all", [1, 2, 7])]
)
def test_choosing_parts(wanted, keys):
    assert choose(PARTS, wanted) == keys


@pytest.mark.parametrize(
    ("wanted", "words"), [(None, "3 things .GTV, Liver, Liver edge"), ("9", "no part '9'")]
)
def test_choosing_wrongly(wanted, words):
    with pytest.raises(ImagingError, match=words):
        choose(PARTS, wanted)


# ---- RTSTRUCT


def test_a_contour_marks_the_voxel_centers_it_encloses(tmp_path):
    path = write_rtstruct(tmp_path / "rt.dcm", {"GTV": [square(5.5, 9.5, 3.5, 6.5, 2)]})
    reader = open_mask(path)
    expected = np.zeros(GRID.shape, dtype=bool)
    expected[2, 4:7, 6:10] = True
    assert np.array_equal(reader.read([1], GRID), expected)


def test_an_inner_contour_is_a_hole_and_an_island_in_it_is_not(tmp_path):
    rings = [square(1.5, 18.5, 1.5, 17.5, 1), square(4.5, 14.5, 4.5, 14.5, 1),
             square(7.5, 10.5, 7.5, 10.5, 1)]  # fmt: skip
    mask = fill_contours(rings, GRID)[1]
    assert mask[3, 3]
    assert not mask[6, 6]
    assert mask[9, 9]
    assert mask.sum() == 17 * 16 - 10 * 10 + 3 * 3


def test_a_keyhole_contour_is_a_ring():
    outer = [(1.5, 1.5), (10.5, 1.5), (10.5, 10.5), (1.5, 10.5), (1.5, 6)]
    inner = [(4.5, 6), (4.5, 8.5), (7.5, 8.5), (7.5, 3.5), (4.5, 3.5), (4.5, 6), (1.5, 6)]
    mask = fill_polygon(np.array(outer + inner), (20, 24))
    assert mask.sum() == 9 * 9 - 3 * 5


def test_the_same_contour_twice_counts_once():
    ring = square(5.5, 9.5, 3.5, 6.5, 2)
    assert np.array_equal(fill_contours([ring, ring.copy()], GRID), fill_contours([ring], GRID))


coordinate = st.integers(-300, 2300).map(lambda value: value / 100)


@given(st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=12))
@settings(max_examples=150, deadline=None)
def test_filling_equals_counting_crossings_point_by_point(corners):
    mask = fill_polygon(np.array(corners), (16, 20))
    for y in range(16):
        crossings = []
        for start, end in zip(corners, corners[1:] + corners[:1], strict=True):
            (x0, y0), (x1, y1) = sorted((start, end), key=lambda corner: corner[1])
            if y0 <= y < y1:
                crossings.append(x0 + (y - y0) * (x1 - x0) / (y1 - y0))
        for x in range(20):
            assert mask[y, x] == (sum(crossing <= x for crossing in crossings) % 2 == 1)


@given(st.floats(0.5, 8), st.floats(8, 14), st.floats(6, 12))
def test_two_polygons_that_share_an_edge_share_no_voxel(radius, cx, cy):
    top = np.array([(cx - radius, cy), (cx + radius, cy), (cx, cy - radius)])
    bottom = np.array([(cx - radius, cy), (cx + radius, cy), (cx, cy + radius)])
    both = np.array([(cx - radius, cy), (cx, cy - radius), (cx + radius, cy), (cx, cy + radius)])
    first, second = fill_polygon(top, (24, 24)), fill_polygon(bottom, (24, 24))
    assert not (first & second).any()
    assert np.array_equal(first | second, fill_polygon(both, (24, 24)))


@pytest.mark.parametrize(
    ("contour", "words"),
    [
        (square(5, 9, 3, 6, 2.5), "between or across"),
        (square(5, 9, 3, 6, 40), "outside the volume"),
        (square(5, 60, 3, 6, 2), "outside the volume"),
    ],
    ids=["between slices", "below the scan", "beside the scan"],
)
def test_a_contour_of_another_scan_is_refused(contour, words):
    with pytest.raises(GridMismatch, match=words):
        fill_contours([contour], GRID)


def test_a_structure_without_contours_marks_nothing(tmp_path):
    with pytest.raises(ImagingError, match="marks nothing"):
        choose(open_mask(write_rtstruct(tmp_path / "rt.dcm", {"GTV": []})).segments, None)


# ---- DICOM SEG


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
def test_seg_by_highdicom_comes_back_voxel_by_voxel(tmp_path, look, kind):
    series = write_series(tmp_path / "ct", phantom())
    write_seg(tmp_path / "seg.dcm", series, blob(), kind)
    found = look(tmp_path)
    volume, mask = only(found.volumes), only(found.masks)
    assert (mask.format, [part.name for part in mask.segments]) == ("seg", ["Liver"])
    reader = mask.open()
    assert reader.fits(volume.geometry)
    assert np.array_equal(reader.read([1], volume.geometry), blob())


def test_a_seg_of_another_grid_is_refused(tmp_path):
    series = write_series(tmp_path / "ct", phantom())
    reader = open_mask(write_seg(tmp_path / "seg.dcm", series, blob()))
    shifted = Geometry(GRID.shape, GRID.spacing, (-100.0, -90.5, 31.5))
    assert not reader.fits(shifted)
    with pytest.raises(GridMismatch, match=r"its frames are .* the volume's grid"):
        reader.read([1], shifted)


def test_a_truncated_seg_is_refused(tmp_path):
    series = write_series(tmp_path / "ct", phantom())
    path = write_seg(tmp_path / "seg.dcm", series, blob())
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ImagingError, match="cut off"):
        open_mask(path).read([1], GRID)


def test_a_ct_slice_given_as_mask_is_named(tmp_path):
    path = write_series(tmp_path, phantom())[0]
    with pytest.raises(ImagingError, match="it is a CT slice, not a mask"):
        open_mask(path)


def test_control_characters_in_a_name_go_no_further():
    assert Segment(1, "GTV\x00\x1b[31m one ").name == "GTV [31m one"


@pytest.mark.parametrize("kind", ["nifti", "seg", "rtstruct"])
def test_random_damage_never_raises_anything_but_a_sentence(tmp_path, kind):
    rng = np.random.default_rng(11)
    if kind == "nifti":
        path = write_nifti(tmp_path / "m.nii.gz", blob().astype(np.uint8))
    elif kind == "seg":
        path = write_seg(tmp_path / "m.dcm", write_series(tmp_path / "ct", phantom()), blob())
    else:
        path = write_rtstruct(tmp_path / "m.dcm", {"GTV": [square(5.5, 9.5, 3.5, 6.5, 2)]})
    clean = path.read_bytes()
    for _ in range(120):
        damaged = bytearray(clean)
        for at in rng.integers(0 if kind == "nifti" else 132, len(clean), 3):
            damaged[at] = rng.integers(0, 256)
        path.write_bytes(bytes(damaged))
        with suppress(ImagingError):
            reader = open_mask(path)
            reader.fits(GRID)
            reader.read(choose(reader.segments, "all"), GRID)
