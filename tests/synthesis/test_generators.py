"""What every generator owes: the same class of tests runs on each of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthesis.engine.arrays import HU_MAX, HU_MIN
from synthesis.engine.generators import generator_names, get_generator
from synthesis.engine.measure import measure_lesion
from synthesis.engine.pipeline import prepare, synthesize
from synthesis.engine.records import Accepted, LesionSpec, NoPlacement
from synthesis.engine.textures import split_host

from . import weights
from .hosts import GRIDS, ball_host

quick = settings(max_examples=8, deadline=None)


#: Every entry of the registry, in every mode it has.
MADE = {
    "textural": lambda: get_generator("textural"),
    "freetumor-conditional": weights.conditional,
    "freetumor-hybrid": weights.hybrid,
    "freetumor-published": weights.published,
}


@pytest.fixture(scope="module", params=MADE)
def generator(request):
    return MADE[request.param]()


def test_the_shared_class_runs_on_every_registered_generator():
    assert {name.partition("-")[0] for name in MADE} == set(generator_names())


@pytest.fixture(scope="module")
def liver():
    return prepare(ball_host())


class TestEveryGenerator:
    @given(seed=st.integers(0, 10**6), mass_effect=st.sampled_from([0.0, 0.5, 1.0]))
    @quick
    def test_D11_voxels_outside_the_feather_keep_their_bits(
        self, generator, liver, seed, mass_effect
    ):
        outcome = synthesize(liver, LesionSpec((6.0, 24.0), mass_effect), generator, seed)
        assert isinstance(outcome.verdict, Accepted)
        lesion, before = outcome.verdict.lesion, liver.scan.hu
        after = lesion.apply(before)
        feather = np.zeros(before.shape)
        feather[lesion.box.slices] = lesion.feather
        assert np.array_equal(after[feather == 0], before[feather == 0])
        assert (after != before).sum() >= 0.5 * lesion.mask.sum() > 0
        assert after.dtype == np.int16
        assert np.array_equal(
            after[lesion.box.slices].astype(int) - before[lesion.box.slices], lesion.residual
        )

    def test_O13_the_same_seed_gives_the_same_bytes(self, generator, liver):
        spec = LesionSpec((8.0, 20.0), 0.5)
        first, again, other = (synthesize(liver, spec, generator, s) for s in (7, 7, 8))
        assert first.verdict.lesion.sha256 == again.verdict.lesion.sha256
        assert first.verdict.lesion.sha256 != other.verdict.lesion.sha256

    @pytest.mark.parametrize("spacing", GRIDS.values(), ids=GRIDS)
    def test_the_lesion_is_in_the_organ_and_of_the_wanted_size(self, generator, spacing):
        prepared = prepare(ball_host(spacing))
        for seed in range(4):
            outcome = synthesize(prepared, LesionSpec((9.0, 18.0)), generator, seed)
            lesion = outcome.verdict.lesion
            assert prepared.scan.organ_mask[lesion.box.slices][lesion.mask].mean() > 0.99
            measured = measure_lesion(
                lesion.apply(prepared.scan.hu),
                _full(lesion, prepared),
                spacing,
                organ=prepared.scan.organ_mask,
            )
            assert 9.0 * 0.9 <= measured.diameter_mm <= 18.0 * 1.1
            assert measured.diameter_mm == pytest.approx(lesion.diameter_mm, rel=0.1)

    def test_a_real_tumor_is_never_touched(self, generator):
        prepared = prepare(ball_host(tumor_radius_mm=12.0))
        for seed in range(5):
            lesion = synthesize(prepared, LesionSpec((5.0, 9.0), 1.0), generator, seed)
            lesion = lesion.verdict.lesion
            tumor = prepared.scan.tumor_mask[lesion.box.slices]
            assert not (tumor & (lesion.residual != 0)).any()

    def test_hu_stay_in_range(self, generator):
        prepared = prepare(ball_host(organ_hu=3060.0, noise_hu=3.0))
        spec = LesionSpec((12.0, 12.0))
        for seed in range(3):
            outcome = synthesize(prepared, spec, generator, seed)
            for lesion in [r.lesion for r in outcome.rejected] + [
                getattr(outcome.verdict, "lesion", None)
            ]:
                if lesion is not None:
                    after = lesion.apply(prepared.scan.hu)
                    changed = after[lesion.box.slices][lesion.residual != 0]
                    assert changed.min() >= HU_MIN
                    assert changed.max() <= HU_MAX

    def test_no_room_is_said_in_a_sentence(self, generator):
        prepared = prepare(ball_host(radius_mm=8.0))
        verdict = synthesize(prepared, LesionSpec((40.0, 60.0)), generator, 1).verdict
        assert isinstance(verdict, NoPlacement)
        assert "40 to 60 mm" in verdict.reason
        assert "choose smaller lesions" in verdict.reason

    def test_it_does_not_depend_on_global_random_state(self, generator, liver):
        spec = LesionSpec((10.0, 10.0))
        np.random.seed(1)  # noqa: NPY002
        first = synthesize(liver, spec, generator, 3).verdict.lesion.sha256
        np.random.seed(2)  # noqa: NPY002
        assert synthesize(liver, spec, generator, 3).verdict.lesion.sha256 == first


def _full(lesion, prepared):
    mask = np.zeros(prepared.scan.hu.shape, bool)
    mask[lesion.box.slices] = lesion.mask
    return mask


def test_an_unknown_generator_names_the_known_ones():
    with pytest.raises(ValueError, match="choose one of: textural"):
        get_generator("dall-e")


ORGANS = [("liver", 110.0), ("kidney", 185.0), ("pancreas", 95.0), ("lung", -860.0)]


class TestTextural:
    """The procedural generator's own promises."""

    @pytest.mark.parametrize(("organ", "organ_hu"), ORGANS)
    def test_contrast_has_the_organs_sign(self, organ, organ_hu):
        sign = 1 if organ == "lung" else -1
        prepared = prepare(ball_host(organ=organ, organ_hu=organ_hu))
        outcome = synthesize(prepared, LesionSpec((12.0, 20.0)), get_generator("textural"), 5)
        assert np.sign(outcome.verdict.scores["contrast_hu"]) == sign
        assert np.sign(outcome.verdict.scores["mean_change_hu"]) == sign

    @pytest.mark.parametrize("spacing", GRIDS.values(), ids=GRIDS)
    @pytest.mark.parametrize(("organ", "organ_hu"), ORGANS)
    @pytest.mark.parametrize("noise_hu", [6.0, 25.0])
    def test_noise_inside_stays_within_0_8_to_1_25_of_that_around(
        self, organ, organ_hu, noise_hu, spacing
    ):
        """Of first tries, not of those that a gate let through; large, for a steady measure."""
        prepared = prepare(ball_host(spacing, organ=organ, organ_hu=organ_hu, noise_hu=noise_hu))
        ratios = []
        for seed in range(2):
            spec = LesionSpec((25.0, 30.0), max_attempts=1)
            outcome = synthesize(prepared, spec, get_generator("textural"), seed)
            verdict = outcome.rejected[0] if outcome.rejected else outcome.verdict
            if "noise_ratio" in getattr(verdict, "scores", {}):
                ratios.append(verdict.scores["noise_ratio"])
        assert len(ratios) >= 1, ratios
        assert all(0.8 <= ratio <= 1.25 for ratio in ratios), ratios

    def test_the_texture_is_scaled_to_the_noise_around_where_the_split_is_off(self, monkeypatch):
        from synthesis.engine.generators import textural

        def louder(*arguments):
            split = split_host(*arguments)
            return replace(split, noise=1.7 * split.noise)

        monkeypatch.setattr(textural, "split_host", louder)
        prepared = prepare(ball_host())
        spec = LesionSpec((25.0, 30.0), max_attempts=1)
        verdict = synthesize(prepared, spec, textural.TexturalGenerator(), 1).verdict
        assert isinstance(verdict, Accepted)
        assert 0.8 <= verdict.scores["noise_ratio"] <= 1.25

    def test_mass_effect_moves_tissue_around_the_lesion(self, liver):
        textural = get_generator("textural")
        still = synthesize(liver, LesionSpec((18.0, 18.0), 0.0), textural, 2).verdict.lesion
        pushed = synthesize(liver, LesionSpec((18.0, 18.0), 1.0), textural, 2).verdict.lesion
        assert (pushed.feather > 0).sum() > 1.5 * (still.feather > 0).sum()
        assert pushed.mask.sum() == still.mask.sum()

    def test_vessels_do_not_run_through_the_lesion(self):
        scan = ball_host(organ="lung", organ_hu=-860.0)
        middle = scan.hu.shape[1] // 2
        for y in range(middle - 24, middle + 24, 10):
            scan.hu[:, y : y + 2, :] = np.where(
                scan.organ_mask[:, y : y + 2, :], -300, scan.hu[:, y : y + 2, :]
            )
        prepared = prepare(scan)
        lesion = synthesize(prepared, LesionSpec((16.0, 16.0)), get_generator("textural"), 1)
        lesion = lesion.verdict.lesion
        solid = lesion.feather > 0.98
        after = lesion.apply(scan.hu)[lesion.box.slices]
        vessel = scan.hu[lesion.box.slices] == -300
        assert (solid & vessel).sum() > 30
        gap = after[solid & vessel].mean() - after[solid & ~vessel].mean()
        assert abs(gap) < 25  # of 560 HU before
