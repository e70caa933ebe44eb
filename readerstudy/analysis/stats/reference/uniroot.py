"""The mid-P and likelihood intervals as R prints them, looseness of R's root finder included.

DescTools solves both with ``uniroot`` at its default tolerance of 1.2e-4, so its numbers stand up
to 2e-5 beside the exact roots the engine gives. Repeating R's algorithm (Brent's zeroin, as in
R's ``zeroin.c``) on the same functions reproduces those numbers to the last digit, which shows
that only the stopping rule differs.
"""

from __future__ import annotations

from collections.abc import Callable
from math import copysign, sqrt

from scipy import stats

from readerstudy.analysis.stats.types import Interval

_EPSILON = 2.220446049250313e-16
_TOLERANCE = _EPSILON**0.25


def uniroot(f: Callable[[float], float], low: float, high: float) -> float:
    """R's ``uniroot(f, c(low, high))$root``."""
    a, b = low, high
    fa, fb = f(a), f(b)
    if fa == 0:
        return a
    c, fc = a, fa
    while True:
        previous = b - a
        if abs(fc) < abs(fb):
            a, b, c = b, c, b
            fa, fb, fc = fb, fc, fb
        least = 2 * _EPSILON * abs(b) + _TOLERANCE / 2
        step = (c - b) / 2
        if abs(step) <= least or fb == 0:
            return b
        if abs(previous) >= least and abs(fa) > abs(fb):
            step = _interpolated(a, b, c, fa, fb, fc, previous, least, step)
        if abs(step) < least:
            step = copysign(least, step)
        a, fa = b, fb
        b += step
        fb = f(b)
        if (fb > 0) == (fc > 0):
            c, fc = a, fa


def _interpolated(
    a: float, b: float, c: float, fa: float, fb: float, fc: float,
    previous: float, least: float, bisection: float,
) -> float:  # fmt: skip
    gap = c - b
    if a == c:
        ratio = fb / fa
        p, q = gap * ratio, 1 - ratio
    else:
        q0, t1, t2 = fa / fc, fb / fc, fb / fa
        p = t2 * (gap * q0 * (q0 - t1) - (b - a) * (t1 - 1))
        q = (q0 - 1) * (t1 - 1) * (t2 - 1)
    if p > 0:
        q = -q
    else:
        p = -p
    inside = p < 0.75 * gap * q - abs(least * q) / 2 and p < abs(previous * q / 2)
    return p / q if inside else bisection


def midp(x: int, n: int, alpha: float = 0.05) -> Interval:
    """DescTools' ``BinomCI(x, n, method = "midp")``."""

    def lower(p: float) -> float:
        return float(0.5 * stats.binom.pmf(x, n, p) + stats.binom.sf(x, n, p) - alpha / 2)

    def upper(p: float) -> float:
        return float(0.5 * stats.binom.pmf(x, n, p) + stats.binom.cdf(x - 1, n, p) - alpha / 2)

    low = 0.0 if x == 0 else uniroot(lower, 0.0, x / n)
    high = 1.0 if x == n else uniroot(upper, x / n, 1.0)
    return low, high


def lik(x: int, n: int, alpha: float = 0.05) -> Interval:
    """DescTools' ``BinomCI(x, n, method = "lik")``."""
    z = float(stats.norm.ppf(1 - alpha / 2))
    mean, tiny = x / n, _EPSILON**0.5

    def loglik(p: float) -> float:
        return 0.0 if p in (0.0, 1.0) else float(stats.binom.logpmf(x, n, p))

    def deviance(p: float, bound: float) -> float:
        if abs(p - mean) < tiny:
            return -bound
        return copysign(sqrt(max(0.0, -2 * (loglik(p) - loglik(mean)))), p - mean) - bound

    low = 0.0 if x == 0 else uniroot(lambda p: deviance(p, -z), tiny, mean)
    high = 1.0 if x == n else uniroot(lambda p: deviance(p, z), mean, 1 - tiny)
    return low, high
