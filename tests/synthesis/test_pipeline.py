"""Placement, textures, transplant, measurement and verdicts, piece by piece."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from synthesis.engine.arrays import Box, robust_sd
from synthesis.engine.compositing import EmptyResidual, transplant
from synthesis.engine.measure import measure_lesion
from synthesis.engine.organs import PRIORS, canonical_organ, fit_prior, prior_for
from synthesis.engine.pipeline import prepare, synthesize
from synthesis.engine.placement import TUMOR_CLEARANCE_MM, map_organ
from synthesis.engine.records import HostCrop, LesionSpec, NoPlacement, Rejected, Scan
from synthesis.engine.shapes import draw_radius_field, rasterize
from synthesis.engine.textures import band_limited, spectrum_matched

from .hosts import ball_host

# -- placement ---------------------------------------------------------------------------------


def test_places_keep_their_distance_and_prefer_the_depth():
    scan = ball_host((1.0, 1.0, 2.5))
    organ_map = map_organ(scan.hu, scan.organ_mask, None, scan.spacing)
    rng = np.random.default_rng(0)
    center = (np.asarray(scan.hu.shape) - 1) / 2
    places = np.asarray([organ_map.draw(rng, 8.0) for _ in range(600)])
    from_middle = np.linalg.norm((places - center) * [2.5, 1.0, 1.0], axis=1)
    assert from_middle.max() < 32.0 - 8.0 + 3.0
    # Uniform in a ball of 24 mm would put 1/8 within 12 mm; depth weighting puts more there.
    assert (from_middle < 12.0).mean() > 0.2


def test_places_stay_clear_of_real_tumors():
    scan = ball_host(tumor_radius_mm=10.0)
    organ_map = map_organ(scan.hu, scan.organ_mask, scan.tumor_mask, scan.spacing)
    rng = np.random.default_rng(0)
    center = (np.asarray(scan.hu.shape) - 1) / 2
    places = np.asarray([organ_map.draw(rng, 4.0) for _ in range(300)])
    assert np.linalg.norm(places - center, axis=1).min() > 10.0 + 4.0 + TUMOR_CLEARANCE_MM - 3.0


def test_a_tumor_of_one_voxel_is_seen_by_the_coarse_map():
    scan = ball_host()
    tumor = np.zeros(scan.hu.shape, bool)
    tumor[tuple(n // 2 + 1 for n in tumor.shape)] = True
    with_tumor = map_organ(scan.hu, scan.organ_mask, tumor, scan.spacing)
    assert (
        with_tumor.deepest_mm < map_organ(scan.hu, scan.organ_mask, None, scan.spacing).deepest_mm
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"organ_mask": np.zeros((80, 80, 80), bool)}, "organ mask is empty"),
        ({"organ_mask": np.ones((4, 4, 4), bool)}, "different shapes"),
        ({"hu": np.zeros((80, 80), np.int16)}, "three dimensions"),
    ],
)
def test_bad_hosts_are_refused_in_a_sentence(change, message):
    with pytest.raises(ValueError, match=message):
        prepare(dataclasses.replace(ball_host(), **change))


def test_a_lesion_that_only_fits_smaller_is_shrunk_within_the_range():
    prepared = prepare(ball_host(radius_mm=14.0))
    from synthesis.engine.generators import get_generator

    made = [
        synthesize(prepared, LesionSpec((8.0, 26.0)), get_generator("textural"), seed).verdict
        for seed in range(12)
    ]
    sizes = [v.lesion.diameter_mm for v in made if not isinstance(v, NoPlacement)]
    assert len(sizes) >= 10
    assert min(sizes) >= 8.0
    assert max(sizes) < 26.0


def test_one_voxel_of_a_real_tumor_under_the_faintest_edge_forbids_a_place():
    """The map keeps a ball's distance; lesions are longer than balls."""
    from synthesis.engine.pipeline import _fits

    prepared = prepare(ball_host())
    middle = tuple((n - 1) / 2 for n in prepared.scan.hu.shape)
    field = draw_radius_field(np.random.default_rng(3), 14.0)
    lesion = rasterize(field, prepared.scan.spacing, middle, edge_mm=1.0)
    assert _fits(prepared, lesion)
    for faint, allowed in ((True, False), (False, True)):
        touched = (lesion.coverage > 0) & (lesion.coverage < 0.02)
        place = np.argwhere(touched if faint else lesion.coverage == 0)[0] + lesion.box.start
        tumor = np.zeros(prepared.scan.hu.shape, bool)
        tumor[tuple(place)] = True
        scan = dataclasses.replace(prepared.scan, tumor_mask=tumor)
        assert _fits(dataclasses.replace(prepared, scan=scan), lesion) is allowed


def test_no_lesion_lies_across_a_fissure_that_the_organs_mask_covers():
    from synthesis.engine.generators import get_generator

    scan = ball_host()
    middle = scan.hu.shape[2] // 2
    scan.hu[:, :, middle - 2 : middle + 2] -= 190  # fat
    prepared = prepare(scan)
    for seed in range(8):
        verdict = synthesize(
            prepared, LesionSpec((12.0, 16.0)), get_generator("textural"), seed
        ).verdict
        if not isinstance(verdict, NoPlacement):
            cut = verdict.lesion.box.slices
            fat = scan.hu[cut][verdict.lesion.mask] < 0
            assert fat.mean() < 0.09


# -- textures ----------------------------------------------------------------------------------


def test_band_limited_noise_has_no_fine_grain_and_no_drift():
    noise = band_limited(np.random.default_rng(0), (64, 64, 64), (1.0, 1.0, 1.0), 4.0)
    assert noise.mean() == pytest.approx(0.0, abs=1e-3)
    assert noise.std() == pytest.approx(1.0, abs=1e-3)
    power = np.abs(np.fft.fftn(noise)) ** 2
    axis = np.fft.fftfreq(64)
    frequency = np.sqrt(sum(f**2 for f in np.meshgrid(axis, axis, axis, indexing="ij")))
    band = power[(frequency > 0.07) & (frequency < 0.14)].mean()
    assert band > 20 * power[frequency > 0.35].mean()
    assert band > 5 * power[frequency < 0.025].mean()


def test_filled_noise_has_the_hosts_power_spectrum():
    rng = np.random.default_rng(0)
    host = band_limited(rng, (16, 64, 64), (1.0, 1.0, 1.0), 3.0) * 12.0
    fill = spectrum_matched(rng, host)
    assert fill.std() == pytest.approx(1.0, rel=1e-3)
    of_host = (np.abs(np.fft.rfft2(host / 12.0)) ** 2).mean(axis=0)
    of_fill = (np.abs(np.fft.rfft2(fill)) ** 2).mean(axis=0)
    busy = of_host > 0.2 * of_host.max()
    assert of_fill[busy].sum() / of_host[busy].sum() == pytest.approx(1.0, rel=0.1)


# -- transplant --------------------------------------------------------------------------------


def _crop(hu=100.0):
    shape = (36, 36, 36)
    host = HostCrop(
        hu=np.full(shape, hu, np.float32),
        organ=np.ones(shape, bool),
        tumor=np.zeros(shape, bool),
        box=Box((5, 6, 7), (41, 42, 43)),
        spacing_zyx=(1.0, 1.0, 1.0),
        organ_name="liver",
    )
    field = draw_radius_field(np.random.default_rng(0), 8.0)
    return host, rasterize(field, (1.0, 1.0, 1.0), (22.0, 23.0, 24.0))


def test_no_change_is_an_error_not_a_case():
    host, lesion = _crop()
    nothing = np.zeros(host.hu.shape, np.float32)
    with pytest.raises(EmptyResidual):
        transplant(host, lesion, nothing, nothing, {})
    with pytest.raises(EmptyResidual):
        transplant(host, lesion, nothing + 0.3, nothing + 1.0, {})


def test_a_change_outside_the_feather_is_dropped():
    host, lesion = _crop()
    change = np.full(host.hu.shape, -30.0, np.float32)
    feather = np.zeros(host.hu.shape, np.float32)
    feather[15:19, 15:19, 15:19] = 1.0
    made = transplant(host, lesion, change, feather, {})
    outside = np.ones(host.hu.shape, bool)
    outside[15:19, 15:19, 15:19] = False
    placed = np.zeros(host.hu.shape, np.int16)
    placed[made.box.within(host.box)] = made.residual
    inside_mask = np.zeros(host.hu.shape, bool)
    inside_mask[lesion.box.within(host.box)] = lesion.mask
    assert not placed[outside & ~inside_mask].any()
    assert (placed[15:19, 15:19, 15:19] == -30).all()


@pytest.mark.parametrize(("hu", "change", "expected"), [(-1000, -900, -1024), (3000, 900, 3071)])
def test_transplant_clips_to_the_ct_range(hu, change, expected):
    host, lesion = _crop(hu)
    field = np.full(host.hu.shape, change, np.float32)
    made = transplant(host, lesion, field, np.ones_like(field), {})
    whole = np.full((50, 50, 50), hu, np.int16)
    assert set(np.unique(made.apply(whole))) == {hu, expected}


def test_not_a_number_is_refused():
    host, lesion = _crop()
    change = np.full(host.hu.shape, np.nan, np.float32)
    with pytest.raises(ValueError, match="not numbers"):
        transplant(host, lesion, change, np.ones_like(change), {})


# -- measurement and priors --------------------------------------------------------------------


def test_measurements_of_a_known_lesion():
    scan = ball_host((1.0, 1.0, 2.0), noise_hu=8.0, tumor_radius_mm=10.0)
    measured = measure_lesion(scan.hu, scan.tumor_mask, scan.spacing, organ=scan.organ_mask)
    assert measured.diameter_mm == pytest.approx(20.0, rel=0.02)
    assert measured.contrast_hu == pytest.approx(-45.0, abs=2.0)
    assert measured.noise_ratio == pytest.approx(1.0, abs=0.15)
    middle = (np.asarray(scan.hu.shape[::-1]) - 1) / 2
    assert measured.center == pytest.approx(tuple(middle), abs=0.6)
    (x0, x1), _, (z0, z1) = measured.bbox
    assert x1 - x0 == pytest.approx(20, abs=1)
    assert z1 - z0 == pytest.approx(10, abs=1)


def test_priors_move_towards_real_lesions_but_not_to_one_of_them():
    scan = ball_host(tumor_radius_mm=10.0)
    seen = measure_lesion(scan.hu, scan.tumor_mask, scan.spacing, organ=scan.organ_mask)
    odd = dataclasses.replace(seen, contrast_hu=-70.0)
    prior = PRIORS["liver"]
    one, many = fit_prior(prior, [odd]), fit_prior(prior, [odd] * 30)
    assert prior.contrast > one.contrast > many.contrast > -70.0
    assert many.contrast == pytest.approx(-67.0, abs=1.5)
    assert many.fitted_from == 30
    assert one.contrast_sd > 0
    assert fit_prior(prior, []) is prior


@pytest.mark.parametrize(
    ("label", "organ"),
    [
        ("Liver", "liver"),
        ("kidneys", "kidney"),
        ("kidney_left", "kidney"),
        ("left lung", "lung"),
        ("lungs", "lung"),
        ("gallbladder", "gallbladder"),
    ],
)
def test_organ_labels_are_understood(label, organ):
    assert canonical_organ(label) == organ
    assert prior_for(label).organ == organ


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"diameter_mm": (30.0, 8.0)}, "reversed: 30 mm is more than 8 mm"),
        ({"diameter_mm": (0.0, 8.0)}, "must be positive"),
        ({"diameter_mm": (5.0, 8.0), "mass_effect": 2.0}, "from 0 to 1"),
        ({"diameter_mm": (5.0, 8.0), "max_attempts": 0}, "At least one attempt"),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        LesionSpec(**fields)


def test_rejected_tries_are_kept_with_reason_and_scores():
    from synthesis.engine.generators import Painted, get_generator

    class Shy:
        name, version = "shy", "0"
        tries = 0

        def paint(self, rng, host, lesion, prior, mass_effect):
            self.tries += 1
            if self.tries > 2:
                return get_generator("textural").paint(rng, host, lesion, prior, mass_effect)
            change = np.full(host.hu.shape, -2.0, np.float32)
            return Painted(change, np.ones_like(change), {})

    outcome = synthesize(prepare(ball_host()), LesionSpec((10.0, 14.0)), Shy(), 1)
    assert outcome.verdict.attempts == 3
    assert [r.attempt for r in outcome.rejected] == [1, 2]
    assert all(isinstance(r, Rejected) for r in outcome.rejected)
    assert "too faint" in outcome.rejected[0].reason
    assert outcome.rejected[0].scores["voxels"] > 0


def test_a_generator_that_never_passes_ends_in_no_placement():
    class Idle:
        name, version = "idle", "0"

        def paint(self, rng, host, lesion, prior, mass_effect):
            from synthesis.engine.generators import Painted

            return Painted(np.zeros_like(host.hu), np.zeros_like(host.hu), {})

    outcome = synthesize(prepare(ball_host()), LesionSpec((10.0, 14.0), 0, 3), Idle(), 1)
    assert isinstance(outcome.verdict, NoPlacement)
    assert outcome.verdict.attempts == 3
    assert outcome.verdict.reason.startswith("In 3 attempts the generator changed no voxel")


def test_no_placement_tells_too_small_an_organ_from_one_without_a_free_place():
    from synthesis.engine.generators import get_generator

    host, textural = ball_host(), get_generator("textural")
    small = synthesize(prepare(host), LesionSpec((110.0, 110.0)), textural, 1).verdict
    assert isinstance(small, NoPlacement)
    assert small.reason.endswith("mm thick; choose smaller lesions or another scan.")
    # two tissues in turn: no lesion lies in one of them alone
    hu = host.hu.copy()
    hu[:, :, np.arange(hu.shape[2]) // 6 % 2 == 0] += 400
    mixed = dataclasses.replace(host, hu=hu)
    full = synthesize(prepare(mixed), LesionSpec((12.0, 14.0)), textural, 1).verdict
    assert isinstance(full, NoPlacement)
    assert "and every place tried crosses its edge" in full.reason


def test_no_placement_says_what_the_checks_minded_most():
    """A ball of 4 mm is hardly a voxel on a grid of 3 mm."""
    from synthesis.engine.generators import get_generator

    prepared = prepare(ball_host((3.0, 3.0, 3.0)))
    outcome = synthesize(prepared, LesionSpec((4.0, 4.0)), get_generator("textural"), 1)
    assert isinstance(outcome.verdict, NoPlacement)
    assert outcome.verdict.attempts == len(outcome.rejected) == 12
    assert "None of 12 lesions" in outcome.verdict.reason
    assert "covers 1 voxels" in outcome.verdict.reason


def test_robust_sd_of_gaussian_values():
    values = np.random.default_rng(0).normal(0, 7, 20_000)
    assert robust_sd(values) == pytest.approx(7.0, rel=0.03)


def test_scan_is_left_alone():
    from synthesis.engine.generators import get_generator

    scan: Scan = ball_host()
    before = scan.hu.copy()
    synthesize(prepare(scan), LesionSpec((10.0, 14.0), 1.0), get_generator("textural"), 1)
    assert np.array_equal(scan.hu, before)
