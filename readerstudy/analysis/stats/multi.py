"""Several conditions (generators, modalities) compared on the same readers.

Obuchowski-Rockette with Hillis' degrees of freedom for I conditions. References: Obuchowski and
Rockette, Commun Stat Simul 24:285 (1995); Hillis, Stat Med 26:596 (2007); Hillis, Berbaum, Metz,
Acad Radiol 15:647 (2008).

    RRRC  F = MS(T) / (MS(TR) + J max(Cov2 - Cov3, 0)),   df1 = I - 1,
          df2 = denominator^2 / (MS(TR)^2 / ((I - 1)(J - 1)))
    FRRC  X2 = (I - 1) MS(T) / (Var - Cov1 + (J - 1)(Cov2 - Cov3)),   df = I - 1
    RRFC  F = MS(T) / MS(TR),   df = I - 1, (I - 1)(J - 1)

A pairwise difference has SE^2 = 2 denominator / J. Var and Cov1..3 are means of the error
covariance over: the same reading; the same reader, another condition; another reader, the same
condition; both other.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from typing import Literal

import numpy as np
from scipy import stats

from readerstudy.analysis.stats import metrics
from readerstudy.analysis.stats.conditions import Conditions
from readerstudy.analysis.stats.covariance import Covariance, error_cov
from readerstudy.analysis.stats.inference import NO_SPREAD, Inference, f_tail, holm, infer
from readerstudy.analysis.stats.mrmc import MeanInference, ReaderValue, infer_mean
from readerstudy.analysis.stats.types import FloatArray

Design = Literal["factorial", "cases_in_conditions", "cases_in_readers"]
DESIGNS: tuple[Design, ...] = ("factorial", "cases_in_conditions", "cases_in_readers")


@dataclass(frozen=True)
class ConditionReader:
    """One reader's metric in one condition, with its standard error over cases."""

    reader: str
    condition: str
    value: float
    se: float | None
    reason: str | None = None


@dataclass(frozen=True)
class GlobalTest:
    """Test that all conditions have the same mean."""

    distribution: Literal["F", "chi2"]
    statistic: float | None
    df1: int
    df2: float | None
    p: float | None
    denominator: float | None
    reason: str | None
    method: str


@dataclass(frozen=True)
class PairDifference:
    """Mean of ``first`` minus mean of ``second``; ``p_holm`` is adjusted over all pairs."""

    first: str
    second: str
    result: Inference
    p_holm: float | None


@dataclass(frozen=True)
class ConditionMean:
    """Mean of one condition against guessing, from that condition's own components."""

    condition: str
    ms_r: float | None
    var_error: float | None
    cov2: float | None
    result: Inference


@dataclass(frozen=True)
class MultiResult:
    """One way to generalize: what is random, the global test, pairs and means."""

    generalizes_to: str
    test: GlobalTest
    differences: tuple[PairDifference, ...]
    means: tuple[ConditionMean, ...]


@dataclass(frozen=True)
class OrComponents:
    """Mean squares, covariances and variance components.

    ``var_reader`` and ``var_condition_reader`` are moment estimates and can be negative; their
    difference of Cov2 and Cov3 is taken as it is.
    """

    ms_t: float
    ms_r: float
    ms_tr: float
    var_error: float
    cov1: float
    cov2: float
    cov3: float
    var_reader: float
    var_condition_reader: float


@dataclass(frozen=True)
class OrMulti:
    """Obuchowski-Rockette analysis of several conditions.

    ``components`` is None, and every test carries a reason, where fewer than two readers have the
    metric in every condition or the covariance cannot be estimated.
    """

    metric: str
    label: str
    positive: str
    covariance: str
    design: Design
    unit: str
    n_units: int
    names: tuple[str, ...]
    n_readers: int
    readers: tuple[ConditionReader, ...]
    left_out: tuple[ReaderValue, ...]
    components: OrComponents | None
    rrrc: MultiResult
    frrc: MultiResult
    rrfc: MultiResult
    reason: str | None = None


def or_multi(
    conditions: Conditions,
    metric: str = "auc",
    cov: Covariance = "jackknife",
    *,
    design: Design = "factorial",
    margins: tuple[float, ...] = (),
    null: float | None = None,
) -> OrMulti:
    """Compare the readers' mean ``metric`` between conditions.

    Args:
        design: "factorial" takes all covariances from the data (conditions may share all, some or
            no cases); "cases_in_conditions" sets Cov1 = Cov3 = 0 (every condition has its own
            cases), "cases_in_readers" sets Cov2 = Cov3 = 0 (every reader has).
        margins: equivalence margins for the differences, around zero.
        null: value under guessing, for the mean of each condition.

    Raises:
        ValueError: an unknown metric, covariance or design.
    """
    if design not in DESIGNS:
        raise ValueError(f"unknown design {design!r}; one of {', '.join(DESIGNS)}")
    spec = metrics.metric(metric)
    if metric == "fool_rate":
        conditions = Conditions(conditions.names, tuple(r.of_deceiving() for r in conditions.each))
    theta = np.array([metrics.values(own, metric) for own in conditions.each])
    whole = ~np.isnan(theta).any(axis=0)
    left_out = tuple(
        ReaderValue(name, None, None, "did not read enough cases in every condition")
        for name, ok in zip(conditions.readers, whole, strict=True)
        if not ok
    )
    used, theta = conditions.of_readers(whole), theta[:, whole]
    stacked = used.stacked()
    stacked = stacked.of_cases(np.asarray(stacked.read.any(axis=0)))
    error = error_cov(stacked, metric, cov) if used.n_readers else None
    matrix = None if error is None else error.matrix
    reason = _why_not(used, error.reason if error else None)
    parts = None if reason or matrix is None else components(theta, matrix, design)
    base = (spec.null if spec.null is not None else 0.5) if null is None else null
    singles = condition_means(theta, matrix, base, error.reason if error else None)
    return OrMulti(
        metric, spec.label, stacked.positive, cov, design, stacked.unit_name,
        error.n_units if error else 0, conditions.names, used.n_readers,
        _reader_rows(used, theta, matrix), left_out, parts,
        *compare(conditions.names, theta, parts, singles, margins, reason), reason,
    )  # fmt: skip


def components(theta: FloatArray, matrix: FloatArray, design: Design = "factorial") -> OrComponents:
    """Mean squares and covariances from metrics (I, J) and the covariance of the I * J rows."""
    i, j = theta.shape
    grand, row, column = theta.mean(), theta.mean(axis=1), theta.mean(axis=0)
    ms_t = float(j * ((row - grand) ** 2).sum() / (i - 1))
    ms_r = float(i * ((column - grand) ** 2).sum() / (j - 1))
    inner = theta - row[:, None] - column[None, :] + grand
    ms_tr = float((inner**2).sum() / ((i - 1) * (j - 1)))
    v = matrix.reshape(i, j, i, j)
    total = float(v.sum())
    var = float(np.einsum("ijij->", v))
    same_reader = float(np.einsum("ijkj->", v)) - var
    same_condition = float(np.einsum("ijik->", v)) - var
    cov1 = same_reader / (i * (i - 1) * j)
    cov2 = same_condition / (i * j * (j - 1))
    cov3 = (total - var - same_reader - same_condition) / (i * (i - 1) * j * (j - 1))
    var /= i * j
    if design == "cases_in_conditions":
        cov1 = cov3 = 0.0
    elif design == "cases_in_readers":
        cov2 = cov3 = 0.0
    return OrComponents(
        ms_t, ms_r, ms_tr, var, cov1, cov2, cov3,
        (ms_r - ms_tr) / i - cov1 + cov3, ms_tr - var + cov1 + (cov2 - cov3),
    )  # fmt: skip


def condition_means(
    theta: FloatArray, matrix: FloatArray | None, null: float, reason: str | None = None
) -> list[MeanInference]:
    """Each condition's mean from its own block of the covariance of all I * J rows."""
    i, j = theta.shape
    blocks = [None if matrix is None else matrix[k * j : (k + 1) * j, k * j : (k + 1) * j]
              for k in range(i)]  # fmt: skip
    return [infer_mean(row, own, null=null, reason=reason) for row, own in zip(theta, blocks)]


def compare(
    names: tuple[str, ...],
    theta: FloatArray,
    parts: OrComponents | None,
    singles: list[MeanInference],
    margins: tuple[float, ...] = (),
    reason: str | None = None,
) -> tuple[MultiResult, MultiResult, MultiResult]:
    """(RRRC, FRRC, RRFC) from the components; a figure of merit of any kind can use it."""
    df1 = theta.shape[0] - 1
    rows = []
    for kind, words in _WORDS.items():
        denominator, df2, why = _error_term(kind, parts, *theta.shape)
        test = _global_test(
            kind, parts.ms_t if parts else None, denominator, df1, df2, reason or why
        )
        means = tuple(
            ConditionMean(name, one.ms_r, one.var_error, one.cov2, getattr(one, kind))
            for name, one in zip(names, singles, strict=True)
        )
        pairs = _pairs(kind, names, theta, test, margins)
        rows.append(MultiResult(words, test, pairs, means))
    return rows[0], rows[1], rows[2]


# -------------------------------------------------------------------------------------- details

_WORDS = {
    "rrrc": "other readers and other cases",
    "frrc": "these readers, other cases",
    "rrfc": "other readers, these cases",
}
_METHODS = {
    "rrrc": "Obuchowski-Rockette, readers and cases random, Hillis df",
    "frrc": "Obuchowski-Rockette, these readers, cases random",
    "rrfc": "condition x reader analysis of variance, readers random, these cases",
}


def _why_not(used: Conditions, reason: str | None) -> str | None:
    if used.n_conditions < 2:
        return "one condition: there is nothing to compare"
    if used.n_readers < 2:
        return "fewer than two readers have the metric in every condition"
    return reason


def _reader_rows(
    used: Conditions, theta: FloatArray, matrix: FloatArray | None
) -> tuple[ConditionReader, ...]:
    rows = []
    for i, name in enumerate(used.names):
        for j, reader in enumerate(used.readers):
            at = i * used.n_readers + j
            variance = None if matrix is None else float(matrix[at, at])
            se = sqrt(variance) if variance is not None and variance >= 0 else None
            why = None if se is not None else "the error covariance cannot be estimated"
            rows.append(ConditionReader(reader, name, float(theta[i, j]), se, why))
    return tuple(rows)


def _error_term(
    kind: str, parts: OrComponents | None, i: int, j: int
) -> tuple[float | None, float | None, str | None]:
    """Denominator, its degrees of freedom (None = infinite), and why it cannot serve."""
    if parts is None:
        return None, None, "the error covariance cannot be estimated"
    # Below this a variance is what rounding left of terms that cancel.
    least = max(NO_SPREAD**2, 1e-13 * abs(parts.var_error))
    free = (i - 1) * (j - 1)
    denominator, df2 = parts.ms_tr, float(free)
    if kind == "frrc":
        denominator = parts.var_error - parts.cov1 + (j - 1) * (parts.cov2 - parts.cov3)
    elif kind == "rrrc":
        denominator += j * max(parts.cov2 - parts.cov3, 0.0)
    if denominator <= least:
        reason = "no variation between readers or cases: the standard error is zero"
        return denominator, None, reason
    if kind == "frrc" or parts.ms_tr <= least:
        return denominator, None, None
    return denominator, df2 if kind == "rrfc" else denominator**2 / (parts.ms_tr**2 / free), None


def _global_test(
    kind: str, ms_t: float | None, denominator: float | None, df1: int, df2: float | None,
    reason: str | None,
) -> GlobalTest:  # fmt: skip
    distribution: Literal["F", "chi2"] = "chi2" if kind == "frrc" else "F"
    if reason is not None or denominator is None or ms_t is None:
        return GlobalTest(distribution, None, df1, df2, None, denominator, reason, _METHODS[kind])
    if kind == "frrc":
        statistic = df1 * ms_t / denominator
        p = float(stats.chi2.sf(statistic, df1))
    else:
        statistic = ms_t / denominator
        # no df2: no spread of the readers' differences, the error term is that of the cases alone
        p = f_tail(statistic, df1, df2)
    return GlobalTest(distribution, statistic, df1, df2, p, denominator, None, _METHODS[kind])


def _pairs(
    kind: str, names: tuple[str, ...], theta: FloatArray, test: GlobalTest,
    margins: tuple[float, ...],
) -> tuple[PairDifference, ...]:  # fmt: skip
    n_readers = theta.shape[1]
    found = []
    for a, b in combinations(range(len(names)), 2):
        gap = float((theta[a] - theta[b]).mean()) if n_readers else None
        usable = test.denominator is not None and test.reason is None
        se = sqrt(2 * float(test.denominator or 0.0) / n_readers) if usable else None
        result = infer(
            gap, se, test.df2, method=_METHODS[kind], null=0.0, margins=margins, reason=test.reason
        )
        found.append((names[a], names[b], result))
    adjusted = holm([result.p for _, _, result in found])
    return tuple(PairDifference(*pair, p) for pair, p in zip(found, adjusted, strict=True))
