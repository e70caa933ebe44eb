from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from readerstudy.library.imaging.errors import GeometryError, GridMismatch
from readerstudy.library.imaging.geometry import (
    Geometry,
    VolumeData,
    conform,
    native_axis,
    to_lps_axes,
)

AXES = [
    np.eye(3)[:, list(order)] * np.array(signs)
    for order in permutations(range(3))
    for signs in product((1.0, -1.0), repeat=3)
]


def rotation(a: float, b: float, c: float) -> np.ndarray:
    ca, sa, cb, sb, cc, sc = np.cos(a), np.sin(a), np.cos(b), np.sin(b), np.cos(c), np.sin(c)
    return (
        np.array([[ca, -sa, 0], [sa, ca, 0], [0, 0, 1]])
        @ np.array([[cb, 0, sb], [0, 1, 0], [-sb, 0, cb]])
        @ np.array([[1, 0, 0], [0, cc, -sc], [0, sc, cc]])
    )


small = st.floats(-0.6, 0.6)
geometries = st.builds(
    lambda shape, spacing, origin, axes, turn: Geometry(
        shape, spacing, origin, tuple(map(tuple, rotation(*turn) @ AXES[axes]))
    ),
    st.tuples(*[st.integers(1, 5)] * 3),
    st.tuples(*[st.floats(0.2, 8)] * 3),
    st.tuples(*[st.floats(-900, 900)] * 3),
    st.integers(0, len(AXES) - 1),
    st.tuples(small, small, small),
)


@given(geometries, st.tuples(*[st.floats(-50, 50)] * 3))
def test_index_and_world_are_inverse(geometry, index):
    back = geometry.world_to_index(geometry.index_to_world(index))
    assert np.allclose(back, index, atol=1e-6)


@given(geometries)
def test_affine_gives_the_same_geometry_back(geometry):
    again = Geometry.from_affine(geometry.affine_lps(), geometry.shape)
    assert np.allclose(again.affine_lps(), geometry.affine_lps(), atol=1e-9)


@given(geometries)
@settings(max_examples=200)
def test_lps_axes_move_no_voxel(geometry):
    """Each value stays at its place in the patient, and the axes point nearest to L, P, S."""
    array = np.arange(np.prod(geometry.shape), dtype=np.int32).reshape(geometry.shape)
    moved, target = to_lps_axes(array, geometry)
    assert moved.shape == target.shape
    places = {}
    for value, (z, y, x) in zip(array.ravel(), np.ndindex(geometry.shape), strict=True):
        places[int(value)] = geometry.index_to_world((x, y, z))
    for (z, y, x), value in np.ndenumerate(moved):
        assert np.allclose(target.index_to_world((x, y, z)), places[int(value)], atol=1e-6)
    assert np.all(np.diag(np.asarray(target.direction)) > 0)


@given(geometries)
def test_conform_finds_the_way_back(geometry):
    array = np.arange(np.prod(geometry.shape), dtype=np.int32).reshape(geometry.shape)
    moved, target = to_lps_axes(array, geometry)
    assert np.array_equal(conform(moved, target, geometry), array)


@given(geometries, st.integers(0, 2))
def test_native_axis_reads_the_same_slice(geometry, axis):
    array = np.arange(np.prod(geometry.shape), dtype=np.int32).reshape(geometry.shape)
    moved, _ = to_lps_axes(array, geometry)
    native, reverse = native_axis(geometry, axis)
    index = moved.shape[axis] - 1
    number = 0 if reverse else array.shape[native] - 1
    assert set(np.take(moved, index, axis).ravel()) == set(np.take(array, number, native).ravel())


@given(geometries, st.integers(0, 2**16))
def test_content_hash_does_not_depend_on_axis_order(geometry, seed):
    hu = np.random.default_rng(seed).integers(-1024, 3071, geometry.shape).astype(np.int16)
    moved, target = to_lps_axes(hu, geometry)
    assert VolumeData(hu, geometry).content_hash() == VolumeData(moved, target).content_hash()


def test_content_hash_changes_with_one_voxel_and_with_the_grid():
    hu = np.zeros((3, 4, 5), dtype=np.int16)
    grid = Geometry((3, 4, 5), (1, 1, 2), (0, 0, 0))
    first = VolumeData(hu, grid).content_hash()
    other = hu.copy()
    other[1, 2, 3] = 1
    assert VolumeData(other, grid).content_hash() != first
    assert VolumeData(hu, Geometry((3, 4, 5), (1, 1, 2.5), (0, 0, 0))).content_hash() != first
    # the last digits of a float32 header are no other volume
    near = Geometry((3, 4, 5), (1.0000001, 1, 2), (-0.0, 1e-7, 0))
    assert VolumeData(hu, near).content_hash() == first


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shape": (0, 4, 5)}, "at least 1"),
        ({"spacing": (1, -1, 2)}, "not positive"),
        ({"spacing": (1, float("nan"), 2)}, "not a number"),
        ({"direction": ((1, 0.1, 0), (0, 1, 0), (0, 0, 1))}, "right angles"),
    ],
)
def test_impossible_grids_are_refused_with_a_sentence(change, words):
    with pytest.raises(GeometryError, match=words):
        Geometry(**{"shape": (3, 4, 5), "spacing": (1, 1, 2), "origin": (0, 0, 0), **change})


def test_conform_names_both_grids():
    a = Geometry((3, 4, 5), (1, 1, 2), (0, 0, 0))
    b = Geometry((3, 4, 5), (1, 1, 2), (0, 0, 7))
    with pytest.raises(GridMismatch, match=r"5 x 4 x 3 voxels.*\(0.0, 0.0, 7.0\)"):
        conform(np.zeros((3, 4, 5)), a, b)
