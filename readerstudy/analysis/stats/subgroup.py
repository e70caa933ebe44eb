"""The same analysis inside each group of cases: organ, size band, generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from readerstudy.analysis.stats.confusion import pooled
from readerstudy.analysis.stats.covariance import Covariance
from readerstudy.analysis.stats.inference import Inference, holm, infer
from readerstudy.analysis.stats.mrmc import or_single
from readerstudy.analysis.stats.readings import Readings


@dataclass(frozen=True)
class Subgroup:
    """One group: pooled rates, and the metric with readers and cases random."""

    group: str
    positive: str
    n_readers: int
    n_positive: int
    n_negative: int
    accuracy: float | None
    sensitivity: float | None
    specificity: float | None
    metric: str
    result: Inference
    p_holm: float | None


def by(
    readings: Readings,
    labels: Sequence[str],
    metric: str = "auc",
    cov: Covariance = "jackknife",
    *,
    min_cases: int = 5,
    min_readers: int = 3,
) -> tuple[Subgroup, ...]:
    """Analyse each value of ``labels`` (one per case); Holm over the groups tested.

    A group with fewer than ``min_cases`` cases of a class, or ``min_readers`` readers, keeps its
    counts but has no estimate of ``metric``: it would say more about luck than about readers.
    """
    names = np.asarray(labels, dtype=object)
    found: list[Subgroup] = []
    for name in sorted(set(labels) - {""}):
        part = readings.of_cases(names == name)
        part = part.of_readers(np.asarray(part.read.any(axis=1)))
        table = pooled(part).table
        result = _result(part, metric, cov, min_cases, min_readers)
        found.append(
            Subgroup(
                name,
                part.positive,
                part.n_readers,
                part.n_positive,
                part.n_negative,
                table.rate("accuracy").estimate,
                table.rate("sensitivity").estimate,
                table.rate("specificity").estimate,
                metric,
                result,
                None,
            )
        )
    adjusted = holm([g.result.p for g in found])
    return tuple(replace(g, p_holm=p) for g, p in zip(found, adjusted, strict=True))


def _result(
    part: Readings, metric: str, cov: Covariance, min_cases: int, min_readers: int
) -> Inference:
    reason = None
    if min(part.n_positive, part.n_negative) < min_cases:
        reason = f"fewer than {min_cases} cases of a class"
    elif part.n_readers < min_readers:
        reason = f"fewer than {min_readers} readers"
    if reason is not None:
        return infer(None, None, None, method="not estimated", reason=reason)
    return or_single(part, metric, cov).rrrc
