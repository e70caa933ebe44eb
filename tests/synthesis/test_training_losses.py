"""The losses, held to their formulas and to the defects of the published training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from synthesis.engine.training import losses
from synthesis.engine.training.config import PAPER_LOSS, Loss, Organ
from synthesis.engine.training.crops import allowed_classes
from synthesis.engine.training.losses import BODY, FAKE, REAL, Counts
from synthesis.engine.training.statistics import (
    LesionStatistics,
    distance_from_real,
    lesion_statistics,
)

PAPER = Loss.model_validate(PAPER_LOSS)


def draw(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))


def batch(size=2, side=8, *, real=True):
    """A batch by hand: a lesion in each sample, organ 0 and 1, real tumors in the corner."""
    hard = torch.zeros(size, 1, side, side, side, dtype=torch.bool)
    hard[:, :, 2:5, 2:5, 2:5] = True
    tumor = torch.zeros_like(hard)
    if real:
        tumor[:, :, 6:, 6:, 6:] = True
    return {
        "hu": 100 + 10 * draw(size, 1, side, side, side),
        "organ": torch.arange(size) % 2,
        "hard": hard,
        "soft": torch.where(hard, 0.9, 0.0),
        "tumor": tumor,
        "real": tumor,
        "body": ~hard & ~tumor,
        "has": torch.ones(size, dtype=torch.bool),
        "reference": torch.full((size,), 100.0),
    }


def counts_of(*items):
    return Counts.from_tensor(Counts.of(items), len(items))


# -- stage 1 ------------------------------------------------------------------------------------


def test_with_every_class_annotated_the_marginal_loss_is_cross_entropy():
    logits, label = draw(2, 5, 4, 4, 4), torch.randint(0, 5, (2, 4, 4, 4))
    allowed = torch.from_numpy(np.stack([allowed_classes((True,) * 5)] * 2))
    mine = losses.marginal_cross_entropy(logits, label, allowed)
    assert torch.allclose(mine, functional.cross_entropy(logits, label, reduction="sum"))


def test_an_organ_that_is_not_annotated_is_not_taught_as_background():
    annotated = (False, True, True, False, False)
    allowed = torch.from_numpy(allowed_classes(annotated))[None]
    label = torch.zeros(1, 2, 2, 2, dtype=torch.int64)
    for kind, free in ((0, True), (3, True), (4, True), (1, False), (2, False)):
        logits = torch.zeros(1, 5, 2, 2, 2)
        logits[:, kind] = 30.0
        loss = float(losses.marginal_cross_entropy(logits, label, allowed))
        assert (loss < 1e-3) == free, kind
        dice = losses.marginal_dice(logits, label, allowed, torch.tensor([annotated]))
        assert (float(dice) < 1e-3) == free, kind


def test_a_tumor_that_is_not_annotated_may_hide_in_its_organ_only():
    allowed = allowed_classes((False, True, False, True, True))
    assert allowed[1].tolist() == [False, True, True, False, False]
    assert allowed[0].tolist() == [True, False, False, False, False]
    assert allowed_classes((False, False, False, True, True))[0].tolist() == [
        True,
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_B7_cutmix_cuts_image_and_label_alike(axis):
    label = torch.randint(0, 3, (2, 6, 7, 8))
    hu = label[:, None].float() * 100
    before = label.clone()
    annotated = torch.ones(2, 3, dtype=torch.bool)
    losses.cutmix(hu, label, annotated, [axis / 3 + 0.01, 0.5, 0.9])
    assert torch.equal(hu[:, 0], label.float() * 100)
    assert not torch.equal(label, before)
    changed = (label != before).any(dim=0)
    spread = [changed.any(dim=tuple(set(range(3)) - {k})).sum().item() for k in range(3)]
    # Along one axis only a slab changed; the other two are cut through whole.
    assert [n < side for n, side in zip(spread, (6, 7, 8))] == [k == axis for k in range(3)]


def test_cutmix_leaves_samples_alone_that_annotate_different_classes():
    hu, label = draw(2, 1, 4, 4, 4), torch.randint(0, 2, (2, 4, 4, 4))
    kept = (hu.clone(), label.clone())
    losses.cutmix(hu, label, torch.tensor([[False, True], [False, False]]), [0.1, 0.1, 0.9])
    assert torch.equal(hu, kept[0])
    assert torch.equal(label, kept[1])


# -- stage 2 ------------------------------------------------------------------------------------


def test_paper_losses_are_the_published_formulas():
    item = batch()
    counts = counts_of(item)
    seen, judged = draw(2, 5, 8, 8, 8, seed=1), draw(2, 3, 8, 8, 8, seed=2)
    inserted, tumor = item["hard"][:, 0], item["real"][:, 0]
    p, s = torch.softmax(judged, 1), torch.softmax(seen, 1)
    segmentor = 1 - (s[:, 2] + s[:, 4])[inserted].mean()
    fool = 1 - p[:, 1][inserted].mean()
    judge = 0.5 * (1 - p[:, 2][inserted].mean()) + 0.5 * (1 - p[:, 1][tumor].mean())
    assert losses.recognition_loss(seen, item, (2, 4), counts, PAPER).item() == pytest.approx(
        segmentor.item(), abs=1e-6
    )
    assert losses.fooling_loss(judged, item["hard"], counts, PAPER).item() == pytest.approx(
        fool.item(), abs=1e-6
    )
    target = losses.discriminator_targets(item)
    assert losses.discriminator_loss(judged, target, counts, PAPER).item() == pytest.approx(
        judge.item(), abs=1e-6
    )


def test_B3_only_inserted_voxels_are_ever_called_fake():
    item = batch()
    target = losses.discriminator_targets(item)
    assert torch.equal(target == FAKE, item["hard"][:, 0])
    assert torch.equal(target == REAL, item["real"][:, 0])
    assert torch.equal(target == BODY, item["body"][:, 0])
    item["hard"].zero_()
    assert not (losses.discriminator_targets(item) == FAKE).any()


@pytest.mark.parametrize("kind", ["ce", "hinge"])
def test_B5_background_and_saturated_voxels_still_teach(kind):
    """1 - p has no gradient where the network is surely wrong, and forgets the background."""
    loss = Loss(adversarial=kind)
    item = batch(real=False)
    target, counts = losses.discriminator_targets(item), counts_of(item)

    def gradient(rule):
        logits = torch.zeros(2, 3, 8, 8, 8)
        logits[:, REAL] = 20.0  # sure, and wrong: nothing here is a real tumor
        logits.requires_grad_()
        losses.discriminator_loss(logits, target, counts, rule).backward()
        return logits.grad

    default, paper = gradient(loss), gradient(PAPER)
    inserted = item["hard"][:, 0]
    assert default[:, FAKE][inserted].abs().sum() > 0.1
    assert paper[:, FAKE][inserted].abs().sum() < 1e-6
    assert default[:, BODY][item["body"][:, 0]].abs().sum() > 0.1
    assert paper[:, BODY][item["body"][:, 0]].abs().sum() == 0
    # Classes are balanced: without real tumors nothing stands in for them, and the few voxels
    # of a lesion weigh as much as the many around it.
    even = torch.zeros(2, 3, 8, 8, 8)
    value = float(losses.discriminator_loss(even, target, counts, Loss()))
    assert value == pytest.approx(np.log(3), abs=1e-5)


@pytest.mark.parametrize("loss", [Loss(), Loss(adversarial="hinge"), PAPER])
def test_a_step_cut_in_parts_has_the_loss_of_the_whole(loss):
    whole = batch(4)
    whole["hard"][1, 0, 2] = False  # samples of different weight
    seen, judged = draw(4, 5, 8, 8, 8, seed=1), draw(4, 3, 8, 8, 8, seed=2)
    field, bounds = draw(4, 1, 8, 8, 8, seed=3), torch.full((4,), 150.0)
    statistics = [LesionStatistics((-30.0,) * 5, (10.0,) * 5, 3)] * 2

    def value(rows, counts):
        item = {key: array[rows] for key, array in whole.items()}
        target = losses.discriminator_targets(item)
        return torch.stack(
            [
                losses.recognition_loss(seen[rows], item, (2, 4), counts, loss),
                losses.fooling_loss(judged[rows], item["hard"], counts, loss),
                losses.discriminator_loss(judged[rows], target, counts, loss),
                losses.statistics_loss(item["hu"], item, statistics, counts),
                losses.rim_loss(field[rows], item["soft"], bounds[rows], counts),
            ]
        )

    parts = [slice(0, 1), slice(1, 4)]
    items = [{key: array[rows] for key, array in whole.items()} for rows in parts]
    shared = Counts.from_tensor(Counts.of(items), 2)
    together = value(slice(0, 4), counts_of(whole))
    assert torch.allclose(sum(value(rows, shared) for rows in parts), together, rtol=1e-5)


def test_statistics_pull_a_lesion_without_contrast_and_leave_a_real_looking_one_alone():
    item = batch(1)
    counts = counts_of(item)
    real = LesionStatistics((-55.0, -48.0, -40.0, -32.0, -25.0), (10.0,) * 5, 8)

    def loss_at(contrast):
        hu = torch.full((1, 1, 8, 8, 8), 100.0)
        spread = torch.linspace(-15, 15, int(item["hard"].sum()))
        hu[item["hard"]] += contrast + spread
        hu.requires_grad_()
        value = losses.statistics_loss(hu, item, [real], counts)
        value.backward()
        return float(value), float(hu.grad[item["hard"]].sum())

    collapsed, pull = loss_at(0.0)
    fine, none = loss_at(-40.0)
    assert collapsed > 1.0
    assert pull > 0  # falling HU lowers the loss
    assert fine < 0.05
    assert abs(none) < pull


def test_R1_is_zero_without_real_tumors_and_punishes_steepness_with_them():
    image = draw(1, 1, 8, 8, 8).requires_grad_()
    steep = torch.cat([image * 0, 3 * image, image * 0], dim=1)
    item = batch(1)
    value = losses.r1_penalty(steep, image, item["real"], counts_of(item))
    assert value.item() == pytest.approx(4.5, rel=1e-4)
    nothing = torch.zeros_like(item["real"])
    assert losses.r1_penalty(steep, image, nothing, counts_of(item)).item() == 0.0


# -- what real lesions look like -----------------------------------------------------------------


def _ball(contrast, weight, reference):
    """HU, mask and soft mask of a lesion that a soft edge dilutes to ``weight`` everywhere."""
    mask = torch.zeros(12, 12, 12, dtype=torch.bool)
    mask[3:9, 3:9, 3:9] = True
    return reference + weight * contrast * mask, mask, weight * mask


def test_a_small_lesion_is_not_asked_for_the_contrast_its_edge_takes():
    real = LesionStatistics((-40.0,) * 5, (5.0,) * 5, 4)
    for weight, compared in ((1.0, 5), (0.85, 5), (0.5, 1)):
        hu, mask, soft = _ball(-40.0, weight, 100.0)
        off = distance_from_real(hu, mask, soft, torch.tensor(100.0), real)
        assert off.shape == (compared,)
        assert torch.allclose(off, torch.zeros(compared), atol=1e-4)
    hu, mask, soft = _ball(-60.0, 0.5, 100.0)
    assert float(distance_from_real(hu, mask, soft, torch.tensor(100.0), real)) == pytest.approx(-4)


def test_a_nodule_in_air_is_held_to_hu_of_its_own():
    real = LesionStatistics((15.0,) * 5, (30.0,) * 5, 1, absolute=True, reference=-835.0)
    assert real.contrast_hu == 850.0
    for air in (-900.0, -700.0):
        hu, mask, soft = _ball(15.0 - air, 1.0, air)
        off = distance_from_real(hu, mask, soft, torch.tensor(air), real)
        assert torch.allclose(off, torch.zeros(5), atol=1e-3)
    lung = Organ(name="lung", bound_hu=1000)
    table = lesion_statistics(lung, 2, [])
    assert (table.absolute, table.contrast_hu) == (True, 850.0)
    assert table.mean[2] == 15.0
    own = lesion_statistics(lung.model_copy(update={"contrast_hu": 380.0}), 2, [])
    assert (own.absolute, own.contrast_hu) == (False, 380.0)
