"""Permutation of the truth over cases, all readings of a case kept together.

Exact for the hypothesis that no reader can discriminate: then the truth is a label that could as
well stand on any other case. It says nothing about other readers. Reference: Venkatraman and
Begg, Biometrika 83:835 (1996), for the idea on ROC curves; Phipson and Smyth, Stat Appl Genet Mol
Biol 9:39 (2010), for counting the observed labels in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from readerstudy.analysis.stats import metrics
from readerstudy.analysis.stats.readings import Readings
from readerstudy.analysis.stats.types import FloatArray
from readerstudy.analysis.stats.weighted import weighted_values

METHOD = "permutation of the truth over cases, these readers"
_BLOCK = 250
#: A replicate equals the observed mean up to rounding when closer than this.
_SAME = 1e-12


@dataclass(frozen=True)
class Permutation:
    """Observed mean over readers against its distribution under exchanged labels.

    ``p`` is two-sided, twice the smaller of ``p_greater`` and ``p_less``; each counts the
    observed labels as one of the permutations, so that none is ever zero.
    """

    metric: str
    label: str
    positive: str
    n_readers: int
    n_cases: int
    unit: str
    replicates: int
    estimate: float | None
    null_mean: float | None
    null_sd: float | None
    p: float | None
    p_greater: float | None
    p_less: float | None
    method: str = METHOD
    reason: str | None = None


def label_permutation(
    readings: Readings,
    metric: str = "auc",
    replicates: int = 2000,
    *,
    rng: np.random.Generator,
) -> Permutation:
    """Test that no reader tells the classes apart, by exchanging the truth between cases.

    Where patients are the unit, labels are exchanged between patients with equally many cases
    and within a patient.

    Raises:
        ValueError: fewer than 100 replicates, or a metric that does not compare the classes.
    """
    spec = metrics.metric(metric)
    if spec.cases != "all" or metric == "criterion":
        raise ValueError(f"{metric} does not compare the classes: permute auc or accuracy")
    if replicates < 100:
        raise ValueError("a permutation test needs at least 100 replicates")
    theta = metrics.values(readings, metric)
    used = readings.of_readers(~np.isnan(theta))
    estimate = float(np.nanmean(theta)) if used.n_readers else None

    def done(draws: FloatArray | None, reason: str | None = None) -> Permutation:
        mean = sd = p = greater = less = None
        if draws is not None and estimate is not None:
            n = len(draws)
            greater = (1 + int((draws >= estimate - _SAME).sum())) / (n + 1)
            less = (1 + int((draws <= estimate + _SAME).sum())) / (n + 1)
            p = min(1.0, 2 * min(greater, less))
            mean, sd = float(draws.mean()), float(draws.std(ddof=1))
        return Permutation(
            metric, spec.label, readings.positive, used.n_readers, used.n_cases, used.unit_name,
            replicates, estimate, mean, sd, p, greater, less, METHOD, reason,
        )  # fmt: skip

    if estimate is None:
        return done(None, "no reader read enough cases")
    draws = _draws(used, metric, replicates, rng)
    draws = draws[~np.isnan(draws)]
    if len(draws) < replicates / 2:
        return done(None, "most permutations leave readers without cases of a class")
    return done(draws)


def _draws(
    readings: Readings, metric: str, replicates: int, rng: np.random.Generator
) -> FloatArray:
    parts = []
    for start in range(0, replicates, _BLOCK):
        size = min(_BLOCK, replicates - start)
        truth = _shuffled(readings, size, rng)
        found = weighted_values(readings, metric, truth, 1 - truth)
        known = ~np.isnan(found)
        total = known.sum(axis=1)
        mean = np.full(size, np.nan)
        np.divide(np.where(known, found, 0.0).sum(axis=1), total, out=mean, where=total > 0)
        parts.append(mean)
    return np.concatenate(parts)


def _shuffled(readings: Readings, size: int, rng: np.random.Generator) -> FloatArray:
    """(size, K) truth with labels exchanged between units of equally many cases."""
    truth = np.tile(readings.is_positive.astype(np.float64), (size, 1))
    order = np.argsort(readings.unit, kind="stable")
    counts = np.bincount(readings.unit)
    starts = np.cumsum(counts) - counts
    for n in np.unique(counts):
        first = starts[counts == n]
        cases = order[first[:, None] + np.arange(n)]  # (units, n)
        labels = truth[:, cases]
        labels = rng.permuted(labels, axis=2) if n > 1 else labels
        shuffle = np.argsort(rng.random((size, len(cases))), axis=1)
        truth[:, cases] = np.take_along_axis(labels, shuffle[:, :, None], axis=1)
    return truth
