"""Machines that read: one set of rules for all of them, and what each is there to notice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from recognition.engine.readers import cnn, forensic, logistic, radiomics
from recognition.engine.readers.cnn import Cnn
from recognition.engine.readers.folds import grouped_folds
from recognition.engine.readers.gate import Gate
from recognition.engine.readers.rating import Cuts, learn_cuts
from recognition.engine.readers.reading import Examples, read, shortage
from recognition.engine.readers.registry import (
    Tools,
    get_machine,
    learns,
    machine_names,
    title_of,
)
from recognition.engine.readers.view import View

from .views import SPACING, arms, auc, lesion_view

SMALL = cnn.Settings(shape=(8, 20, 20), step_mm=(5.0, 2.0, 2.0), width=4, most_steps=25)
LONGER = replace(SMALL, most_steps=80)


class Threshold:
    """A segmentor that takes what is darker than its crop's median for a tumor."""

    name = "threshold"
    tumor_labels = {2: "liver"}

    def segment(self, hu, spacing_zyx):
        return np.where(hu < np.median(hu) - 20, 2, 0).astype(np.uint8)


def machine(name):
    if name == "cnn":
        return Cnn(SMALL)
    return get_machine(name, Tools(segmenter=Threshold()))


def inputs(reader, views):
    return np.stack([reader.prepare(view) for view in views])


@pytest.fixture(scope="module")
def same_arms():
    return arms(3, 30)


@pytest.fixture(scope="module")
def noisy_arms():
    return arms(4, 24, "noise")


def out_of_fold(reader, made):
    views, synthetic, patients = made
    prepared = inputs(reader, views)
    done = read(reader, prepared[:4], Examples(prepared, synthetic, patients), (1,))
    return auc(done.out_of_fold, synthetic)


@pytest.mark.parametrize("name", machine_names())
class TestEveryMachine:
    def test_says_what_it_is_and_looks_at(self, name):
        reader = machine(name)
        assert reader.name == name
        assert reader.title == title_of(name)
        assert reader.trained is learns(name)
        assert len(reader.looks_at) > 20

    def test_prepares_finite_shapes_alike_for_any_view(self, name):
        rng = np.random.default_rng(0)
        reader = machine(name)
        shapes = {reader.prepare(lesion_view(rng, how)).shape for how in ("", "noise")}
        flat = View(np.zeros((3, 9, 9), np.int16), SPACING, ((0, 3), (2, 7), (2, 7)))
        shapes.add(reader.prepare(flat).shape)
        assert len(shapes) == 1

    def test_same_seed_same_scores_and_no_global_state(self, name, noisy_arms):
        reader = machine(name)
        prepared = inputs(reader, noisy_arms[0][:28])
        examples = Examples(prepared, np.arange(28) % 2 == 0, [f"P{k // 4}" for k in range(28)])
        before = torch.get_rng_state()
        told = []
        one = read(reader, prepared[:6], examples, (5, 1), told.append)
        two = read(machine(name), prepared[:6], examples, (5, 1))
        assert np.array_equal(one.scores, two.scores)
        assert np.array_equal(one.out_of_fold, two.out_of_fold)
        assert torch.equal(before, torch.get_rng_state())
        assert told == sorted(told)
        assert not told or told[-1] == pytest.approx(1.0)
        assert set(one.ratings) <= set(range(1, 7))
        assert np.isfinite(one.scores).all()

    def test_what_the_cases_are_never_enters(self, name, noisy_arms):
        """A case's score is the same alone and among others."""
        views, synthetic, patients = noisy_arms
        reader = machine(name)
        prepared = inputs(reader, views)
        examples = Examples(prepared[8:], synthetic[8:], patients[8:])
        all_of_them = read(reader, prepared[:8], examples, (2,))
        alone = read(reader, prepared[3:4], examples, (2,))
        assert alone.scores[0] == pytest.approx(all_of_them.scores[3], abs=1e-6)
        assert alone.cuts == all_of_them.cuts


# ------------------------------------------------------------------------------------ what they see


@pytest.mark.parametrize("name", [name for name in machine_names() if learns(name)])
def test_nothing_is_learned_from_arms_made_alike(name, same_arms):
    assert 0.3 < out_of_fold(machine(name), same_arms) < 0.7


def test_the_forensic_reader_notices_wrong_noise(noisy_arms):
    assert out_of_fold(machine("forensic"), noisy_arms) > 0.97


@pytest.mark.parametrize("tamper", ["edge", "rounding"])
def test_the_forensic_reader_notices_other_traces(tamper):
    assert out_of_fold(machine("forensic"), arms(6, 20, tamper)) > 0.9


def test_the_network_notices_wrong_noise(noisy_arms):
    assert out_of_fold(Cnn(LONGER), noisy_arms) > 0.85


def test_radiomics_of_a_ball_are_those_of_a_ball():
    z, y, x = np.indices((40, 60, 60))
    inside = (z - 20) ** 2 + (y - 30) ** 2 + (x - 30) ** 2 < 10**2
    rng = np.random.default_rng(1)
    hu = (np.where(inside, 60, 110) + rng.normal(0, 3, inside.shape)).astype(np.int16)
    view = View(hu, (1.0, 1.0, 1.0), ((4, 37), (14, 47), (14, 47)), margin_mm=6.0)
    found = dict(zip(radiomics.FEATURES, radiomics.features(view), strict=True))
    assert found["mean"] == pytest.approx(-50, abs=2)
    assert found["diameter"] == pytest.approx(20, abs=0.6)
    assert found["sphericity"] == pytest.approx(1.0, abs=0.08)
    assert found["elongation"] == pytest.approx(1.0, abs=0.03)


def test_features_do_not_depend_on_where_zero_is():
    """All HU moved by 40: nothing of the lesion has changed (but the last digit of odd moves)."""
    view = lesion_view(np.random.default_rng(2))
    moved = View((view.hu + 40).astype(np.int16), view.spacing, view.box)
    for features in (radiomics.features, forensic.features):
        assert np.allclose(features(view), features(moved), equal_nan=True, atol=1e-4)


def test_the_gate_reads_the_share_that_is_called_a_tumor():
    gate = Gate(Threshold())
    view = lesion_view(np.random.default_rng(5))
    share = gate.prepare(view)[0]
    assert share > 0.9
    done = read(gate, np.array([[1.0], [0.8], [0.7], [0.69], [0.3], [0.0]]), None, (0,))
    assert done.ratings.tolist() == [1, 2, 3, 4, 5, 6]
    assert done.scores.tolist() == pytest.approx([0.0, 0.2, 0.3, 0.31, 0.7, 1.0])


# --------------------------------------------------------------------------- folds and thresholds


def test_folds_keep_patients_whole_and_arms_even():
    rng = np.random.default_rng(0)
    groups = [f"P{k}" for k in rng.integers(0, 17, 90)]
    synthetic = rng.random(90) < 0.5
    folds = grouped_folds(groups, synthetic, np.random.default_rng(1))
    assert set(folds) == set(range(5))
    for group in set(groups):
        assert len({f for f, g in zip(folds, groups, strict=True) if g == group}) == 1
    for fold in range(5):
        assert 3 <= synthetic[folds == fold].sum() <= 16


def test_one_patient_cannot_be_both_learned_from_and_tested():
    with pytest.raises(ValueError, match="at least two patients"):
        grouped_folds(["A"] * 3 + ["B"] * 3, np.repeat([True, False], 3), np.random.default_rng(0))


def test_thresholds_part_the_arms_and_then_each_side():
    scores = np.array([0.1, 0.2, 0.3, 0.7, 0.8, 0.9])
    cuts = learn_cuts(scores, scores > 0.5)
    assert cuts.side == pytest.approx(0.5)
    assert cuts.rate(scores).tolist() == [1, 2, 3, 4, 5, 6]
    assert cuts.rate(np.array([-9.0, 0.5, 0.51, 9.0])).tolist() == [1, 3, 4, 6]


def test_thresholds_of_a_machine_that_says_one_thing_only():
    cuts = learn_cuts(np.full(6, 0.4), np.arange(6) < 3)
    assert set(cuts.rate(np.full(3, 0.4))) == {1}


def test_thresholds_that_fall_are_refused():
    with pytest.raises(ValueError, match="must not fall"):
        Cuts(0.5, 0.4, 0.6, 0.7, 0.8)


def test_too_few_lesions_are_named():
    enough = [False] * 10 + [True] * 10
    patients = [f"P{k}" for k in range(20)]
    assert shortage(enough, patients) == ""
    assert shortage(enough[:-1], patients[:-1]).startswith("9 accepted synthetic lesions")
    assert "one patient" in shortage(enough, ["A"] * 10 + patients[10:])
    few = Examples(np.zeros((4, 3)), np.array([True, False, True, False]), list("ABCD"))
    with pytest.raises(ValueError, match="at least 10 of each arm"):
        read(machine("radiomics"), np.zeros((1, 3)), few, (0,))


def test_logistic_agrees_with_statsmodels():
    """Without a penalty and with arms of one size it is the ordinary regression."""
    import statsmodels.api as sm

    rng = np.random.default_rng(8)
    x = rng.normal(size=(200, 2))
    chance = 1 / (1 + np.exp(-(x @ np.array([0.8, -0.5]))))
    y = rng.random(200) < chance
    drop = np.flatnonzero(y if y.sum() > 100 else ~y)[: abs(200 - 2 * int(y.sum()))]
    x, y = np.delete(x, drop, axis=0), np.delete(y, drop)
    own = logistic.fit(x, y, ridge=1e-9)
    other = sm.Logit(y.astype(float), sm.add_constant(x)).fit(disp=0)
    assert np.allclose(own(x), other.predict(sm.add_constant(x)), atol=2e-3)


def test_logistic_needs_both_arms_and_survives_unknown_values():
    with pytest.raises(ValueError, match="Both arms"):
        logistic.fit(np.zeros((3, 1)), np.ones(3, bool))
    x = np.array([[np.nan, 1.0], [np.nan, 2.0], [np.nan, 5.0], [np.nan, 6.0]])
    scores = logistic.fit(x, np.array([False, False, True, True]), ridge=0.1)(x)
    assert auc(scores, np.array([False, False, True, True])) == 1.0


def test_unknown_machines_and_missing_tools_are_refused():
    with pytest.raises(ValueError, match="no machine 'tarot'"):
        get_machine("tarot")
    with pytest.raises(ValueError, match="needs a segmentor"):
        get_machine("gate")


def test_a_marker_outside_its_block_is_refused():
    with pytest.raises(ValueError, match="does not lie"):
        View(np.zeros((3, 3, 3), np.int16), SPACING, ((0, 3), (0, 4), (0, 3)))
