"""Dorfman-Berbaum-Metz: an analysis of variance of jackknife pseudovalues.

Reference: Dorfman, Berbaum, Metz, Invest Radiol 27:723 (1992), with the degrees of freedom and the
model simplification of Hillis, Berbaum, Metz, Acad Radiol 15:647 (2008). For complete data it
gives the same F, degrees of freedom and p as Obuchowski-Rockette with the jackknife covariance,
by another road: that makes it a check of both. Pseudovalues are normalized as in Hillis,
Obuchowski, Schartz, Berbaum, Stat Med 24:1579 (2005).

    Y_ijk = theta_ij - (U - 1) (theta_ij(k) - mean_k theta_ij(k))     (unit k left out of U)
    F     = MS(T) / (MS(TR) + max(MS(TC) - MS(TRC), 0))
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import sqrt

import numpy as np

from readerstudy.analysis.stats import metrics
from readerstudy.analysis.stats.conditions import Conditions
from readerstudy.analysis.stats.inference import NO_SPREAD, Inference, f_tail, holm, infer
from readerstudy.analysis.stats.multi import GlobalTest, PairDifference
from readerstudy.analysis.stats.types import FloatArray

METHOD = "Dorfman-Berbaum-Metz, readers and cases random, Hillis df"


@dataclass(frozen=True)
class DbmComponents:
    """Mean squares of the pseudovalues and the variance components they imply (may be negative)."""

    ms_t: float
    ms_r: float
    ms_c: float
    ms_tr: float
    ms_tc: float
    ms_rc: float
    ms_trc: float
    var_r: float
    var_c: float
    var_tr: float
    var_tc: float
    var_rc: float
    var_error: float


@dataclass(frozen=True)
class Dbm:
    """Comparison of conditions, and the mean of each one against guessing.

    ``means`` holds (condition, inference); with one condition it is the whole result.
    """

    metric: str
    positive: str
    unit: str
    n_units: int
    n_readers: int
    names: tuple[str, ...]
    components: DbmComponents | None
    test: GlobalTest
    differences: tuple[PairDifference, ...]
    means: tuple[tuple[str, Inference], ...]
    reason: str | None = None


def dbm(conditions: Conditions, metric: str = "auc", *, null: float | None = None) -> Dbm:
    """Analyse pseudovalues of the readers' ``metric``, readers and cases random.

    Raises:
        ValueError: an unknown metric.
    """
    spec = metrics.metric(metric)
    base = (spec.null if spec.null is not None else 0.5) if null is None else null
    if metric == "fool_rate":
        conditions = Conditions(conditions.names, tuple(r.of_deceiving() for r in conditions.each))
    stacked = metrics.relevant(conditions.stacked(), metric)
    theta = metrics.values(stacked, metric).reshape(conditions.n_conditions, -1)
    pseudo, reason = None, _why_not(conditions, theta, stacked.fully_crossed, stacked.n_units)
    if reason is None:
        u = stacked.n_units
        left = metrics.leave_one_out(stacked, metric).reshape(*theta.shape, u)
        if np.isnan(left).any():
            reason = f"leaving out one {stacked.unit_name} leaves a reader without cases of a class"
        else:
            # Normalized: for a metric that is no mean they would average to something else.
            pseudo = theta[:, :, None] - (u - 1) * (left - left.mean(axis=2, keepdims=True))
    # One condition has nothing to compare but still a mean with its interval.
    alone = conditions.n_conditions == 1 and reason is None
    parts = None if pseudo is None or alone else _components(pseudo)
    test, pairs = _compare(
        conditions.names,
        theta,
        pseudo,
        parts,
        "one condition: there is nothing to compare" if alone else reason,
    )
    means = tuple(
        (name, _mean(theta[i], None if pseudo is None else pseudo[i], base, reason))
        for i, name in enumerate(conditions.names)
    )
    return Dbm(
        metric, stacked.positive, stacked.unit_name, stacked.n_units, conditions.n_readers,
        conditions.names, parts, test, pairs, means, reason,
    )  # fmt: skip


def _why_not(conditions: Conditions, theta: FloatArray, crossed: bool, units: int) -> str | None:
    if conditions.n_readers < 2:
        return "one reader: the variation between readers cannot be estimated"
    if not crossed:
        return "some readings are missing: use Obuchowski-Rockette or the U-statistic"
    if np.isnan(theta).any() or units < 2:
        return "a reader did not read enough cases"
    return None


def _components(y: FloatArray) -> DbmComponents:
    i, j, k = y.shape
    g = y.mean()
    t, r, c = y.mean(axis=(1, 2)), y.mean(axis=(0, 2)), y.mean(axis=(0, 1))
    tr, tc, rc = y.mean(axis=2), y.mean(axis=1), y.mean(axis=0)
    ms_t = j * k * float(((t - g) ** 2).sum()) / (i - 1)
    ms_r = i * k * float(((r - g) ** 2).sum()) / (j - 1)
    ms_c = i * j * float(((c - g) ** 2).sum()) / (k - 1)
    ms_tr = _interaction(tr, t, r, g) * k
    ms_tc = _interaction(tc, t, c, g) * j
    ms_rc = _interaction(rc, r, c, g) * i
    rest = (
        y - tr[:, :, None] - tc[:, None, :] - rc[None, :, :]
        + t[:, None, None] + r[None, :, None] + c[None, None, :] - g
    )  # fmt: skip
    ms_trc = float((rest**2).sum()) / ((i - 1) * (j - 1) * (k - 1))
    return DbmComponents(
        ms_t, ms_r, ms_c, ms_tr, ms_tc, ms_rc, ms_trc,
        (ms_r - ms_tr - ms_rc + ms_trc) / (i * k), (ms_c - ms_tc - ms_rc + ms_trc) / (i * j),
        (ms_tr - ms_trc) / k, (ms_tc - ms_trc) / j, (ms_rc - ms_trc) / i, ms_trc,
    )  # fmt: skip


def _interaction(cells: FloatArray, rows: FloatArray, columns: FloatArray, grand: float) -> float:
    rest = cells - rows[:, None] - columns[None, :] + grand
    return float((rest**2).sum()) / ((len(rows) - 1) * (len(columns) - 1))


def _compare(
    names: tuple[str, ...], theta: FloatArray, pseudo: FloatArray | None,
    parts: DbmComponents | None, reason: str | None,
) -> tuple[GlobalTest, tuple[PairDifference, ...]]:  # fmt: skip
    df1 = len(names) - 1
    denominator = df2 = None
    if parts is not None and pseudo is not None:
        j = pseudo.shape[1]
        denominator = parts.ms_tr + max(parts.ms_tc - parts.ms_trc, 0.0)
        least = max(NO_SPREAD**2, 1e-13 * float(pseudo.var()))
        if denominator <= least:
            reason = "no variation between readers or cases: the standard error is zero"
        elif parts.ms_tr > least:
            df2 = denominator**2 / (parts.ms_tr**2 / (df1 * (j - 1)))
    if reason is not None or parts is None or denominator is None or pseudo is None:
        test = GlobalTest("F", None, df1, df2, None, denominator, reason, METHOD)
    else:
        f = parts.ms_t / denominator
        test = GlobalTest("F", f, df1, df2, f_tail(f, df1, df2), denominator, None, METHOD)
    found = []
    for a, b in combinations(range(len(names)), 2):
        gaps = theta[a] - theta[b]
        gap = None if len(gaps) == 0 or np.isnan(gaps).any() else float(gaps.mean())
        se = None
        if reason is None and denominator is not None and pseudo is not None:
            se = sqrt(2 * denominator / (pseudo.shape[1] * pseudo.shape[2]))
        done = infer(gap, se, df2, method=METHOD, null=0.0, reason=reason)
        found.append((names[a], names[b], done))
    adjusted = holm([done.p for _, _, done in found])
    return test, tuple(PairDifference(*row, p) for row, p in zip(found, adjusted, strict=True))


def _mean(theta: FloatArray, y: FloatArray | None, null: float, reason: str | None) -> Inference:
    """Reader x unit analysis of variance of one condition."""
    mean = float(theta.mean()) if len(theta) and not np.isnan(theta).any() else None
    if y is None:
        return infer(mean, None, None, method=METHOD, null=null, reason=reason)
    j, k = y.shape
    g, r, c = float(y.mean()), y.mean(axis=1), y.mean(axis=0)
    ms_r = k * float(((r - g) ** 2).sum()) / (j - 1)
    ms_c = j * float(((c - g) ** 2).sum()) / (k - 1)
    spread = ms_r + max(ms_c - _interaction(y, r, c, g), 0.0)
    df = spread**2 / (ms_r**2 / (j - 1)) if ms_r > NO_SPREAD**2 * k else None
    return infer(mean, sqrt(spread / (j * k)), df, method=METHOD, null=null)
