"""Signal detection for all readers at once: a probit mixed model, as a sensitivity analysis.

    P(call positive) = Phi(b0 + b1 truth + u_reader + v_case)

b1 is d' and c = -(b0 + b1 / 2), both on the scale of one reader and one case (conditional), which
is wider than that of the readers' average: do not turn b0 into an accuracy. Reference: DeCarlo,
Psychol Methods 3:186 (1998); Laplace approximation with Fisher weights as in lme4 (Bates et al.,
J Stat Softw 67(1), 2015), from which it differs by less than 0.002 on the reference data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats
from scipy.special import ndtr

from readerstudy.analysis.stats.crossed import Crossed
from readerstudy.analysis.stats.readings import Readings
from readerstudy.analysis.stats.types import BoolArray, FloatArray, Interval

METHOD = "probit mixed model, crossed reader and case effects, maximum likelihood by Laplace"
LABEL = "sensitivity analysis: conditional on reader and case, not the readers' average"
#: Beyond this a probit coefficient means that the verdicts separate the classes.
_SEPARATED = 7.0
_SINGULAR = 1e-3
_SQRT_2PI = float(np.sqrt(2 * np.pi))
_LEAST = 1e-150


@dataclass(frozen=True)
class Glmm:
    """Estimates of the probit mixed model; z tests, normal intervals.

    ``singular``: a random effect has no spread, so that its standard deviation sits at zero.
    """

    method: str
    label: str
    positive: str
    n: int
    n_readers: int
    n_cases: int
    intercept: float | None = None
    intercept_se: float | None = None
    dprime: float | None = None
    dprime_se: float | None = None
    dprime_ci95: Interval | None = None
    dprime_z: float | None = None
    dprime_p: float | None = None
    criterion: float | None = None
    sd_reader: float | None = None
    sd_case: float | None = None
    loglik: float | None = None
    singular: bool | None = None
    reason: str | None = None


def sdt_glmm(readings: Readings) -> Glmm:
    """Fit the model to the verdicts of the first readings.

    Lesions of one patient count as separate cases. Time is about O(J^2 K) per step: some
    seconds for 100 readers x 500 cases.
    """
    seen = readings.read
    used = readings.of_readers(np.asarray(seen.any(axis=1)))
    used = used.of_cases(np.asarray(used.read.any(axis=0)))
    base = Glmm(METHOD, LABEL, readings.positive, int(used.read.sum()), used.n_readers,
                used.n_cases)  # fmt: skip

    def refuse(reason: str) -> Glmm:
        return Glmm(METHOD, LABEL, base.positive, base.n, base.n_readers, base.n_cases,
                    reason=reason)  # fmt: skip

    if used.n_readers < 2 or used.n_cases < 2:
        return refuse("fewer than two readers or cases")
    if used.n_positive == 0 or used.n_negative == 0:
        return refuse("needs cases of both classes")
    hits = used.call[:, used.is_positive]
    alarms = used.call[:, ~used.is_positive]
    for part, name in ((hits, used.positive), (alarms, used.negative)):
        rate = float(np.nanmean(part))
        if rate in (0.0, 1.0):
            return refuse(f"all {name} cases got the same answer: d' has no finite estimate")
    model = _Laplace(used.call, used.is_positive)
    found = model.fit()
    if found is None:
        return refuse("the likelihood has no maximum that could be found")
    beta, scale, covariance, deviance = found
    se = np.sqrt(np.diag(covariance))
    z = float(beta[1] / se[1])
    half = float(stats.norm.ppf(0.975)) * float(se[1])
    return Glmm(
        METHOD, LABEL, used.positive, base.n, used.n_readers, used.n_cases, float(beta[0]),
        float(se[0]), float(beta[1]), float(se[1]), (float(beta[1]) - half, float(beta[1]) + half),
        z, float(2 * stats.norm.sf(abs(z))), -float(beta[0] + beta[1] / 2), scale[0], scale[1],
        -deviance / 2, min(scale) < _SINGULAR,
    )  # fmt: skip


class _Laplace:
    """Laplace deviance of the model as a function of (sd reader, sd case, b0, b1)."""

    def __init__(self, call: FloatArray, positive: BoolArray) -> None:
        self.seen = ~np.isnan(call)
        self.sign = np.where(self.seen, 2 * np.nan_to_num(call) - 1, 0.0)
        self.truth = positive.astype(np.float64)
        # Modes of the random effects, kept between calls as a start for the next.
        self.reader = np.zeros(call.shape[0])
        self.case = np.zeros(call.shape[1])

    def deviance(self, parameters: FloatArray) -> float:
        """-2 log likelihood, ten times that of guessing where numbers give out.

        A search may try a point so far out that no digits are left of the curvature.
        """
        try:
            return self._deviance(parameters)
        except np.linalg.LinAlgError:
            return 20 * float(np.log(2)) * float(self.seen.sum())

    def _deviance(self, parameters: FloatArray) -> float:
        """Finds the modes of the random effects by Newton's method."""
        scale = (float(parameters[0]), float(parameters[1]))
        fixed = parameters[2] + parameters[3] * self.truth
        reader, case = self.reader, self.case
        value, gradient, curve = self._at(reader, case, scale, fixed)
        for _ in range(100):
            step_r, step_c = Crossed(curve, scale).solve(
                scale[0] * gradient.sum(axis=1) - reader, scale[1] * gradient.sum(axis=0) - case
            )
            size = 1.0
            while True:
                trial_r, trial_c = reader + size * step_r, case + size * step_c
                better, gradient, curve = self._at(trial_r, trial_c, scale, fixed)
                if better <= value + 1e-12 or size < 1e-6:
                    break
                size /= 2
            moved = max(float(np.abs(step_r).max()), float(np.abs(step_c).max()))
            reader, case, value = trial_r, trial_c, better
            # Steps shrink quadratically: the next one would be below 1e-10.
            if moved < 1e-5:
                break
        self.reader, self.case = reader, case
        return value + Crossed(self._fisher(reader, case, scale, fixed), scale).logdet

    def _eta(
        self, reader: FloatArray, case: FloatArray, scale: tuple[float, float], fixed: FloatArray
    ) -> FloatArray:
        return scale[0] * reader[:, None] + (scale[1] * case + fixed)[None, :]

    def _at(
        self, reader: FloatArray, case: FloatArray, scale: tuple[float, float], fixed: FloatArray
    ) -> tuple[float, FloatArray, FloatArray]:
        """Penalised deviance, and slope and curvature of the log likelihood in eta."""
        turned = self.sign * self._eta(reader, case, scale, fixed)
        hit = np.maximum(ndtr(turned), _LEAST)
        ratio = np.exp(-0.5 * turned * turned) / (_SQRT_2PI * hit)
        curve = self.seen * ratio * (ratio + turned)
        loglik = float((self.seen * np.log(hit)).sum())
        penalty = float(reader @ reader + case @ case)
        return penalty - 2 * loglik, self.sign * ratio, curve

    def _fisher(
        self, reader: FloatArray, case: FloatArray, scale: tuple[float, float], fixed: FloatArray
    ) -> FloatArray:
        """Expected curvature, which lme4 puts into the determinant."""
        eta = self._eta(reader, case, scale, fixed)
        # Both tails on their own: 1 - hit has no digits left where the hit is nearly sure.
        both = np.maximum(ndtr(eta), _LEAST) * np.maximum(ndtr(-eta), _LEAST)
        weight: FloatArray = self.seen * np.exp(-eta * eta) / (2 * np.pi * both)
        return weight

    def fit(self) -> tuple[FloatArray, tuple[float, float], FloatArray, float] | None:
        """Coefficients, standard deviations, covariance of the coefficients, deviance."""
        hit = float(np.nanmean(np.where(self.seen & (self.truth == 1), self.sign > 0, np.nan)))
        alarm = float(np.nanmean(np.where(self.seen & (self.truth == 0), self.sign > 0, np.nan)))
        b0 = float(stats.norm.ppf(alarm))
        start = np.array([0.3, 0.5, b0 * 1.15, (float(stats.norm.ppf(hit)) - b0) * 1.15])
        # One bound is left open: with all of them closed L-BFGS-B takes the whole gradient for its
        # first step, lands in a corner, and spends most of its time on the way back.
        done = optimize.minimize(
            self.deviance, start, method="L-BFGS-B",
            bounds=[(0, 10), (0, 10), (-2 * _SEPARATED, 2 * _SEPARATED), (-20.0, None)],
            options={"ftol": 1e-11, "gtol": 1e-5, "eps": 1e-5},
        )  # fmt: skip
        best = np.asarray(done.x, dtype=np.float64)
        if not np.isfinite(done.fun) or np.abs(best[2:]).max() > _SEPARATED:
            return None
        # A standard deviation at its bound of zero carries no information on the others.
        free = [i for i in range(4) if i >= 2 or best[i] > _SINGULAR]
        hessian = _hessian(self.deviance, best, free)
        if np.linalg.eigvalsh(hessian)[0] <= 0:
            return None
        covariance = 2 * np.asarray(np.linalg.inv(hessian), dtype=np.float64)[-2:, -2:]
        return best[2:], (float(best[0]), float(best[1])), covariance, float(done.fun)


def _hessian(f: Callable[[FloatArray], float], at: FloatArray, free: list[int]) -> FloatArray:
    """Second derivatives by central differences in the ``free`` parameters."""
    step = 1e-3
    m = len(free)
    out = np.zeros((m, m))
    here = f(at)

    def moved(*changes: tuple[int, float]) -> float:
        x = at.copy()
        for i, h in changes:
            x[i] += h
        return f(x)

    for a, i in enumerate(free):
        out[a, a] = (moved((i, step)) - 2 * here + moved((i, -step))) / step**2
        for b, j in enumerate(free[:a]):
            corner = moved((i, step), (j, step)) - moved((i, step), (j, -step))
            corner += moved((i, -step), (j, -step)) - moved((i, -step), (j, step))
            out[a, b] = out[b, a] = corner / (4 * step**2)
    return out
