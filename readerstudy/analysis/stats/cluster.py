"""Cluster-robust regressions, for sensitivity analyses only.

One-way clustering (GEE) on reader or case ignores the other source of variation: under pure
guessing it rejects up to 38 times in a hundred. Two-way clustering on reader and case is honest
but conservative with few readers. Reference: Cameron, Gelbach, Miller, J Bus Econ Stat 29:238
(2011); Liang and Zeger, Biometrika 73:13 (1986).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from math import exp, log, sqrt
from typing import Literal

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy import stats
from scipy.special import expit

from readerstudy.analysis.stats.types import FloatArray, IntArray, Interval

Correlation = Literal["independence", "exchangeable"]
Robust = Literal["robust", "bias_reduced"]
#: Printed beside every number from this module.
ONE_WAY = "sensitivity analysis: clustered one way, ignores the other source of variation"
BOTH_WAYS = "sensitivity analysis: clustered on reader and case"


@dataclass(frozen=True)
class Coefficient:
    """One coefficient on the logit scale; t with clusters - 1 degrees of freedom beside z.

    ``ci95`` goes with ``p_t``.
    """

    name: str
    estimate: float
    se: float
    z: float
    p_z: float
    p_t: float
    ci95: Interval


@dataclass(frozen=True)
class Gee:
    """Logistic GEE with the sandwich variance, clustered ONE way."""

    cluster: str
    correlation: str
    n: int
    n_clusters: int
    coefficients: tuple[Coefficient, ...]
    probability: float | None
    ci95_z: Interval | None
    ci95_t: Interval | None
    alpha: float | None
    wald: tuple[float, int, float] | None
    reason: str | None = None
    variance: str = "robust"
    label: str = ONE_WAY
    method: str = "logistic GEE, sandwich variance"


@dataclass(frozen=True)
class TwoWay:
    """Mean of a 0/1 outcome with reader and case clusters, on the logit and the plain scale."""

    n: int
    n_readers: int
    n_cases: int
    probability: float | None
    logit: float | None
    logit_se: float | None
    logit_se_adjusted: float | None
    ci95: Interval | None
    p_vs_half: float | None
    linear_se: float | None
    linear_ci95: Interval | None
    reason: str | None = None
    label: str = BOTH_WAYS
    method: str = "mean, variance clustered on reader and case, t on the logit scale"


@dataclass(frozen=True)
class TwoWaySlope:
    """Change of a 0/1 outcome per unit of a column, on the plain scale, clustered both ways."""

    n: int
    n_readers: int
    n_cases: int
    intercept: float | None
    estimate: float | None
    se: float | None
    df: int | None
    ci95: Interval | None
    p: float | None
    reason: str | None = None
    label: str = BOTH_WAYS
    method: str = "least squares, variance clustered on reader and case, t"


def gee(
    outcome: FloatArray,
    cluster: pd.Series[str],
    design: dict[str, FloatArray] | None = None,
    *,
    name: str,
    correlation: Correlation = "independence",
    robust: Robust = "robust",
) -> Gee:
    """Logistic regression of a 0/1 outcome with one-way clustered variance.

    Args:
        design: columns besides the intercept; the Wald test covers all of them.
        name: what the clusters are, for the label.
        robust: "bias_reduced" widens the sandwich for few clusters (Mancl and DeRouen,
            Biometrics 57:126, 2001).
    """
    groups, codes = np.unique(cluster.to_numpy(dtype=object), return_inverse=True)
    n = len(groups)

    def refuse(reason: str) -> Gee:
        return Gee(
            name, correlation, len(outcome), n, (), None, None, None, None, None, reason, robust
        )

    if len(outcome) == 0 or outcome.min() == outcome.max() or n < 2:
        return refuse("fewer than two clusters" if n < 2 else "all outcomes are alike")
    columns = {"(Intercept)": np.ones(len(outcome)), **(design or {})}
    order = np.argsort(codes, kind="stable")
    matrix = np.column_stack(list(columns.values()))[order]
    if np.linalg.matrix_rank(matrix) < matrix.shape[1]:
        return refuse("a column does not vary, or another one already says it")
    structure = (
        sm.cov_struct.Exchangeable
        if correlation == "exchangeable"
        else (sm.cov_struct.Independence)
    )
    model = sm.GEE(
        outcome[order], matrix, groups=codes[order], family=sm.families.Binomial(),
        cov_struct=structure(),
    )  # fmt: skip
    # A column that separates right from wrong has no finite slope: no estimate, not a warning.
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            own = robust == "bias_reduced" and correlation == "independence"
            fit = model.fit(cov_type="robust" if own else robust)
            beta, covariance = np.asarray(fit.params), np.asarray(fit.cov_params())
            if own:
                covariance = _bias_reduced(outcome[order], matrix, beta, codes[order])
        except np.linalg.LinAlgError:
            return refuse("the variance cannot be estimated from so few readings")
    if (
        not (np.isfinite(beta).all() and (np.diag(covariance) > 1e-20).all())
        or abs(beta).max() > 30
    ):
        return refuse("the regression has no finite solution, or no variation between clusters")
    rows = []
    q = float(stats.t.ppf(0.975, n - 1))
    for i, key in enumerate(columns):
        se = sqrt(covariance[i, i])
        z = float(beta[i]) / se
        rows.append(Coefficient(key, float(beta[i]), se, z, float(2 * stats.norm.sf(abs(z))),
                                float(2 * stats.t.sf(abs(z), n - 1)),
                                (float(beta[i]) - q * se, float(beta[i]) + q * se)))  # fmt: skip
    first = rows[0]
    alone = len(columns) == 1
    alpha = float(fit.cov_struct.dep_params) if correlation == "exchangeable" else None
    return Gee(
        name, correlation, len(outcome), n, tuple(rows),
        _logistic(first.estimate) if alone else None,
        _back(first.estimate, first.se, float(stats.norm.ppf(0.975))) if alone else None,
        _back(first.estimate, first.se, q) if alone else None,
        alpha, None if alone else _wald(beta[1:], covariance[1:, 1:]), None, robust,
    )  # fmt: skip


def twoway_cluster(
    outcome: FloatArray, reader: pd.Series[str], case: pd.Series[str], null: float = 0.5
) -> TwoWay:
    """Mean of ``outcome`` with variance V_reader + V_case - V_reading.

    A sum below zero (it can happen) gives way to the larger one-way variance. t with
    min(readers, cases) - 1 degrees of freedom.
    """
    size = len(outcome), reader.nunique(), case.nunique()
    n, n_readers, n_cases = size
    if n == 0 or outcome.min() == outcome.max():
        mean = float(outcome.mean()) if n else None
        return TwoWay(*size, mean, None, None, None, None, None, None, None,
                      "all outcomes are alike")  # fmt: skip
    df = min(n_readers, n_cases) - 1
    if df < 1:
        return TwoWay(*size, float(outcome.mean()), None, None, None, None, None,
                      None, None, "fewer than two readers or cases")  # fmt: skip
    p = float(outcome.mean())
    residual = outcome - p
    by_reader, by_case = _meat(residual, reader), _meat(residual, case)
    single = float((residual**2).sum())
    # For one mean the sandwich of a regression is just this sum.
    meat = by_reader + by_case - single
    if meat <= 0:
        meat = max(by_reader, by_case)
    if meat <= 1e-24:
        reason = "no variation between readers or cases: the standard error is zero"
        return TwoWay(*size, p, log(p / (1 - p)), 0.0, None, None, None, 0.0, None,
                      reason)  # fmt: skip
    linear = sqrt(meat) / n
    logit, se = log(p / (1 - p)), linear / (p * (1 - p))
    adjusted = (
        by_reader * n_readers / (n_readers - 1) + by_case * n_cases / (n_cases - 1)
        - single * n / (n - 1)
    )  # fmt: skip
    q = float(stats.t.ppf(0.975, df))
    statistic = (logit - log(null / (1 - null))) / se
    return TwoWay(
        *size, p, logit, se,
        sqrt(adjusted) / (n * p * (1 - p)) if adjusted > 0 else None,
        _back(logit, se, q), float(2 * stats.t.sf(abs(statistic), df)), linear,
        (p - q * linear, p + q * linear),
    )  # fmt: skip


def twoway_slope(
    outcome: FloatArray, column: FloatArray, reader: pd.Series[str], case: pd.Series[str]
) -> TwoWaySlope:
    """Least squares of a 0/1 outcome on one column (linear probability), clustered both ways.

    Variance and degrees of freedom as in :func:`twoway_cluster`.
    """
    size = len(outcome), reader.nunique(), case.nunique()
    _, n_readers, n_cases = size
    df = min(n_readers, n_cases) - 1
    if len(outcome) == 0 or float(np.ptp(column)) == 0 or df < 1:
        reason = "fewer than two readers or cases" if df < 1 else "the column does not vary"
        return TwoWaySlope(
            len(outcome), n_readers, n_cases, None, None, None, None, None, None, reason
        )
    centred = column - column.mean()
    spread = float(centred @ centred)
    slope = float(centred @ outcome) / spread
    residual = outcome - outcome.mean() - slope * centred
    score = residual * centred
    by_reader, by_case = _meat(score, reader), _meat(score, case)
    meat = by_reader + by_case - float(score @ score)
    if meat <= 0:
        meat = max(by_reader, by_case)
    se, intercept = sqrt(meat) / spread, float(outcome.mean() - slope * column.mean())
    if se <= 1e-12:
        return TwoWaySlope(*size, intercept, slope, 0.0, df, None, None,
                           "no variation: the standard error is zero")  # fmt: skip
    half = float(stats.t.ppf(0.975, df)) * se
    return TwoWaySlope(*size, intercept, slope, se, df, (slope - half, slope + half),
                       float(2 * stats.t.sf(abs(slope / se), df)))  # fmt: skip


def _bias_reduced(
    outcome: FloatArray, matrix: FloatArray, beta: FloatArray, codes: IntArray
) -> FloatArray:
    """Mancl and DeRouen's sandwich of an independence logit, in time linear in the readings.

    The textbook divides each cluster's residuals by I - H, as large as the cluster. With D = W X
    that leaves the cluster's score s as (I - A N)^-1 s, as large as the design: A = X'WX of the
    cluster, N the inverse of their sum.
    """
    mean = expit(matrix @ beta)
    n, p = int(codes.max()) + 1, matrix.shape[1]
    scored = matrix * (outcome - mean)[:, None]
    score = np.column_stack([np.bincount(codes, column, n) for column in scored.T])
    weight = mean * (1 - mean)
    information = np.empty((n, p, p))
    for a in range(p):
        for b in range(p):
            information[:, a, b] = np.bincount(codes, weight * matrix[:, a] * matrix[:, b], n)
    naive = np.linalg.inv(information.sum(axis=0))
    wide = np.linalg.solve(np.eye(p) - information @ naive, score[:, :, None])[:, :, 0]
    return np.asarray(naive @ (wide.T @ wide) @ naive, dtype=np.float64)


def _meat(residual: FloatArray, cluster: pd.Series[str]) -> float:
    _, codes = np.unique(cluster.to_numpy(dtype=object), return_inverse=True)
    return float((np.bincount(codes, weights=residual) ** 2).sum())


def _wald(beta: FloatArray, covariance: FloatArray) -> tuple[float, int, float]:
    chi2 = float(beta @ np.linalg.solve(covariance, beta))
    return chi2, len(beta), float(stats.chi2.sf(chi2, len(beta)))


def _logistic(x: float) -> float:
    return 1 / (1 + exp(-x))


def _back(logit: float, se: float, q: float) -> Interval:
    return _logistic(logit - q * se), _logistic(logit + q * se)
