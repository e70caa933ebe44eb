"""Folds that keep a patient whole: nobody is learned from and tested on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def grouped_folds(
    groups: Sequence[str], synthetic: NDArray[np.bool_], rng: np.random.Generator, most: int = 5
) -> NDArray[np.int64]:
    """The fold of each case, 0 up, so that cases of one group share a fold and arms are even.

    Groups are dealt in random order, larger ones first, each to the fold that has fewest of its
    commoner arm (then fewest in all).

    Raises:
        ValueError: an arm comes from fewer than two groups, so it cannot be both learned and
            tested.
    """
    names = np.asarray(groups, dtype=object)
    least = min(len(set(names[synthetic])), len(set(names[~synthetic])))
    if least < 2:
        raise ValueError("Each arm must come from at least two patients.")
    count = min(most, least)
    held = np.zeros((count, 2))
    folds = np.zeros(len(names), np.int64)
    order = sorted(set(groups))
    order = [order[i] for i in rng.permutation(len(order))]
    order.sort(key=lambda name: -int((names == name).sum()))
    for name in order:
        own = names == name
        arms = np.array([(own & ~synthetic).sum(), (own & synthetic).sum()], float)
        common = int(arms.argmax())
        fold = min(range(count), key=lambda k: (held[k, common], held[k].sum()))
        held[fold] += arms
        folds[own] = fold
    return folds
