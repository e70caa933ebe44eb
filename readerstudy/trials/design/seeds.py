"""Random draws that follow from a seed alone: the same on every machine and numpy release.

numpy promises the bit stream of a bit generator for ever, but not what `Generator.permutation` or
`integers` make of it (NEP 19). A stored order must be verifiable in ten years, so the draws below
use the raw bits only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def generator(seed: int, *names: object) -> np.random.Generator:
    """The generator of one purpose: PCG64 seeded with SHA-256 of the seed and the names."""
    text = "\n".join(["readerstudy-design-1", str(seed), *(str(name) for name in names)])
    digest = hashlib.sha256(text.encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))


def raw(rng: np.random.Generator, count: int) -> list[int]:
    """`count` raw 64-bit words."""
    if count == 0:
        return []
    words: list[int] = rng.bit_generator.random_raw(count).tolist()
    return words


def shuffled(rng: np.random.Generator, items: Sequence[T]) -> list[T]:
    """The items in random order. The order of ties (2^-64) is that of the input."""
    keys = raw(rng, len(items))
    return [items[index] for index in sorted(range(len(items)), key=keys.__getitem__)]


def below(rng: np.random.Generator, limit: int) -> int:
    """A whole number from 0 to limit - 1, each equally likely (words in the last, incomplete
    range are drawn again)."""
    if limit <= 0:
        raise ValueError("limit must be positive")
    fair = (1 << 64) - (1 << 64) % limit
    while True:
        word = raw(rng, 1)[0]
        if word < fair:
            return word % limit
