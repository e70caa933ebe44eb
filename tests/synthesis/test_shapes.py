"""Lesion shapes: the requested size in millimetres on any grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthesis.engine.arrays import equivalent_diameter_mm, sphere_ml, voxel_ml
from synthesis.engine.shapes import draw_diameter, draw_radius_field, rasterize

from .hosts import GRIDS

quick = settings(max_examples=25, deadline=None)


@pytest.mark.parametrize("spacing", GRIDS.values(), ids=GRIDS)
@given(
    # As often between 4 and 8 mm as between 40 and 80: small ones are where grids bite.
    diameter=st.floats(np.log(4.0), np.log(80.0)).map(np.exp),
    seed=st.integers(0, 2**32),
    offset=st.tuples(*[st.floats(0.0, 1.0)] * 3),
)
@quick
def test_equivalent_diameter_is_within_a_tenth_of_the_request(spacing, diameter, seed, offset):
    rng = np.random.default_rng(seed)
    field = draw_radius_field(rng, diameter, lobulation=0.15, spiculation=0.06)
    lesion = rasterize(field, spacing, offset, edge_mm=1.0)
    measured = equivalent_diameter_mm(float(lesion.mask.sum()) * voxel_ml(spacing))
    assert measured == pytest.approx(diameter, rel=0.10)
    # The soft lesion, which is what changes HU, holds the same volume.
    soft = equivalent_diameter_mm(float(lesion.coverage.sum()) * voxel_ml(spacing))
    assert soft == pytest.approx(diameter, rel=0.05)


def test_spicules_are_as_long_in_a_large_lesion_as_in_a_small_one():
    def length_mm(diameter):
        smooth, spiky = (
            draw_radius_field(np.random.default_rng(1), diameter, lobulation=0, spiculation=s)
            for s in (0.0, 0.06)
        )
        return float((spiky.radius - smooth.radius).std())

    assert length_mm(42.0) == pytest.approx(length_mm(14.0), rel=0.2)
    assert length_mm(7.0) == pytest.approx(0.5 * length_mm(14.0), rel=0.2)


@pytest.mark.parametrize("spacing", GRIDS.values(), ids=GRIDS)
def test_a_round_lesion_is_as_tall_in_mm_as_it_is_wide(spacing):
    field = draw_radius_field(np.random.default_rng(1), 30.0, lobulation=0.0, elongation=0.0)
    lesion = rasterize(field, spacing, (0.0, 0.0, 0.0), edge_mm=0.7)
    points = np.argwhere(lesion.mask) * np.asarray(spacing[::-1])
    spread = points.std(axis=0)
    assert spread == pytest.approx(spread.mean(), rel=0.06)
    assert spread.mean() == pytest.approx(15.0 / np.sqrt(5.0), rel=0.05)


def test_the_distance_of_a_sphere_is_exact():
    field = draw_radius_field(np.random.default_rng(1), 20.0, lobulation=0.0, elongation=0.0)
    points = np.zeros((3, 5), np.float32)
    points[1] = [0.5, 5.0, 10.0, 12.0, 30.0]
    assert field.signed_distance(points) == pytest.approx([-9.5, -5.0, 0.0, 2.0, 20.0], abs=0.02)


def test_coverage_falls_from_one_to_zero_over_the_soft_edge():
    field = draw_radius_field(np.random.default_rng(1), 24.0, lobulation=0.0, elongation=0.0)
    lesion = rasterize(field, (0.5, 0.5, 0.5), (0.0, 0.0, 0.0), edge_mm=1.0)
    middle = -np.asarray(lesion.box.start)
    line = lesion.coverage[middle[0], middle[1], middle[2] :]
    assert line[0] == pytest.approx(1.0, abs=0.01)
    assert np.all(np.diff(line) <= 1e-6)
    assert line[-1] < 0.01
    distance_10_90 = 0.5 * ((line > 0.1).sum() - (line > 0.9).sum())
    assert distance_10_90 == pytest.approx(2 * np.log(9.0), abs=0.6)


def test_shapes_differ_between_seeds_and_agree_within_one():
    one = draw_radius_field(np.random.default_rng(3), 15.0)
    again = draw_radius_field(np.random.default_rng(3), 15.0)
    other = draw_radius_field(np.random.default_rng(4), 15.0)
    assert np.array_equal(one.radius, again.radius)
    assert np.abs(one.radius - other.radius).max() > 0.5


def test_diameters_are_log_uniform():
    rng = np.random.default_rng(0)
    drawn = np.log([draw_diameter(rng, 5.0, 40.0) for _ in range(4000)])
    share = np.histogram(drawn, bins=4, range=(np.log(5.0), np.log(40.0)))[0] / 4000
    assert share == pytest.approx(0.25, abs=0.03)
    assert sphere_ml(10.0) == pytest.approx(0.5236, rel=1e-3)


@pytest.mark.parametrize("diameter", [0.0, -3.0, float("nan")])
def test_an_impossible_diameter_is_refused(diameter):
    with pytest.raises(ValueError, match="must be positive"):
        draw_radius_field(np.random.default_rng(0), diameter)
