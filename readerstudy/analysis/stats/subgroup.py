"""The same analysis inside each group of cases: organ, size band, generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from readerstudy.analysis.stats import metrics
from readerstudy.analysis.stats.cluster import Gee, gee
from readerstudy.analysis.stats.conditions import Conditions
from readerstudy.analysis.stats.confusion import pooled
from readerstudy.analysis.stats.covariance import Covariance
from readerstudy.analysis.stats.inference import Inference, holm, infer
from readerstudy.analysis.stats.mrmc import or_single
from readerstudy.analysis.stats.multi import GlobalTest, PairDifference, or_multi
from readerstudy.analysis.stats.readings import Readings

ObjectArray = npt.NDArray[np.object_]


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


@dataclass(frozen=True)
class Heterogeneity:
    """Do the groups differ?

    Attributes:
        groups: those large enough to compare; ``left_out`` are not.
        test: Obuchowski-Rockette F test with the groups as conditions, each with its own cases
            (or sharing patients); the one to report.
        differences: every two groups, Holm over the pairs.
        q, q_df, q_p, i2: Cochran's Q of the groups' estimates and Higgins' I-squared (share of
            their spread that is not chance). They take the groups as independent studies, although
            the readers are the same: descriptive.
        accuracy_gee: accuracy by group, clustered on the reader only: a sensitivity analysis.
    """

    metric: str
    label: str
    positive: str
    groups: tuple[str, ...]
    left_out: tuple[str, ...]
    n_readers: int
    test: GlobalTest | None
    differences: tuple[PairDifference, ...]
    q: float | None
    q_df: int | None
    q_p: float | None
    i2: float | None
    accuracy_gee: Gee | None
    reason: str | None = None


def heterogeneity(
    readings: Readings,
    labels: Sequence[str],
    metric: str = "auc",
    *,
    min_cases: int = 5,
    min_readers: int = 3,
) -> Heterogeneity:
    """Compare the groups of ``labels`` (one per case); cases with an empty label are left out.

    References: Hillis, Stat Med 33:330 (2014) for cases nested in conditions; Higgins and
    Thompson, Stat Med 21:1539 (2002) for I-squared.
    """
    found = by(readings, labels, metric, min_cases=min_cases, min_readers=min_readers)
    used = tuple(g.group for g in found if g.result.se is not None and g.result.se > 0)
    left_out = tuple(g.group for g in found if g.group not in used)
    spec = metrics.metric(metric)
    if len(used) < 2:
        return Heterogeneity(
            metric, spec.label, readings.positive, used, left_out, readings.n_readers, None, (),
            None, None, None, None, None, "fewer than two groups are large enough",
        )  # fmt: skip
    names = np.asarray(labels, dtype=object)
    conditions = Conditions.of({name: readings.of_cases(names == name) for name in used})
    shared = readings.n_units < readings.n_cases
    done = or_multi(conditions, metric, design="factorial" if shared else "cases_in_conditions")
    q, q_df, q_p, i2 = _cochran([g.result for g in found if g.group in used])
    kept = np.isin(names, used)
    return Heterogeneity(
        metric, spec.label, readings.positive, used, left_out, done.n_readers, done.rrrc.test,
        done.rrrc.differences, q, q_df, q_p, i2,
        _accuracy_by_group(readings.of_cases(kept), names[kept], used), done.reason,
    )  # fmt: skip


def _cochran(results: list[Inference]) -> tuple[float, int, float, float]:
    estimate = np.array([r.estimate for r in results], dtype=np.float64)
    weight = 1 / np.array([r.se for r in results], dtype=np.float64) ** 2
    mean = float((weight * estimate).sum() / weight.sum())
    q, df = float((weight * (estimate - mean) ** 2).sum()), len(results) - 1
    return q, df, float(stats.chi2.sf(q, df)), max(0.0, (q - df) / q) if q > 0 else 0.0


def _accuracy_by_group(readings: Readings, names: ObjectArray, groups: tuple[str, ...]) -> Gee:
    row, column = np.nonzero(readings.read)
    right = (readings.call[row, column] == 1) == readings.is_positive[column]
    design = {name: (names[column] == name).astype(np.float64) for name in groups[1:]}
    clusters = pd.Series(np.asarray(readings.readers, dtype=object)[row])
    return gee(right.astype(np.float64), clusters, design, name="reader_id")


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
