"""What an arm finds, and how much more than another: with intervals over patients and seeds.

The measure is the lesion sensitivity at so many false positives per scan, read from the
free-response curve of each training: no threshold is chosen by hand. Every draw of the bootstrap
draws patients and seeds anew, both with replacement and the same for both arms of a difference,
and reads every curve again at its own threshold. One seed tells nothing of how trainings differ;
then only patients are drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recognition.engine.detection import BANDS, HitRule
from recognition.engine.evaluation import Scan
from recognition.engine.froc import READ_AT

Values = NDArray[np.float64]

LEVEL = 0.95
_EVERY_SIZE = (0.0, float("inf"))
#: An operating point: None is the mean over ``READ_AT``, the score of the curve.
Rate = float | None


@dataclass(frozen=True)
class Estimate:
    """A value with its percentile interval; all None, with a reason, where not defined."""

    value: float | None
    low: float | None
    high: float | None
    reason: str = ""


@dataclass(frozen=True)
class Contrast:
    """``arm`` against ``reference``: difference, interval, and p of exchanging patients."""

    arm: str
    reference: str
    question: str
    gain: Estimate
    p: float | None = None
    p_holm: float | None = None


@dataclass(frozen=True)
class Marks:
    """Everything one training did on the test scans, lesion by lesion.

    ``found`` is each true lesion's probability (-1: not found) with its size and patient,
    ``false`` each false positive's, surest first. Per patient: ``scans``, those with a tumor
    (``with_tumor``) and the sum of their Dice.
    """

    found: Values
    diameter_mm: Values
    found_of: NDArray[np.intp]
    false: Values
    false_of: NDArray[np.intp]
    scans: Values
    with_tumor: Values
    dice: Values


def marks_of(scans: Sequence[Scan], rule: HitRule, patients: Sequence[str]) -> Marks:
    """The marks of one training; patients by their place in ``patients``."""
    row = {patient: k for k, patient in enumerate(patients)}
    targets = [(t, row[s.patient]) for s in scans for t in s.detections[rule].targets]
    false = [(p, row[s.patient]) for s in scans for p in s.detections[rule].false_positives]
    count, ill, dice = np.zeros((3, len(patients)))
    for scan in scans:
        count[row[scan.patient]] += 1
        ill[row[scan.patient]] += scan.dice is not None
        dice[row[scan.patient]] += scan.dice or 0.0
    order = np.argsort([-p for p, _ in false], kind="stable")
    return Marks(
        found=np.array([-1.0 if t.found is None else t.found for t, _ in targets]),
        diameter_mm=np.array([t.diameter_mm for t, _ in targets]),
        found_of=np.array([k for _, k in targets], np.intp),
        false=np.array([p for p, _ in false])[order],
        false_of=np.array([k for _, k in false], np.intp)[order],
        scans=count,
        with_tumor=ill,
        dice=dice,
    )


def sensitivity(
    marks: Marks, weights: Values, rate: Rate, sizes: tuple[float, float] = _EVERY_SIZE
) -> Values:
    """Lesion sensitivity with at most ``rate`` false positives per scan, for each weighting.

    Args:
        marks: of one training.
        weights: (draws, patients), how often each patient counts.
        rate: false positives per scan; None: the mean over ``READ_AT``.
        sizes: only lesions of these diameters (mm, upper bound not included) are counted; the
            threshold is that of all.

    Returns:
        (draws,), NaN where a draw has no such lesion.
    """
    if rate is None:
        mean: Values = np.mean([sensitivity(marks, weights, r, sizes) for r in READ_AT], axis=0)
        return mean
    low, high = sizes
    counted = (marks.diameter_mm >= low) & (marks.diameter_mm < high)
    lesions = weights[:, marks.found_of[counted]]
    total = lesions.sum(axis=1)
    # the first false positive that is one too many: what is surer than it counts
    above = np.cumsum(weights[:, marks.false_of], axis=1)
    allowed = rate * (weights @ marks.scans)
    first = (above <= allowed[:, None] + 1e-9).sum(axis=1)
    padded = np.append(marks.false, -0.5)  # below any probability, above "not found"
    hit = marks.found[counted][None, :] > padded[first][:, None]
    out: Values = np.full(len(weights), np.nan)
    np.divide((lesions * hit).sum(axis=1), total, out=out, where=total > 0)
    return out


@dataclass(frozen=True)
class Study:
    """All trainings of a study on one set of patients: ``marks[arm][seed]``."""

    marks: Mapping[str, Mapping[int, Marks]]
    patients: tuple[str, ...]
    seeds: tuple[int, ...]

    @classmethod
    def of(cls, scans: Mapping[str, Mapping[int, Sequence[Scan]]], rule: HitRule) -> Study:
        """Gather scans by arm and seed.

        Raises:
            ValueError: arms that were not tested on the same scans with the same seeds.
        """
        first = next(iter(scans.values()))
        seeds = tuple(first)
        names = sorted((s.name, s.patient) for s in next(iter(first.values())))
        for arm, by_seed in scans.items():
            for seed in seeds:
                seen = sorted((s.name, s.patient) for s in by_seed.get(seed, ()))
                if tuple(by_seed) != seeds or seen != names:
                    raise ValueError(f"The arm {arm!r} was not tested on the scans of the others.")
        patients = tuple(sorted({patient for _, patient in names}))
        marks = {
            arm: {seed: marks_of(one, rule, patients) for seed, one in by_seed.items()}
            for arm, by_seed in scans.items()
        }
        return cls(marks, patients, seeds)


@dataclass(frozen=True)
class Draws:
    """Weights of patients (draws, patients) and of seeds (draws, seeds); row 0 is the data."""

    patients: Values
    seeds: Values

    @classmethod
    def of(cls, study: Study, replicates: int, rng: np.random.Generator) -> Draws:
        n, k = len(study.patients), len(study.seeds)
        drawn = rng.multinomial(n, np.full(n, 1.0 / n), replicates).astype(float)
        seeds = rng.multinomial(k, np.full(k, 1.0 / k), replicates).astype(float)
        return cls(np.vstack([np.ones(n), drawn]), np.vstack([np.ones(k), seeds]) / k)

    def values(
        self, study: Study, arm: str, rate: Rate, sizes: tuple[float, float] = _EVERY_SIZE
    ) -> Values:
        """The measure of an arm in the data (row 0) and in every draw: the mean over seeds."""
        each = [sensitivity(study.marks[arm][s], self.patients, rate, sizes) for s in study.seeds]
        return self._mean(each)

    def dice(self, study: Study, arm: str) -> Values:
        """Mean Dice of the scans that hold a tumor."""
        each = []
        for seed in study.seeds:
            marks = study.marks[arm][seed]
            below = self.patients @ marks.with_tumor
            one = np.full(len(below), np.nan)
            np.divide(self.patients @ marks.dice, below, out=one, where=below > 0)
            each.append(one)
        return self._mean(each)

    def _mean(self, each: Sequence[Values]) -> Values:
        out: Values = (np.stack(each, axis=1) * self.seeds).sum(axis=1)
        return out


def estimate(values: Values, reason: str = "There is no such lesion.") -> Estimate:
    """Row 0 with the percentile interval of the others; draws that are NaN are left out."""
    if not np.isfinite(values[0]):
        return Estimate(None, None, None, reason)
    held = values[1:][np.isfinite(values[1:])]
    low, high = np.quantile(held, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(values[0]), float(low), float(high))


def bands(study: Study, draws: Draws, arm: str, rate: Rate) -> dict[str, tuple[Estimate, int]]:
    """Sensitivity by size of the true lesion, and how many lesions that are."""
    sizes = next(iter(study.marks[arm].values())).diameter_mm
    return {
        name: (
            estimate(draws.values(study, arm, rate, (low, high))),
            int(((sizes >= low) & (sizes < high)).sum()),
        )
        for name, low, high in BANDS
    }


def ratio(above: Values, below: Values) -> Estimate:
    """One measure over another, draw by draw: train-on-synthetic over train-on-real."""
    if not below[0] > 0:
        return Estimate(None, None, None, "The network trained on real lesions found none.")
    out: Values = np.full(len(below), np.nan)
    np.divide(above, below, out=out, where=below > 0)
    return estimate(out)


def contrast(
    study: Study,
    draws: Draws,
    arm: str,
    reference: str,
    question: str,
    rate: Rate,
    rng: np.random.Generator,
) -> Contrast:
    """The gain of ``arm`` over ``reference``.

    ``p`` exchanges the two arms' results patient by patient, in all seeds at once, and counts
    how often the difference is as large as the one seen.
    """
    gain = draws.values(study, arm, rate) - draws.values(study, reference, rate)
    seen = float(gain[0])
    if not np.isfinite(seen):
        return Contrast(arm, reference, question, estimate(gain))
    exchanged = rng.integers(0, 2, (len(gain) - 1, len(study.patients))).astype(float)
    exchanged = np.vstack([np.zeros(len(study.patients)), exchanged])
    differences = np.zeros(len(exchanged))
    for seed in study.seeds:
        one, two = study.marks[arm][seed], study.marks[reference][seed]
        both = _joined(one, two)
        weights = np.hstack([1.0 - exchanged, exchanged])
        differences += sensitivity(both, weights, rate) - sensitivity(both, 1.0 - weights, rate)
    differences /= len(study.seeds)
    extreme = int((np.abs(differences[1:]) >= abs(seen) - 1e-12).sum())
    return Contrast(arm, reference, question, estimate(gain), p=(extreme + 1) / len(differences))


def with_holm(contrasts: Sequence[Contrast]) -> tuple[Contrast, ...]:
    """Holm 1979 (Scand J Stat 6:65) over the contrasts that have a p value."""
    from statsmodels.stats.multitest import multipletests

    tested = [k for k, row in enumerate(contrasts) if row.p is not None]
    out = list(contrasts)
    if tested:
        adjusted = multipletests([contrasts[k].p for k in tested], method="holm")[1]
        for k, p in zip(tested, adjusted, strict=True):
            out[k] = replace(contrasts[k], p_holm=float(p))
    return tuple(out)


def curve(study: Study, draws: Draws, arm: str, rates: Sequence[float]) -> list[Estimate]:
    """The free-response curve of an arm, the mean over its seeds, with pointwise intervals."""
    return [estimate(draws.values(study, arm, rate)) for rate in rates]


def _joined(one: Marks, two: Marks) -> Marks:
    """The marks of two trainings side by side: the second one's patients come after."""
    n = len(one.scans)
    false = np.concatenate([one.false, two.false])
    false_of = np.concatenate([one.false_of, two.false_of + n])
    order = np.argsort(-false, kind="stable")
    return Marks(
        found=np.concatenate([one.found, two.found]),
        diameter_mm=np.concatenate([one.diameter_mm, two.diameter_mm]),
        found_of=np.concatenate([one.found_of, two.found_of + n]),
        false=false[order],
        false_of=false_of[order],
        scans=np.concatenate([one.scans, two.scans]),
        with_tumor=np.concatenate([one.with_tumor, two.with_tumor]),
        dice=np.concatenate([one.dice, two.dice]),
    )
