"""Dice and cross-entropy for volumes that annotate only some of the classes.

A class nobody looked for hides in another one: a tumor in its organ, an organ in the background.
Where a label may mean several classes, their probabilities are added before they are judged
(marginal loss: Shi et al. 2021, Med Image Anal 70:101979). With everything annotated this is
plain Dice plus cross-entropy, without the background in Dice, as published.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def allowed_classes(annotated: Tensor) -> Tensor:
    """(B, C) annotated classes to (B, C, C): whether a label may really be a class.

    Classes come as background, then organ and tumor in turn.
    """
    samples, classes = annotated.shape
    out = torch.eye(classes, dtype=torch.bool, device=annotated.device).repeat(samples, 1, 1)
    for sample in range(samples):
        for organ in range(1, classes, 2):
            shown = bool(annotated[sample, organ])
            if not shown:
                out[sample, 0, organ] = True
            if organ + 1 < classes and not bool(annotated[sample, organ + 1]):
                out[sample, organ if shown else 0, organ + 1] = True
    return out


def dice_cross_entropy(logits: Tensor, label: Tensor, annotated: Tensor) -> Tensor:
    """Mean cross-entropy plus one minus the mean soft Dice of the annotated classes.

    Args:
        logits: (B, C, D, H, W).
        label: (B, D, H, W), values below C.
        annotated: (B, C).
    """
    log_p = functional.log_softmax(logits.float(), dim=1)
    allowed = allowed_classes(annotated)
    rows = torch.arange(len(label), device=label.device)[:, None, None, None]
    may_be = allowed[rows, label].movedim(-1, 1)
    entropy = -torch.logsumexp(log_p.masked_fill(~may_be, -torch.inf), dim=1).mean()
    merged = torch.einsum("blc,bcdhw->bldhw", allowed.float(), log_p.exp())
    target = functional.one_hot(label, logits.shape[1]).movedim(-1, 1).float()
    # over the batch: a crop without a tumor has no Dice of its own worth following
    dims = (0, 2, 3, 4)
    asked = annotated.float()[:, :, None, None, None]
    overlap = (merged * target * asked).sum(dims)
    total = ((merged + target) * asked).sum(dims)
    dice = (2.0 * overlap + 1.0) / (total + 1.0)
    counted = annotated.any(dim=0)
    counted[0] = False
    return entropy + (1.0 - dice)[counted].mean() if counted.any() else entropy
