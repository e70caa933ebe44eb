"""Two-way bootstrap: readers, positive cases and negative cases resampled independently.

The variance it tends to with many replicates is the V-statistic ("MLE") variance of iMRMC
(Gallas, Acad Radiol 13:353, 2006), which is somewhat larger than the unbiased one: conservative.
Resampling one list of readings would ignore that they share readers and cases. Reference: Owen,
Ann Appl Stat 1:386 (2007), the pigeonhole bootstrap. Intervals are percentile intervals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from readerstudy.analysis.stats import metrics
from readerstudy.analysis.stats.inference import Inference
from readerstudy.analysis.stats.readings import Readings
from readerstudy.analysis.stats.types import FloatArray, Interval
from readerstudy.analysis.stats.weighted import strata, weighted_values

METHOD = "two-way bootstrap, readers and cases resampled, percentile interval"
#: Replicates worked on at a time: bounds memory, changes no number.
_BLOCK = 250
_ONE_READER = "one reader: the variation between readers cannot be estimated"


@dataclass(frozen=True)
class Bootstrap:
    """Mean over readers with its bootstrap distribution summed up.

    Attributes:
        unit: what stands for a case when resampled ("case" or "patient").
        n_undefined: replicates in which no reader had cases of both classes; left out.
        p: two-sided, twice the smaller share of replicates on either side of ``null``.
    """

    metric: str
    label: str
    positive: str
    n_readers: int
    n_positive: int
    n_negative: int
    unit: str
    replicates: int
    n_undefined: int
    estimate: float | None
    se: float | None
    ci95: Interval | None
    ci90: Interval | None
    null: float
    p: float | None
    method: str = METHOD
    reason: str | None = None

    def as_inference(self) -> Inference:
        """The same numbers in the shape of the other methods, without an equivalence test."""
        return Inference(
            self.method, self.estimate, self.se, None, "normal", self.ci95, self.ci90, self.null,
            None, self.p, (), self.reason,
        )  # fmt: skip


def bootstrap_2way(
    readings: Readings,
    metric: str = "auc",
    replicates: int = 2000,
    *,
    rng: np.random.Generator,
    null: float | None = None,
) -> Bootstrap:
    """Resample readers, positives and negatives; patients as a whole where they are the unit.

    Missing readings stay missing; a reader without one class in a replicate is left out of its
    mean.

    Raises:
        ValueError: an unknown metric, or fewer than 100 replicates.
    """
    if replicates < 100:
        raise ValueError("a bootstrap needs at least 100 replicates")
    spec = metrics.metric(metric)
    base = (spec.null if spec.null is not None else 0.5) if null is None else null
    if metric == "fool_rate":
        readings = readings.of_deceiving()
    theta = metrics.values(readings, metric)
    used = readings.of_readers(~np.isnan(theta))
    theta = theta[~np.isnan(theta)]

    def done(
        undefined: int = 0, draws: FloatArray | None = None, reason: str | None = None
    ) -> Bootstrap:
        estimate = float(theta.mean()) if len(theta) else None
        found = (None,) * 4 if draws is None or reason else _summary(draws, base)
        se, ci95, ci90, p = found
        return Bootstrap(
            metric, spec.label, readings.positive, len(theta), readings.n_positive,
            readings.n_negative, readings.unit_name, replicates, undefined, estimate, se, ci95,
            ci90, base, p, METHOD, reason,
        )  # fmt: skip

    if len(theta) < 2:
        return done(reason=_ONE_READER if len(theta) else "no reader read enough cases")
    if any(int(group.sum()) < 2 for group in strata(metrics.relevant(used, metric))):
        return done(reason=f"fewer than two {used.unit_name}s to resample in a class")
    draws = _draws(used, metric, replicates, rng)
    known = draws[~np.isnan(draws)]
    undefined = replicates - len(known)
    if len(known) < replicates / 2:
        return done(undefined, reason="most replicates left no reader with cases of both classes")
    if known.min() == known.max():
        return done(undefined, reason="no variation between readers or cases")
    return done(undefined, known)


def _draws(
    readings: Readings, metric: str, replicates: int, rng: np.random.Generator
) -> FloatArray:
    """(replicates,) reader means; NaN where no reader of the replicate has the metric."""
    n_readers = readings.n_readers
    groups = strata(readings)
    parts = []
    for start in range(0, replicates, _BLOCK):
        size = min(_BLOCK, replicates - start)
        weight = rng.multinomial(n_readers, np.full(n_readers, 1 / n_readers), size=size)
        units = np.zeros((size, readings.n_units))
        for group in groups:
            n = int(group.sum())
            units[:, group] = rng.multinomial(n, np.full(n, 1 / n), size=size)
        cases = units[:, readings.unit]
        positive = cases * readings.is_positive
        found = weighted_values(readings, metric, positive, cases - positive)
        counts = np.where(np.isnan(found), 0.0, weight)
        total = counts.sum(axis=1)
        mean = np.full(size, np.nan)
        np.divide((counts * np.nan_to_num(found)).sum(axis=1), total, out=mean, where=total > 0)
        parts.append(mean)
    return np.concatenate(parts)


def _summary(draws: FloatArray, null: float) -> tuple[float, Interval, Interval, float]:
    q = np.quantile(draws, [0.025, 0.975, 0.05, 0.95])
    n = len(draws)
    below, above = int((draws <= null).sum()), int((draws >= null).sum())
    p = min(1.0, 2 * (1 + min(below, above)) / (n + 1))
    return float(draws.std(ddof=1)), (float(q[0]), float(q[1])), (float(q[2]), float(q[3])), p
