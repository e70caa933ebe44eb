"""Multi-reader multi-case inference: readers and cases are both samples.

Obuchowski-Rockette model for one condition (a Visual Turing Test has no second modality), with
Hillis' degrees of freedom. References: Obuchowski and Rockette, Commun Stat Simul 24:285 (1995);
Hillis, Murphy, Berbaum, Stat Med 24:1579 (2005); Hillis, Stat Med 26:596 (2007), section 5.3.

    MS(R) = sum (theta_j - mean)^2 / (J - 1)
    SE^2  = MS(R) / J + max(Cov2, 0)
    df    = (MS(R) + J max(Cov2, 0))^2 / (MS(R)^2 / (J - 1))

Cov2 is the mean off-diagonal, Var the mean diagonal, of the error covariance.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from readerstudy.analysis.stats import metrics
from readerstudy.analysis.stats.covariance import Covariance, error_cov
from readerstudy.analysis.stats.inference import NO_SPREAD, Inference, infer
from readerstudy.analysis.stats.readings import Readings
from readerstudy.analysis.stats.types import FloatArray


@dataclass(frozen=True)
class ReaderValue:
    """One reader's metric with the standard error over cases."""

    reader: str
    value: float | None
    se: float | None
    reason: str | None = None


@dataclass(frozen=True)
class OrSingle:
    """Obuchowski-Rockette analysis of one condition.

    Attributes:
        rrrc: readers and cases random (the primary answer).
        frrc: these readers, cases random.
        rrfc: readers random, these cases.
        ms_r, var_error, cov2: components; ``cov2_negative`` marks a negative estimate, which
            enters the formulas as zero.
        left_out: readers whose metric is undefined, with the reason.
    """

    metric: str
    label: str
    positive: str
    covariance: str
    unit: str
    n_units: int
    n_readers: int
    n_positive: int
    n_negative: int
    readers: tuple[ReaderValue, ...]
    left_out: tuple[ReaderValue, ...]
    ms_r: float | None
    var_error: float | None
    cov2: float | None
    cov2_negative: bool
    rrrc: Inference
    frrc: Inference
    rrfc: Inference


@dataclass(frozen=True)
class ReaderAverage:
    """Mean over readers with cases fixed: t interval from the spread between readers."""

    metric: str
    n_readers: int
    sd: float | None
    minimum: float | None
    maximum: float | None
    result: Inference


def or_single(
    readings: Readings,
    metric: str = "auc",
    cov: Covariance = "jackknife",
    *,
    null: float | None = None,
    margins: tuple[float, ...] = (),
) -> OrSingle:
    """Obuchowski-Rockette estimate, intervals and tests of the readers' mean ``metric``.

    Args:
        readings: first readings; readers without the needed cases are left out and listed.
        cov: error covariance, see :mod:`covariance`.
        null: value under guessing; the metric's own by default.
        margins: equivalence margins to test around ``null``.
    """
    spec = metrics.metric(metric)
    base = (spec.null if spec.null is not None else 0.5) if null is None else null
    if metric == "fool_rate":
        readings = readings.of_deceiving()
    theta_all = metrics.values(readings, metric)
    defined = ~np.isnan(theta_all)
    left_out = tuple(
        ReaderValue(name, None, None, _why_undefined(spec.cases))
        for name, ok in zip(readings.readers, defined, strict=True)
        if not ok
    )
    used = readings.of_readers(defined)
    theta = theta_all[defined]
    error = error_cov(used, metric, cov) if len(theta) else None
    parts = _components(theta, error.matrix if error else None, error.reason if error else None)
    readers = tuple(
        ReaderValue(name, float(value), se, None if se is not None else parts.error_reason)
        for name, value, se in zip(used.readers, theta, parts.se_by_reader, strict=True)
    )
    return OrSingle(
        metric,
        spec.label,
        readings.positive,
        cov,
        readings.unit_name,
        error.n_units if error else 0,
        len(theta),
        readings.n_positive,
        readings.n_negative,
        readers,
        left_out,
        parts.ms_r,
        parts.var,
        parts.cov2,
        parts.cov2 is not None and parts.cov2 < 0,
        _rrrc(parts, base, margins),
        _frrc(parts, base, margins),
        _rrfc(parts, base, margins),
    )


def reader_average(
    readings: Readings,
    metric: str,
    *,
    null: float | None = None,
    margins: tuple[float, ...] = (),
) -> ReaderAverage:
    """Mean of the readers' ``metric``; says nothing about other cases (label it so)."""
    spec = metrics.metric(metric)
    base = (spec.null if spec.null is not None else 0.5) if null is None else null
    theta = metrics.values(readings.of_deceiving() if metric == "fool_rate" else readings, metric)
    theta = theta[~np.isnan(theta)]
    parts = _components(theta, None, None)
    return ReaderAverage(
        metric,
        len(theta),
        None if parts.ms_r is None else sqrt(parts.ms_r),
        float(theta.min()) if len(theta) else None,
        float(theta.max()) if len(theta) else None,
        _rrfc(parts, base, margins),
    )


@dataclass(frozen=True)
class MeanInference:
    """Mean over readers of any figure of merit, with what is random in each of three ways."""

    n_readers: int
    ms_r: float | None
    var_error: float | None
    cov2: float | None
    rrrc: Inference
    frrc: Inference
    rrfc: Inference


def infer_mean(
    theta: FloatArray,
    matrix: FloatArray | None,
    *,
    null: float = 0.5,
    margins: tuple[float, ...] = (),
    reason: str | None = None,
) -> MeanInference:
    """Obuchowski-Rockette inference from readers' values (J,) and their error covariance (J, J).

    Args:
        reason: why there is no covariance, where ``matrix`` is None.
    """
    parts = _components(theta, matrix, reason)
    return MeanInference(
        parts.n, parts.ms_r, parts.var, parts.cov2, _rrrc(parts, null, margins),
        _frrc(parts, null, margins), _rrfc(parts, null, margins),
    )  # fmt: skip


# -------------------------------------------------------------------------------------- details


@dataclass(frozen=True)
class _Parts:
    n: int
    mean: float | None
    ms_r: float | None
    var: float | None
    cov2: float | None
    se_by_reader: list[float | None]
    error_reason: str | None


def _components(theta: FloatArray, matrix: FloatArray | None, reason: str | None) -> _Parts:
    n = len(theta)
    mean = float(theta.mean()) if n else None
    ms_r = float(theta.var(ddof=1)) if n > 1 else None
    if ms_r is not None and ms_r <= NO_SPREAD**2:
        ms_r = 0.0
    if matrix is None:
        reason = reason or "no reader read enough cases"
        return _Parts(n, mean, ms_r, None, None, [None] * n, reason)
    diagonal = np.diag(matrix)
    cov2 = float((matrix.sum() - diagonal.sum()) / (n * (n - 1))) if n > 1 else None
    # An unbiased variance can come out below zero: there is no standard error then.
    se: list[float | None] = [sqrt(v) if v >= 0 else None for v in diagonal.tolist()]
    return _Parts(
        n,
        mean,
        ms_r,
        float(diagonal.mean()),
        cov2,
        se,
        "the unbiased variance estimate is negative" if None in se else None,
    )


def _rrrc(parts: _Parts, null: float, margins: tuple[float, ...]) -> Inference:
    method = "Obuchowski-Rockette, readers and cases random, Hillis df"
    if parts.ms_r is None or parts.cov2 is None:
        reason = _few(parts.n) or parts.error_reason
        return infer(
            parts.mean, None, None, method=method, null=null, margins=margins, reason=reason
        )
    shared = max(parts.cov2, 0.0)
    se = sqrt(parts.ms_r / parts.n + shared)
    df = None
    if parts.ms_r > 0:
        df = (parts.ms_r + parts.n * shared) ** 2 / (parts.ms_r**2 / (parts.n - 1))
    return infer(parts.mean, se, df, method=method, null=null, margins=margins)


def _frrc(parts: _Parts, null: float, margins: tuple[float, ...]) -> Inference:
    method = "Obuchowski-Rockette, these readers, cases random"
    if parts.var is None or parts.n == 0:
        return infer(
            parts.mean,
            None,
            None,
            method=method,
            null=null,
            margins=margins,
            reason=parts.error_reason or "no reader read enough cases",
        )
    shared = max(parts.cov2 or 0.0, 0.0)
    variance = (parts.var + (parts.n - 1) * shared) / parts.n
    se = sqrt(variance) if variance >= 0 else None
    return infer(parts.mean, se, None, method=method, null=null, margins=margins)


def _rrfc(parts: _Parts, null: float, margins: tuple[float, ...]) -> Inference:
    method = "mean over readers, readers random, these cases"
    if parts.ms_r is None:
        return infer(
            parts.mean, None, None, method=method, null=null, margins=margins, reason=_few(parts.n)
        )
    return infer(
        parts.mean,
        sqrt(parts.ms_r / parts.n),
        parts.n - 1,
        method=method,
        null=null,
        margins=margins,
    )


def _few(n: int) -> str | None:
    if n == 0:
        return "no reader read enough cases"
    if n == 1:
        return "one reader: the variation between readers cannot be estimated"
    return None


def _why_undefined(cases: str) -> str:
    if cases == "all":
        return "did not read cases of both classes"
    return f"read no {cases} cases"
