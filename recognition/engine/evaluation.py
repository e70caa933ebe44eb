"""From scans to numbers a paper can print: means, intervals, and one method against another.

Every measure is a sum over a sum, gathered per patient: Dice over the scans that have a tumor,
found lesions over lesions, false positives over scans. So one bootstrap serves all of them, and
draws patients, never scans or lesions, which come in clusters (Rutter 2000, Acad Radiol 7:413).
Methods are compared by exchanging their results patient by patient (a paired permutation test).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recognition.engine.detection import BANDS, Detection, HitRule

Sums = NDArray[np.float64]

LEVEL = 0.95
#: Up to so many patients every exchange is tried, beyond it a seeded sample.
_EXACT_PATIENTS = 12


@dataclass(frozen=True)
class Scan:
    """What one method did on one scan. ``dice`` and ``surface`` are None where not defined."""

    name: str
    patient: str
    dice: float | None
    surface: float | None
    detections: Mapping[HitRule, Detection]
    reference_lesions: int
    predicted_lesions: int
    reference_ml: float
    predicted_ml: float


@dataclass(frozen=True)
class Estimate:
    """A measure with its bootstrap interval; ``reason`` says why one is not defined."""

    measure: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    unit: str
    reason: str = ""


@dataclass(frozen=True)
class Comparison:
    """``first`` minus ``second`` in one measure; ``p_holm`` is filled in by ``compare``."""

    measure: str
    first: str
    second: str
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    patients: int
    reason: str = ""


@dataclass(frozen=True)
class _Ratio:
    name: str
    unit: str
    above: Callable[[Scan], float]
    below: Callable[[Scan], float]


def _overlap(name: str, value: Callable[[Scan], float | None]) -> _Ratio:
    return _Ratio(
        name, "scans with a tumor", lambda s: value(s) or 0.0, lambda s: float(value(s) is not None)
    )


def _sensitivity(rule: HitRule, part: str, low: float, high: float) -> _Ratio:
    def targets(scan: Scan) -> list[bool]:
        return [
            target.found is not None
            for target in scan.detections[rule].targets
            if low <= target.diameter_mm < high
        ]

    return _Ratio(
        f"lesion sensitivity, {part} ({rule})",
        "lesions",
        lambda s: float(sum(targets(s))),
        lambda s: float(len(targets(s))),
    )


def _rule(rule: HitRule) -> list[_Ratio]:
    ranges = [("all", 0.0, np.inf), ("early <20 mm", 0.0, 20.0), *BANDS]
    return [
        *(_sensitivity(rule, part, low, high) for part, low, high in ranges),
        _Ratio(
            f"false positives per scan ({rule})",
            "scans",
            lambda s: float(len(s.detections[rule].false_positives)),
            lambda s: 1.0,
        ),
    ]


MEASURES: tuple[_Ratio, ...] = (
    _overlap("Dice", lambda s: s.dice),
    _overlap("normalized surface distance", lambda s: s.surface),
    *_rule("iou"),
    *_rule("center"),
)


def summarize(
    scans: Sequence[Scan], rng: np.random.Generator, *, replicates: int = 2000
) -> tuple[Estimate, ...]:
    """Every measure of one method, with percentile intervals from drawing patients.

    Args:
        scans: all scans of one method; a patient may have several.
        rng: for the draws.
        replicates: how many draws.

    Raises:
        ValueError: no scan.
    """
    patients = _names(scans)
    draws = _draws(rng, len(patients), replicates)
    out = []
    for ratio in MEASURES:
        above, below = _gather(ratio, scans, patients)
        value = _ratio(above.sum(), below.sum())
        reason = "" if value is not None else f"There are no {ratio.unit}."
        low, high = _interval(_ratios(draws @ above, draws @ below))
        out.append(Estimate(ratio.name, value, low, high, int(below.sum()), ratio.unit, reason))
    return (*out, *_patient_level(scans, patients, draws))


def compare(
    methods: Mapping[str, Sequence[Scan]], rng: np.random.Generator, *, replicates: int = 2000
) -> tuple[Comparison, ...]:
    """Every pair of methods in every measure, with Holm's correction over the pairs of a measure.

    Raises:
        ValueError: methods that did not see the same scans of the same patients.
    """
    names = list(methods)
    keys = {name: sorted((s.name, s.patient) for s in methods[name]) for name in names}
    for name in names[1:]:
        if keys[name] != keys[names[0]]:
            raise ValueError(
                f"The methods {names[0]!r} and {name!r} did not see the same scans; compare them "
                "on the scans that both have."
            )
    out: list[Comparison] = []
    for ratio in MEASURES:
        rows = [
            _pair(ratio, (a, methods[a]), (b, methods[b]), rng, replicates)
            for i, a in enumerate(names)
            for b in names[i + 1 :]
        ]
        out.extend(_holm(rows))
    return tuple(out)


# ------------------------------------------------------------------------------------- sums
def _names(scans: Sequence[Scan]) -> list[str]:
    if not scans:
        raise ValueError("There is no scan to evaluate.")
    return sorted({scan.patient for scan in scans})


def _gather(ratio: _Ratio, scans: Sequence[Scan], patients: list[str]) -> tuple[Sums, Sums]:
    row = {patient: i for i, patient in enumerate(patients)}
    above, below = np.zeros(len(patients)), np.zeros(len(patients))
    for scan in scans:
        above[row[scan.patient]] += ratio.above(scan)
        below[row[scan.patient]] += ratio.below(scan)
    return above, below


def _draws(rng: np.random.Generator, patients: int, replicates: int) -> Sums:
    """How often each patient is drawn, (replicates, patients)."""
    return rng.multinomial(patients, np.full(patients, 1.0 / patients), replicates).astype(float)


def _ratio(above: float, below: float) -> float | None:
    return float(above / below) if below > 0 else None


def _ratios(above: Sums, below: Sums) -> Sums:
    """NaN where a draw holds nothing to divide by; such draws are left out of the interval."""
    out: Sums = np.full(above.shape, np.nan)
    np.divide(above, below, out=out, where=below > 0)
    return out


def _interval(values: Sums) -> tuple[float | None, float | None]:
    held = values[np.isfinite(values)]
    if held.size == 0:
        return None, None
    low, high = np.quantile(held, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


# ---------------------------------------------------------------------------------- patients
def _patient_level(scans: Sequence[Scan], patients: list[str], draws: Sums) -> tuple[Estimate, ...]:
    """A patient is ill when any scan holds a tumor, and called ill when anything was marked."""
    row = {patient: i for i, patient in enumerate(patients)}
    ill, called = np.zeros(len(patients), bool), np.zeros(len(patients), bool)
    rating = np.zeros(len(patients))
    for scan in scans:
        i = row[scan.patient]
        ill[i] |= scan.reference_lesions > 0
        called[i] |= scan.predicted_lesions > 0
        rating[i] = max(rating[i], scan.detections["iou"].rating)
    return (
        _share("patient sensitivity", "patients with a tumor", called, ill, draws),
        _share("patient specificity", "patients without a tumor", ~called, ~ill, draws),
        _area(rating, ill, draws),
    )


def _share(
    name: str, unit: str, right: NDArray[np.bool_], of: NDArray[np.bool_], draws: Sums
) -> Estimate:
    above, below = (right & of).astype(float), of.astype(float)
    value = _ratio(above.sum(), below.sum())
    low, high = _interval(_ratios(draws @ above, draws @ below))
    reason = "" if value is not None else f"There are no {unit}."
    return Estimate(name, value, low, high, int(below.sum()), unit, reason)


def _area(rating: Sums, ill: NDArray[np.bool_], draws: Sums) -> Estimate:
    """Area under the ROC curve of the surest mark per patient; ties count one half."""
    gap = rating[ill][:, None] - rating[~ill][None, :]
    wins = (np.sign(gap) + 1.0) / 2.0
    weights_ill, weights_well = draws[:, ill], draws[:, ~ill]
    above = np.einsum("bi,ij,bj->b", weights_ill, wins, weights_well, optimize=True)
    below = weights_ill.sum(axis=1) * weights_well.sum(axis=1)
    value = _ratio(float(wins.sum()), float(wins.size))
    low, high = _interval(_ratios(above, below))
    reason = "" if value is not None else "Patients with and without a tumor are both needed."
    return Estimate("patient AUC", value, low, high, len(ill), "patients", reason)


# ------------------------------------------------------------------------------------- pairs
def _pair(
    ratio: _Ratio,
    first: tuple[str, Sequence[Scan]],
    second: tuple[str, Sequence[Scan]],
    rng: np.random.Generator,
    replicates: int,
) -> Comparison:
    patients = _names(first[1])
    a, of_a = _gather(ratio, first[1], patients)
    b, of_b = _gather(ratio, second[1], patients)
    n = len(patients)
    if not of_a.sum() or not of_b.sum():
        reason = f"There are no {ratio.unit}."
        return Comparison(ratio.name, first[0], second[0], None, None, None, None, None, n, reason)
    seen = float(a.sum() / of_a.sum() - b.sum() / of_b.sum())
    draws = _draws(rng, n, replicates)
    low, high = _interval(_ratios(draws @ a, draws @ of_a) - _ratios(draws @ b, draws @ of_b))
    exchanged = _exchanges(rng, n, replicates)
    kept = 1.0 - exchanged
    shuffled = _ratios(kept @ a + exchanged @ b, kept @ of_a + exchanged @ of_b) - _ratios(
        kept @ b + exchanged @ a, kept @ of_b + exchanged @ of_a
    )
    extreme = int((np.abs(shuffled) >= abs(seen) - 1e-12).sum())
    exact = n <= _EXACT_PATIENTS
    p = extreme / len(exchanged) if exact else (extreme + 1) / (len(exchanged) + 1)
    return Comparison(ratio.name, first[0], second[0], seen, low, high, p, None, n)


def _exchanges(rng: np.random.Generator, patients: int, replicates: int) -> Sums:
    """1 where a patient's two results change places, (exchanges, patients)."""
    if patients <= _EXACT_PATIENTS:
        every = np.arange(2**patients)[:, None] >> np.arange(patients)
        return (every & 1).astype(float)
    return rng.integers(0, 2, (replicates, patients)).astype(float)


def _holm(rows: list[Comparison]) -> list[Comparison]:
    """Holm 1979 (Scand J Stat 6:65) over the pairs that have a p value."""
    from statsmodels.stats.multitest import multipletests

    tested = [i for i, row in enumerate(rows) if row.p is not None]
    if not tested:
        return rows
    adjusted = multipletests([rows[i].p for i in tested], method="holm")[1]
    out = list(rows)
    for i, p in zip(tested, adjusted, strict=True):
        out[i] = replace(rows[i], p_holm=float(p))
    return out
