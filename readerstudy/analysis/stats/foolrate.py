"""How often readers take a synthetic case for a real one, and which.

fool rate = synthetic called real / synthetic read. It is 1 - sensitivity when synthetic is the
positive class and 1 - specificity when real is; the functions here turn the readings accordingly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from readerstudy.analysis.stats.inference import Inference, infer
from readerstudy.analysis.stats.mrmc import or_single
from readerstudy.analysis.stats.proportions import Proportion, rate_ci
from readerstudy.analysis.stats.readings import Readings
from readerstudy.analysis.stats.types import BoolArray, Interval


@dataclass(frozen=True)
class FoolGroup:
    """Fool rate of one group of cases of the class ``truth``.

    ``naive`` pools the readings (its interval ignores clustering); ``mrmc`` is the mean over
    readers with readers and cases random.
    """

    group: str
    truth: str
    n_cases: int
    n_readings: int
    fooled: int
    naive: Proportion
    mrmc: Inference


@dataclass(frozen=True)
class CaseRow:
    """How the readers took one case.

    ``wrong`` counts readers whose verdict differs from the truth (for a synthetic case: readers
    fooled). ``shrunken`` is the rate pulled towards the mean of its arm, with the interval that
    goes with it (see :func:`shrunken`).
    """

    case: str
    truth: str
    n: int
    wrong: int
    rate: float | None
    wilson: tuple[float, float] | None
    shrunken: float | None
    mean_score: float | None
    wrong_readers: tuple[str, ...]
    shrunken_ci95: Interval | None = None
    shrunken_reason: str | None = None
    reason: str | None = None
    method: str = "Wilson; beta-binomial empirical Bayes"


@dataclass(frozen=True)
class Shrunken:
    """A case's rate after empirical Bayes; no interval where the cases do not differ."""

    rate: float
    n: int
    ci95: Interval | None
    reason: str | None = None
    method: str = "beta-binomial empirical Bayes"


def fool_rate(
    readings: Readings,
    group: str = "all",
    cases: BoolArray | None = None,
    *,
    min_cases: int = 2,
    min_readers: int = 2,
) -> FoolGroup:
    """Fool rate over the synthetic cases among ``cases`` (a (K,) mask; all when None)."""
    turned = readings.of_deceiving()
    subset = turned if cases is None else turned.of_cases(cases)
    positives = subset.of_cases(subset.is_positive)
    n = int(positives.read.sum())
    fooled = int((positives.call == 0).sum())
    naive = rate_ci(fooled, n)
    n_readers = int(positives.read.any(axis=1).sum())
    if n and (positives.n_cases < min_cases or n_readers < min_readers):
        reason = (
            f"fewer than {min_cases} cases"
            if positives.n_cases < min_cases
            else f"fewer than {min_readers} readers"
        )
        mrmc = infer(naive.estimate, None, None, method="not estimated", reason=reason)
    else:
        mrmc = or_single(positives, "fool_rate").rrrc
    return FoolGroup(group, turned.positive, positives.n_cases, n, fooled, naive, mrmc)


def by_group(
    readings: Readings, labels: Sequence[str], *, min_cases: int = 2, min_readers: int = 2
) -> tuple[FoolGroup, ...]:
    """Fool rate per value of ``labels`` (one per case), sorted by name.

    Cases with an empty label are left out.
    """
    names = np.asarray(labels, dtype=object)
    groups = [
        fool_rate(readings, name, names == name, min_cases=min_cases, min_readers=min_readers)
        for name in sorted(set(labels) - {""})
    ]
    return tuple(g for g in groups if g.n_readings)


def by_case(readings: Readings) -> tuple[CaseRow, ...]:
    """Every case, hardest first: rate of wrong verdicts descending, then case id."""
    rows = []
    wrong = np.where(readings.read, (readings.call == 1) != readings.is_positive[None, :], False)
    seen = readings.read
    for k, case in enumerate(readings.cases):
        n, x = int(seen[:, k].sum()), int(wrong[:, k].sum())
        rate = rate_ci(x, n)
        rows.append(
            CaseRow(
                case,
                readings.positive if readings.is_positive[k] else readings.negative,
                n,
                x,
                rate.estimate,
                rate.ci,
                None,
                float(readings.score[seen[:, k], k].mean()) if n else None,
                tuple(r for r, w in zip(readings.readers, wrong[:, k], strict=True) if w),
                reason=None if n else "nobody read the case",
            )
        )
    shrunk: dict[str, Shrunken] = {}
    for arm in (readings.positive, readings.negative):
        own = [r for r in rows if r.truth == arm and r.n]
        found = shrunken([r.wrong for r in own], [r.n for r in own])
        shrunk.update({row.case: value for row, value in zip(own, found, strict=True)})
    rows = [
        replace(r, shrunken=s.rate, shrunken_ci95=s.ci95, shrunken_reason=s.reason)
        if (s := shrunk.get(r.case)) else replace(r, shrunken_reason="nobody read the case")
        for r in rows
    ]  # fmt: skip
    return tuple(sorted(rows, key=lambda r: (-(r.rate if r.rate is not None else -1.0), r.case)))


def shrink(x: Sequence[int], n: Sequence[int]) -> list[float]:
    """Empirical-Bayes rates of ``x`` of ``n``, see :func:`shrunken`."""
    return [one.rate for one in shrunken(x, n)]


def shrunken(x: Sequence[int], n: Sequence[int]) -> list[Shrunken]:
    """Empirical-Bayes rates: beta-binomial prior fitted by moments (Kleinman, JASA 68:46, 1973).

    With few readers a case at 11 of 13 is mostly luck; its shrunken rate says how much is left.
    Rates equal the common mean, without interval, when the spread is no wider than binomial. The
    interval holds the middle 95 % of the posterior; it takes the prior as known.
    """
    counts, totals = np.asarray(x, dtype=float), np.asarray(n, dtype=float)
    if len(counts) == 0:
        return []
    rates = counts / totals
    mean = float(counts.sum() / totals.sum())

    def alike(reason: str) -> list[Shrunken]:
        return [Shrunken(mean, int(size), None, reason) for size in totals]

    if len(counts) < 2:
        return alike("one case: there is no spread to learn from")
    if mean in (0.0, 1.0):
        return alike("every reading of every case is alike")
    k, readings = len(counts), float(totals.sum())
    spread = float((totals * (rates - mean) ** 2).sum()) / (mean * (1 - mean))
    room = readings - float((totals**2).sum()) / readings - (k - 1)
    rho = (spread - (k - 1)) / room if room > 0 else 0.0
    if rho <= 0:
        return alike("the cases differ no more than by chance")
    strength = 1 / min(rho, 1 - 1e-9) - 1
    a, b = counts + strength * mean, totals - counts + strength * (1 - mean)
    low, high = stats.beta.ppf(0.025, a, b), stats.beta.ppf(0.975, a, b)
    return [
        Shrunken(float(rate), int(size), (float(lo), float(hi)))
        for rate, size, lo, hi in zip(a / (a + b), totals, low, high, strict=True)
    ]
