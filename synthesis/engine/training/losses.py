"""The losses of both stages.

Every term is a sum over voxels or lesions divided by a count over the *whole* step, all
processes and forward passes together (``Counts``). Sums of such terms, and of their gradients,
are therefore the same however a step is split.

F is the inserted lesion's mask, R that of real tumors, B the organs without any tumor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from synthesis.engine.training.config import Loss
from synthesis.engine.training.statistics import LesionStatistics, distance_from_real

#: Keeps empty masks from dividing by zero, as in the published code.
_EPSILON = 1e-6
#: Classes of the discriminator.
BODY, REAL, FAKE = 0, 1, 2
#: Within this many standard deviations of the real mean a lesion's statistics are left alone.
_FREE_SD = 0.5
#: The rim is where the soft mask lies between these.
_RIM = (0.05, 0.95)


# -- stage 1 -------------------------------------------------------------------------------------


def marginal_cross_entropy(logits: Tensor, label: Tensor, allowed: Tensor) -> Tensor:
    """Sum over voxels of the negative log of all probability that the label allows.

    Args:
        logits: (B, C, D, H, W).
        label: (B, D, H, W), values below C.
        allowed: (B, C, C), which classes a label may really be (``crops.allowed_classes``).

    With every class annotated this is plain cross-entropy.
    """
    log_p = functional.log_softmax(logits.float(), dim=1)
    batch = torch.arange(len(label), device=label.device)[:, None, None, None]
    may_be = allowed[batch, label].movedim(-1, 1)
    return -torch.logsumexp(log_p.masked_fill(~may_be, -torch.inf), dim=1).sum()


def marginal_dice(logits: Tensor, label: Tensor, allowed: Tensor, annotated: Tensor) -> Tensor:
    """Sum over (sample, annotated class) of 1 - soft Dice of the label's allowed probability.

    Shapes as above; ``annotated`` is (B, C). Background never counts.
    """
    p = torch.softmax(logits.float(), dim=1)
    merged = torch.einsum("blc,bcdhw->bldhw", allowed.float(), p)
    target = functional.one_hot(label, logits.shape[1]).movedim(-1, 1).float()
    dims = (2, 3, 4)
    overlap = (merged * target).sum(dims)
    total = merged.sum(dims) + target.sum(dims)
    dice = (2.0 * overlap + 1.0) / (total + 1.0)
    return ((1.0 - dice) * foreground(annotated)).sum()


def foreground(annotated: Tensor) -> Tensor:
    """(B, C) annotated classes without the background, as numbers."""
    out = annotated.float().clone()
    out[:, 0] = 0.0
    return out


def cutmix(hu: Tensor, label: Tensor, annotated: Tensor, cut: Sequence[float]) -> None:
    """Swap one slab between each two neighbors of the batch, in place.

    One axis, one slab, for image and label alike; only between samples that annotate the same
    classes.

    Args:
        hu: (B, 1, D, H, W).
        label: (B, D, H, W).
        annotated: (B, C).
        cut: three numbers in 0..1: axis, start and thickness of the slab.
    """
    axis = min(int(cut[0] * 3), 2)
    side = label.shape[1 + axis]
    thick = max(1, round(cut[2] * side / 2))
    start = int(cut[1] * (side - thick + 1))
    for a in range(0, len(label) - 1, 2):
        if not torch.equal(annotated[a], annotated[a + 1]):
            continue
        for array, dim in ((hu, 1 + axis), (label, axis)):
            first = array[a].narrow(dim, start, thick)
            second = array[a + 1].narrow(dim, start, thick)
            kept = first.clone()
            first.copy_(second)
            second.copy_(kept)


# -- stage 2 -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Counts:
    """What the terms of a step are divided by: voxels of F, R and B, lesions, rim voxels.

    ``share`` is the part of the step that one forward pass is, for constants to be split evenly.
    """

    inserted: float
    real: float
    body: float
    lesions: float
    rim: float
    share: float = 1.0

    @staticmethod
    def of(items: Sequence[Mapping[str, Tensor]]) -> Tensor:
        """The counts of some batches, as a tensor that processes can add up."""
        total = torch.zeros(5, dtype=torch.float64)
        for item in items:
            hard, soft = item["hard"], item["soft"]
            parts = (hard, item["real"], item["body"], item["has"], rim_of(soft))
            total += torch.tensor([float(part.sum()) for part in parts], dtype=torch.float64)
        return total

    @classmethod
    def from_tensor(cls, total: Tensor, passes: int = 1) -> Counts:
        """Of added-up counts and the number of forward passes they come from."""
        inserted, real, body, lesions, rim = (float(v) for v in total.tolist())
        return cls(inserted, real, body, lesions, rim, 1.0 / passes)


def rim_of(soft: Tensor) -> Tensor:
    """Voxels of the lesion's soft edge."""
    return (soft > _RIM[0]) & (soft < _RIM[1])


def discriminator_targets(item: Mapping[str, Tensor]) -> Tensor:
    """(B, D, H, W) class of each voxel for the discriminator, -1 where it has nothing to learn.

    Only inserted voxels are ever ``FAKE``: an untouched organ never is, of whatever organ.
    """
    target = torch.full_like(item["hard"][:, 0], -1, dtype=torch.int64)
    target[item["body"][:, 0]] = BODY
    target[item["real"][:, 0]] = REAL
    target[item["hard"][:, 0]] = FAKE
    return target


def discriminator_loss(logits: Tensor, target: Tensor, counts: Counts, loss: Loss) -> Tensor:
    """One batch's part of the discriminator's loss; see ``Loss.adversarial``.

    Args:
        logits: (B, 3, D, H, W).
        target: see ``discriminator_targets``.
        counts: of the whole step.
    """
    logits = logits.float()
    if loss.adversarial == "paper":
        p = torch.softmax(logits, dim=1)
        fake = p[:, FAKE][target == FAKE].sum() / (counts.inserted + _EPSILON)
        real = p[:, REAL][target == REAL].sum() / (counts.real + _EPSILON)
        return counts.share - 0.5 * fake - 0.5 * real
    weights = {BODY: counts.body, REAL: counts.real, FAKE: counts.inserted}
    present = [kind for kind, count in weights.items() if count > 0]
    total = logits.sum() * 0.0
    for kind in present:
        chosen = target == kind
        if not chosen.any():
            continue
        here = logits.movedim(1, -1)[chosen]
        total = total + _voxel_loss(here, kind, loss).sum() / weights[kind] / len(present)
    return total


def _voxel_loss(here: Tensor, kind: int, loss: Loss) -> Tensor:
    """Loss of each voxel (n, 3) that ought to be ``kind``."""
    if loss.adversarial == "hinge" and kind != BODY:
        margin = here[:, REAL] - here[:, FAKE]
        return functional.relu(1.0 - (margin if kind == REAL else -margin))
    return functional.cross_entropy(
        here, torch.full((len(here),), kind, device=here.device), reduction="none"
    )


def fooling_loss(logits: Tensor, hard: Tensor, counts: Counts, loss: Loss) -> Tensor:
    """How far inserted voxels are from passing for real tumor; one batch's part.

    Args:
        logits: of the discriminator, (B, 3, D, H, W).
        hard: F, (B, 1, D, H, W).
        counts: of the whole step.
    """
    here = logits.float().movedim(1, -1)[hard[:, 0]]
    if loss.adversarial == "paper":
        found = torch.softmax(here, dim=1)[:, REAL].sum()
        return counts.share - found / (counts.inserted + _EPSILON)
    each = (
        here[:, FAKE] - here[:, REAL]
        if loss.adversarial == "hinge"
        else -functional.log_softmax(here, dim=1)[:, REAL]
    )
    return each.sum() / max(counts.inserted, 1.0)


def recognition_loss(
    logits: Tensor,
    item: Mapping[str, Tensor],
    tumors: Sequence[int],
    counts: Counts,
    loss: Loss,
) -> Tensor:
    """How far the segmentor is from seeing the inserted lesions; one batch's part.

    Args:
        logits: of the segmentor, (B, C, D, H, W).
        item: the batch.
        tumors: the segmentor's tumor class of each organ, in the generator's order.
        counts: of the whole step.
    """
    logits, hard = logits.float(), item["hard"][:, 0]
    if loss.segmentor == "paper":
        found = torch.softmax(logits, dim=1)[:, list(tumors)].sum(dim=1)[hard].sum()
        return counts.share - found / (counts.inserted + _EPSILON)
    own = torch.tensor(tumors, device=logits.device)[item["organ"]]
    rows = torch.arange(len(own), device=own.device)
    log_p = functional.log_softmax(logits, dim=1)[rows, own]
    entropy = -log_p[hard].sum() / max(counts.inserted, 1.0)
    # Real tumors are nobody's mistake here.
    p = log_p.exp() * ~item["tumor"][:, 0]
    dims = (1, 2, 3)
    overlap, total = (p * hard).sum(dims), p.sum(dims) + hard.sum(dims)
    dice = (1.0 - (2.0 * overlap + 1.0) / (total + 1.0)) * item["has"]
    return entropy + dice.sum() / max(counts.lesions, 1.0)


def statistics_loss(
    made: Tensor,
    item: Mapping[str, Tensor],
    statistics: Sequence[LesionStatistics],
    counts: Counts,
) -> Tensor:
    """How far each lesion's HU quantiles lie outside those of its organ's real lesions.

    Huber loss of the distance in standard deviations of the real lesions beyond the first half
    of one: this is what keeps the contrast from collapsing.

    Args:
        made: HU with the lesions, (B, 1, D, H, W).
        item: the batch.
        statistics: of each organ, in class order.
        counts: of the whole step.
    """
    total = made.sum() * 0.0
    for row in torch.nonzero(item["has"])[:, 0].tolist():
        real = statistics[int(item["organ"][row])]
        mask, soft = item["hard"][row, 0], item["soft"][row, 0]
        off = distance_from_real(made[row, 0], mask, soft, item["reference"][row], real)
        beyond = functional.relu(off.abs() - _FREE_SD)
        total = total + functional.smooth_l1_loss(beyond, torch.zeros_like(beyond))
    return total / max(counts.lesions, 1.0)


def rim_loss(field: Tensor, soft: Tensor, bounds: Tensor, counts: Counts) -> Tensor:
    """Total variation of the change at the lesion's rim, in units of each organ's bound.

    Args:
        field: change in HU as if the lesion filled the crop, (B, 1, D, H, W).
        soft: soft mask, same shape.
        bounds: (B,) HU.
        counts: of the whole step.
    """
    scaled, rim = field.float() / bounds[:, None, None, None, None], rim_of(soft)
    total = scaled.sum() * 0.0
    for axis in (2, 3, 4):
        steps = scaled.diff(dim=axis).abs()
        total = total + (steps * rim.narrow(axis, 0, steps.shape[axis])).sum()
    return total / max(3.0 * counts.rim, 1.0)


def procedural_loss(
    change: Tensor, item: Mapping[str, Tensor], bounds: Tensor, counts: Counts
) -> Tensor:
    """Mean absolute distance to the procedural lesion inside F, in units of each organ's bound."""
    gap = (change.float() - item["procedural"]).abs() / bounds[:, None, None, None, None]
    return (gap * item["hard"]).sum() / max(counts.inserted, 1.0)


def r1_penalty(logits: Tensor, image: Tensor, real: Tensor, counts: Counts) -> Tensor:
    """Half the squared gradient of the realness of real tumors by the image (R1).

    Args:
        logits: of the discriminator on ``image``, (B, 3, D, H, W).
        image: its input, requiring gradients.
        real: R, (B, 1, D, H, W).
        counts: of the whole step.
    """
    realness = (logits.float()[:, REAL] - logits.float()[:, FAKE])[real[:, 0]].sum()
    if not realness.requires_grad or not bool(real.any()):
        return logits.sum() * 0.0
    (gradient,) = torch.autograd.grad(realness, image, create_graph=True)
    return 0.5 * gradient.square().sum() / max(counts.real, 1.0)
