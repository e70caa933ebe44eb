"""One machine reads cases: folds by patient, thresholds out of fold, then the cases themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recognition.engine.readers.folds import grouped_folds
from recognition.engine.readers.rating import Cuts, learn_cuts
from recognition.engine.readers.registry import Machine

Values = NDArray[np.floating]
#: Fewer lesions of an arm than this teach nothing.
LEAST_PER_ARM = 10


@dataclass(frozen=True)
class Examples:
    """Lesions to learn from: prepared views, their arm and their patient."""

    inputs: Values
    synthetic: NDArray[np.bool_]
    patients: Sequence[str]


@dataclass(frozen=True)
class Outcome:
    """What a machine said of the cases, and how it did on other patients' lesions.

    ``scores`` and ``ratings`` are in the order of the cases; ``out_of_fold`` in that of the
    examples, each scored by a fit that saw nothing of its patient (empty without training).
    """

    scores: Values
    ratings: NDArray[np.int64]
    cuts: Cuts
    out_of_fold: Values
    folds: int
    facts: dict[str, Any] = field(default_factory=dict)


def shortage(synthetic: Sequence[bool], patients: Sequence[str]) -> str:
    """Why these lesions cannot teach a machine, as one sentence; empty when they can."""
    arms = {"real": [p for s, p in zip(synthetic, patients, strict=True) if not s],
            "synthetic": [p for s, p in zip(synthetic, patients, strict=True) if s]}  # fmt: skip
    for arm, own in arms.items():
        if len(own) < LEAST_PER_ARM:
            return (
                f"{len(own)} accepted {arm} {'lesion' if len(own) == 1 else 'lesions'} of patients "
                f"outside the trial, where at least {LEAST_PER_ARM} of each arm are needed"
            )
        if len(set(own)) < 2:
            return f"all {arm} lesions outside the trial come from one patient"
    return ""


def read(
    machine: Machine,
    cases: Values,
    examples: Examples | None,
    seed: Sequence[int],
    tell: Callable[[float], None] | None = None,
) -> Outcome:
    """Train where needed, then score and rate the cases.

    Args:
        cases: prepared views, stacked.
        examples: lesions of other patients; not needed by an untrained machine.
        seed: of folds and fits; the same one gives the same scores.
        tell: called with the share done; may raise to stop.

    Raises:
        ValueError: a machine that must learn has too few examples.
    """
    if not machine.trained:
        rng = np.random.default_rng(list(seed))
        scorer = machine.fit(cases, np.zeros(len(cases), bool), rng)
        scores = scorer(cases)
        cuts: Cuts = machine.cuts  # type: ignore[attr-defined]
        return Outcome(scores, cuts.rate(scores), cuts, np.zeros(0), 0, machine.facts(scorer))
    if examples is None:
        raise ValueError(f"The machine {machine.name} must learn from lesions of both arms.")
    short = shortage(examples.synthetic.tolist(), examples.patients)
    if short:
        raise ValueError(short[:1].upper() + short[1:] + ".")
    streams = np.random.SeedSequence(list(seed)).spawn(2)
    fold = grouped_folds(examples.patients, examples.synthetic, np.random.default_rng(streams[0]))
    count = int(fold.max()) + 1
    fits = [np.random.default_rng(stream) for stream in streams[1].spawn(count + 1)]

    def part(number: int) -> Callable[[float], None] | None:
        return None if tell is None else lambda share: tell((number + share) / (count + 1))

    out = np.zeros(len(fold))
    for number in range(count):
        held = fold == number
        scorer = machine.fit(
            examples.inputs[~held], examples.synthetic[~held], fits[number], part(number)
        )
        out[held] = scorer(examples.inputs[held])
    cuts = learn_cuts(out, examples.synthetic)
    scorer = machine.fit(examples.inputs, examples.synthetic, fits[count], part(count))
    scores = scorer(cases)
    return Outcome(scores, cuts.rate(scores), cuts, out, count, machine.facts(scorer))
