"""Cluster-robust regressions, for sensitivity analyses only.

One-way clustering (GEE) on reader or case ignores the other source of variation: under pure
guessing it rejects up to 38 times in a hundred. Two-way clustering on reader and case is honest
but conservative with few readers. Reference: Cameron, Gelbach, Miller, J Bus Econ Stat 29:238
(2011); Liang and Zeger, Biometrika 73:13 (1986).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, sqrt
from typing import Literal

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy import stats

from readerstudy.analysis.stats.types import FloatArray, Interval

Correlation = Literal["independence", "exchangeable"]


@dataclass(frozen=True)
class Coefficient:
    """One coefficient on the logit scale; t with clusters - 1 degrees of freedom beside z."""

    name: str
    estimate: float
    se: float
    z: float
    p_z: float
    p_t: float


@dataclass(frozen=True)
class Gee:
    """Logistic GEE with the sandwich variance, clustered ONE way."""

    cluster: str
    correlation: str
    n_clusters: int
    coefficients: tuple[Coefficient, ...]
    probability: float | None
    ci95_z: Interval | None
    ci95_t: Interval | None
    alpha: float | None
    wald: tuple[float, int, float] | None
    reason: str | None = None


@dataclass(frozen=True)
class TwoWay:
    """Mean of a 0/1 outcome with reader and case clusters, on the logit and the plain scale."""

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


def gee(
    outcome: FloatArray,
    cluster: pd.Series[str],
    design: dict[str, FloatArray] | None = None,
    *,
    name: str,
    correlation: Correlation = "independence",
) -> Gee:
    """Logistic regression of a 0/1 outcome with one-way clustered variance.

    Args:
        design: columns besides the intercept; the Wald test covers all of them.
        name: what the clusters are, for the label.
    """
    groups, codes = np.unique(cluster.to_numpy(dtype=object), return_inverse=True)
    n = len(groups)
    if len(outcome) == 0 or outcome.min() == outcome.max() or n < 2:
        reason = "fewer than two clusters" if n < 2 else "all outcomes are alike"
        return Gee(name, correlation, n, (), None, None, None, None, None, reason)
    columns = {"(Intercept)": np.ones(len(outcome)), **(design or {})}
    order = np.argsort(codes, kind="stable")
    matrix = np.column_stack(list(columns.values()))[order]
    structure = (
        sm.cov_struct.Exchangeable
        if correlation == "exchangeable"
        else (sm.cov_struct.Independence)
    )
    model = sm.GEE(
        outcome[order], matrix, groups=codes[order], family=sm.families.Binomial(),
        cov_struct=structure(),
    )  # fmt: skip
    fit = model.fit(cov_type="robust")
    beta, covariance = np.asarray(fit.params), np.asarray(fit.cov_params())
    rows = []
    for i, key in enumerate(columns):
        se = sqrt(covariance[i, i])
        z = float(beta[i]) / se
        rows.append(Coefficient(key, float(beta[i]), se, z, float(2 * stats.norm.sf(abs(z))),
                                float(2 * stats.t.sf(abs(z), n - 1))))  # fmt: skip
    first = rows[0]
    alone = len(columns) == 1
    alpha = float(fit.cov_struct.dep_params) if correlation == "exchangeable" else None
    return Gee(
        name, correlation, n, tuple(rows),
        _logistic(first.estimate) if alone else None,
        _back(first.estimate, first.se, float(stats.norm.ppf(0.975))) if alone else None,
        _back(first.estimate, first.se, float(stats.t.ppf(0.975, n - 1))) if alone else None,
        alpha, None if alone else _wald(beta[1:], covariance[1:, 1:]),
    )  # fmt: skip


def twoway_cluster(
    outcome: FloatArray, reader: pd.Series[str], case: pd.Series[str], null: float = 0.5
) -> TwoWay:
    """Mean of ``outcome`` with variance V_reader + V_case - V_reading.

    A sum below zero (it can happen) gives way to the larger one-way variance. t with
    min(readers, cases) - 1 degrees of freedom.
    """
    n_readers, n_cases = reader.nunique(), case.nunique()
    if len(outcome) == 0 or outcome.min() == outcome.max():
        mean = float(outcome.mean()) if len(outcome) else None
        return TwoWay(n_readers, n_cases, mean, None, None, None, None, None, None, None,
                      "all outcomes are alike")  # fmt: skip
    df = min(n_readers, n_cases) - 1
    if df < 1:
        return TwoWay(n_readers, n_cases, float(outcome.mean()), None, None, None, None, None,
                      None, None, "fewer than two readers or cases")  # fmt: skip
    p = float(outcome.mean())
    residual = outcome - p
    by_reader, by_case = _meat(residual, reader), _meat(residual, case)
    single = float((residual**2).sum())
    # For one mean the sandwich of a regression is just this sum.
    meat = by_reader + by_case - single
    if meat <= 0:
        meat = max(by_reader, by_case)
    n = len(outcome)
    linear = sqrt(meat) / n
    logit, se = log(p / (1 - p)), linear / (p * (1 - p))
    adjusted = (
        by_reader * n_readers / (n_readers - 1) + by_case * n_cases / (n_cases - 1)
        - single * n / (n - 1)
    )  # fmt: skip
    q = float(stats.t.ppf(0.975, df))
    statistic = (logit - log(null / (1 - null))) / se
    return TwoWay(
        n_readers, n_cases, p, logit, se,
        sqrt(adjusted) / (n * p * (1 - p)) if adjusted > 0 else None,
        _back(logit, se, q), float(2 * stats.t.sf(abs(statistic), df)), linear,
        (p - q * linear, p + q * linear),
    )  # fmt: skip


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
