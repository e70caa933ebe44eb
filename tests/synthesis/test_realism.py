"""Realism proxies: each against a number worked out by hand, and the yardstick's fairness."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from synthesis.engine.realism import (
    FEATURES,
    Appearance,
    cooccurrence,
    describe,
    edge_rise_mm,
    feature_distance,
    feature_spread,
    histogram_distance,
    nearest_real,
)


def ball(spacing_zyx=(1.0, 1.0, 1.0), *, radius=10.0, contrast=-40.0, blur_mm=0.0, noise=0.0):
    """Crop of a blurred ball in even tissue of 100 HU, and its mask (the ball before the blur)."""
    half = radius + 14.0
    axes = [np.arange(-np.ceil(half / s), np.ceil(half / s) + 1) * s for s in spacing_zyx]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    inside = z**2 + y**2 + x**2 <= radius**2
    sigma = [0.0, blur_mm / spacing_zyx[1], blur_mm / spacing_zyx[2]]
    hu = 100.0 + contrast * ndimage.gaussian_filter(inside.astype(float), sigma)
    hu += noise * np.random.default_rng(0).standard_normal(hu.shape)
    return hu.astype(np.float32), inside


def described(hu, mask, spacing_zyx=(1.0, 1.0, 1.0)) -> Appearance:
    return describe(hu, mask, spacing_zyx[::-1])


# -- one lesion ------------------------------------------------------------------------------------


@pytest.mark.parametrize("spacing", [(1.0, 0.5, 0.5), (5.0, 0.7, 0.7)])
@pytest.mark.parametrize("sigma", [0.8, 1.5])
@pytest.mark.parametrize("contrast", [-40.0, 850.0])
def test_the_edge_of_a_blurred_step_rises_over_2_563_sigma(spacing, sigma, contrast):
    hu, mask = ball(spacing, radius=14.0, contrast=contrast, blur_mm=sigma, noise=2.0)
    rise = edge_rise_mm(hu, mask, ~mask, spacing)
    assert rise == pytest.approx(2.563 * sigma, rel=0.2)


def test_no_step_has_no_edge():
    hu, mask = ball(contrast=0.0, noise=5.0)
    assert np.isnan(edge_rise_mm(hu, mask, ~mask, (1.0, 1.0, 1.0)))


def test_cooccurrence_of_two_columns_by_hand():
    # 0 1 1 / 0 1 1: across 4 pairs (0,1) (1,1) twice, down 3 pairs (0,0) (1,1) (1,1).
    levels = np.array([[[0, 1, 1], [0, 1, 1]]])
    p = cooccurrence(levels, np.ones(levels.shape, bool), (1, 1))
    assert p * 14 == pytest.approx(np.array([[2.0, 2.0], [2.0, 8.0]]))


def test_voxels_outside_the_lesion_form_no_pairs():
    levels = np.array([[[0, 9, 1]]])
    p = cooccurrence(levels, np.array([[[True, False, True]]]), (1, 1))
    assert p.sum() == 0.0


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.5, 0.7, 0.7)])
def test_a_ball_is_round_and_an_ellipsoid_is_not(spacing):
    look = described(*ball(spacing), spacing)
    shape = dict(zip(FEATURES, look.features, strict=True))
    assert shape["sphericity"] == pytest.approx(1.0, abs=0.06)
    assert shape["elongation"] == pytest.approx(1.0, abs=0.05)
    z, y, x = np.mgrid[-16:17, -16:17, -16:17]
    long = (z / 14) ** 2 + (y / 7) ** 2 + (x / 7) ** 2 <= 1
    shape = dict(zip(FEATURES, described(100.0 - 40.0 * long, long).features, strict=True))
    assert shape["elongation"] == pytest.approx(0.5, abs=0.04)
    assert shape["sphericity"] < 0.97


def test_first_order_features_are_relative_to_the_organ_around():
    hu, mask = ball(contrast=-40.0, blur_mm=1.0)
    base, shifted = described(hu, mask), described(hu + 30.0, mask)
    assert base.features[0] == pytest.approx(-40.0, abs=1.0)
    assert shifted.features == pytest.approx(base.features, rel=0.01, nan_ok=True)
    assert shifted.hu == pytest.approx(base.hu, abs=1e-3)


def test_a_lesion_of_a_few_voxels_has_no_texture_but_a_contrast():
    hu, mask = ball(radius=1.0)
    look = described(hu, mask)
    assert look.features[0] == pytest.approx(-40.0)
    assert np.isnan(look.features[2:4]).all()
    assert np.isnan(look.edge_rise_mm)


def test_an_empty_mask_is_refused():
    with pytest.raises(ValueError, match="empty"):
        described(np.zeros((4, 4, 4), np.float32), np.zeros((4, 4, 4), bool))


# -- groups ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain():
    return described(*ball(noise=3.0))


def looks(plain, features, hu=0.0):
    return replace(plain, features=np.asarray(features, float), hu=np.array([hu]))


def test_histogram_distance_is_the_mean_shift_between_pairs(plain):
    a, b, c = (looks(plain, [0.0], hu) for hu in (0.0, 10.0, 30.0))
    assert histogram_distance([a], [b, c]) == pytest.approx(20.0)
    # Among themselves: |0-10|, |0-30|, |10-30|, each twice, never a lesion with itself.
    assert histogram_distance([a, b, c], [a, b, c]) == pytest.approx(20.0)
    assert np.isnan(histogram_distance([a], [a]))


def test_feature_distance_skips_what_one_of_them_lacks(plain):
    a, b = looks(plain, [0.0, 1.0, np.nan]), looks(plain, [3.0, 5.0, 7.0])
    assert feature_distance(a, b, np.array([1.0, 1.0, 1.0])) == pytest.approx(np.sqrt(12.5))
    assert feature_distance(a, b, np.array([3.0, 4.0, 1.0])) == pytest.approx(1.0)


def test_the_unit_of_a_feature_is_its_spread_within_groups(plain):
    near = [looks(plain, [0.0]), looks(plain, [2.0])]
    far = [looks(plain, [100.0]), looks(plain, [106.0])]
    assert feature_spread([near, far]) == pytest.approx([2.0])  # (1 + 3) / 2


def test_made_lesions_get_no_better_chance_than_real_ones(plain):
    real = [looks(plain, [value]) for value in (0.0, 1.0, 4.0)]
    unit = np.array([1.0])
    assert nearest_real(real, real, unit) == pytest.approx([1.0, 1.0, 3.0])
    # At 0.4: nearest 0.4, then 0.6; the nearest is left out one time in three.
    assert nearest_real([looks(plain, [0.4])], real, unit) == pytest.approx([(2 * 0.4 + 0.6) / 3])
    assert nearest_real(real[:1], real[:1], unit) == []


def test_draws_from_one_population_measure_like_the_yardstick(plain):
    rng = np.random.default_rng(3)
    groups = [[looks(plain, rng.standard_normal(4)) for _ in range(60)] for _ in range(2)]
    unit = feature_spread(groups)
    among = np.mean(nearest_real(groups[0], groups[0], unit))
    made = np.mean(nearest_real(groups[1], groups[0], unit))
    assert made == pytest.approx(among, rel=0.12)
    away = [replace(a, features=a.features + 3.0) for a in groups[1]]
    assert np.mean(nearest_real(away, groups[0], unit)) > 2.0 * among
