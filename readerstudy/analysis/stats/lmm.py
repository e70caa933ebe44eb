"""Linear model with crossed random readers and cases, by restricted maximum likelihood.

    y = X beta + u_reader + v_case + e

The profiled REML criterion is that of Bates, Maechler, Bolker, Walker, J Stat Softw 67(1) (2015),
equation 42. statsmodels' MixedLM gives the same numbers but needs a dense column per reader and
case for every reading, which 50,000 readings do not allow; the sums over readers and cases used
here do (see :mod:`crossed`).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, pi, sqrt

import numpy as np
from scipy import optimize, stats

from readerstudy.analysis.stats.crossed import Crossed
from readerstudy.analysis.stats.types import FloatArray, IntArray, Interval

METHOD = "linear mixed model, crossed reader and case effects, REML"


@dataclass(frozen=True)
class Fixed:
    """One fixed effect; normal test and interval (anti-conservative below ten readers)."""

    name: str
    estimate: float
    se: float
    z: float
    p: float
    ci95: Interval


@dataclass(frozen=True)
class Lmm:
    """Fixed effects and standard deviations; all empty with a ``reason``."""

    method: str
    n: int
    n_readers: int
    n_cases: int
    coefficients: tuple[Fixed, ...] = ()
    sd_reader: float | None = None
    sd_case: float | None = None
    sd_residual: float | None = None
    loglik: float | None = None
    reason: str | None = None


def lmm(
    outcome: FloatArray, design: dict[str, FloatArray], reader: FloatArray, case: FloatArray
) -> Lmm:
    """Fit the model; an intercept is added to ``design``.

    Args:
        outcome: (n,) finite values.
        design: named columns (n,).
        reader, case: (n,) labels of any kind.
    """
    readers, r = np.unique(reader, return_inverse=True)
    cases, c = np.unique(case, return_inverse=True)
    n, size = len(outcome), (len(readers), len(cases))
    names = ["(Intercept)", *design]

    def refuse(reason: str) -> Lmm:
        return Lmm(METHOD, n, *size, reason=reason)

    if min(size) < 2:
        return refuse("fewer than two readers or cases")
    x = np.column_stack([np.ones(n), *design.values()])
    if n <= x.shape[1] + 2 or np.linalg.matrix_rank(x) < x.shape[1]:
        return refuse("too few readings, or a column that another one already says")
    if float(np.std(outcome)) == 0:
        return refuse("all outcomes are alike")
    model = _Reml(outcome, x, r.astype(np.int64), c.astype(np.int64), size)
    done = optimize.minimize(
        model.deviance, np.array([0.5, 0.5]), method="L-BFGS-B", bounds=[(0, 1e3)] * 2,
        options={"ftol": 1e-13, "gtol": 1e-6},
    )  # fmt: skip
    beta, covariance, residual = model.estimates(np.asarray(done.x))
    if not residual > 0:
        return refuse("the model leaves no residual")
    rows = []
    q = float(stats.norm.ppf(0.975))
    for name, value, variance in zip(names, beta, np.diag(covariance), strict=True):
        se = sqrt(float(variance))
        b = float(value)
        p = float(2 * stats.norm.sf(abs(b / se)))
        rows.append(Fixed(name, b, se, b / se, p, (b - q * se, b + q * se)))
    return Lmm(
        METHOD, n, *size, tuple(rows), float(done.x[0]) * residual, float(done.x[1]) * residual,
        residual, -float(done.fun) / 2,
    )  # fmt: skip


class _Reml:
    """REML deviance profiled over the fixed effects and the residual variance."""

    def __init__(
        self, y: FloatArray, x: FloatArray, r: IntArray, c: IntArray, size: tuple[int, int]
    ) -> None:
        self.n, self.p = x.shape
        both = np.column_stack([x, y])
        self.gram = both.T @ both
        self.readers = _sums(both, r, size[0])
        self.cases = _sums(both, c, size[1])
        flat = np.bincount(r * size[1] + c, minlength=size[0] * size[1])
        self.weight = flat.reshape(size).astype(np.float64)

    def _reduced(self, scale: FloatArray) -> tuple[FloatArray, float]:
        """Cross products of (X, y) after the random effects are taken out, and log |L|^2."""
        sd = (float(scale[0]), float(scale[1]))
        system = Crossed(self.weight, sd)
        right_r, right_c = sd[0] * self.readers, sd[1] * self.cases
        first, second = system.solve(right_r, right_c)
        taken = right_r.T @ first + right_c.T @ second
        return self.gram - taken, system.logdet

    def deviance(self, scale: FloatArray) -> float:
        reduced, logdet = self._reduced(scale)
        xx, xy, yy = reduced[:-1, :-1], reduced[:-1, -1], float(reduced[-1, -1])
        sign, design = np.linalg.slogdet(xx)
        rss = yy - float(xy @ np.linalg.solve(xx, xy))
        df = self.n - self.p
        if sign <= 0 or rss <= 0:
            return 1e300
        return float(logdet + design + df * (1 + log(2 * pi * rss / df)))

    def estimates(self, scale: FloatArray) -> tuple[FloatArray, FloatArray, float]:
        """Fixed effects, their covariance, and the residual standard deviation."""
        reduced, _ = self._reduced(scale)
        xx, xy, yy = reduced[:-1, :-1], reduced[:-1, -1], float(reduced[-1, -1])
        beta = np.asarray(np.linalg.solve(xx, xy), dtype=np.float64)
        variance = max(yy - float(xy @ beta), 0.0) / (self.n - self.p)
        spread = np.asarray(np.linalg.inv(xx), dtype=np.float64) * variance
        return beta, spread, sqrt(variance)


def _sums(columns: FloatArray, codes: IntArray, size: int) -> FloatArray:
    out = [np.bincount(codes, weights=column, minlength=size) for column in columns.T]
    total: FloatArray = np.column_stack(out)
    return total
