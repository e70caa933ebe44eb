"""Intervals for one proportion and for the difference of two.

Valid for independent trials, which the readings of ONE reader are. Pooled over readers the same
formulas ignore that readings share readers and cases: label them naive (``confusion.pooled``).

References: Wilson (1927); Newcombe, Stat Med 17:857 and 17:873 (1998); Brown, Cai, DasGupta,
Stat Sci 16:101 (2001); Agresti, Caffo, Am Stat 54:280 (2000); Miettinen, Nurminen, Stat Med 4:213
(1985).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, log, sqrt
from typing import Literal

from scipy import optimize, stats
from scipy.special import betaln
from statsmodels.stats.proportion import proportion_confint

from readerstudy.analysis.stats.types import Interval

Method = Literal[
    "wilson",
    "wilsoncc",
    "clopper_pearson",
    "jeffreys",
    "agresti_coull",
    "wald",
    "waldcc",
    "midp",
    "lik",
]
DiffMethod = Literal[
    "newcombe_wilson", "newcombe_wilsoncc", "wald", "agresti_caffo", "miettinen_nurminen"
]

METHOD_NAMES: dict[str, str] = {
    "wilson": "Wilson score",
    "wilsoncc": "Wilson score with continuity correction",
    "clopper_pearson": "Clopper-Pearson exact",
    "jeffreys": "Jeffreys",
    "agresti_coull": "Agresti-Coull",
    "wald": "Wald",
    "waldcc": "Wald with continuity correction",
    "midp": "mid-P exact",
    "lik": "likelihood ratio",
}


@dataclass(frozen=True)
class Proportion:
    """``x`` of ``n`` with an interval at level ``conf``."""

    x: int
    n: int
    estimate: float | None
    ci: Interval | None
    method: str
    conf: float = 0.95
    reason: str | None = None


@dataclass(frozen=True)
class Difference:
    """Difference of two independent proportions of ``n1`` and ``n2``, first minus second."""

    n1: int
    n2: int
    estimate: float | None
    ci: Interval | None
    method: str
    conf: float = 0.95
    reason: str | None = None


@dataclass(frozen=True)
class BetaPosterior:
    """Posterior of one proportion under a uniform prior, which is defined for no readings too."""

    n: int
    mean: float
    interval: Interval
    p_above_half: float
    p_in_rope: float
    bf01: float
    method: str = "uniform Beta(1, 1) prior, equal-tailed interval"


def rate_ci(x: int, n: int, method: Method = "wilson", conf: float = 0.95) -> Proportion:
    """Proportion ``x / n`` with a confidence interval.

    Raises:
        ValueError: ``x`` is not between 0 and ``n``, or the method is unknown.
    """
    if not 0 <= x <= n:
        raise ValueError(f"{x} of {n} is not a proportion")
    if method not in METHOD_NAMES:
        raise ValueError(f"unknown interval {method!r}; one of {', '.join(METHOD_NAMES)}")
    if n == 0:
        return Proportion(x, n, None, None, method, conf, "no readings")
    low, high = _INTERVALS[method](x, n, 1 - conf)
    return Proportion(x, n, x / n, (max(0.0, low), min(1.0, high)), method, conf)


def exact_p(x: int, n: int, null: float = 0.5, alternative: str = "two-sided") -> float | None:
    """Exact binomial test of ``x / n`` against ``null``; None when there are no trials."""
    if n == 0:
        return None
    return float(stats.binomtest(x, n, null, alternative=alternative).pvalue)


def beta_posterior(
    x: int, n: int, rope: Interval = (0.45, 0.55), conf: float = 0.95
) -> BetaPosterior:
    """Beta(1, 1) posterior: mean, equal-tailed interval, P(> 0.5), P(in rope), BF01 of 0.5."""
    post = stats.beta(x + 1, n - x + 1)
    low, high = post.ppf([(1 - conf) / 2, (1 + conf) / 2])
    log_bf = n * log(0.5) - float(betaln(x + 1, n - x + 1))
    return BetaPosterior(
        n=n,
        mean=(x + 1) / (n + 2),
        interval=(float(low), float(high)),
        p_above_half=float(post.sf(0.5)),
        p_in_rope=float(post.cdf(rope[1]) - post.cdf(rope[0])),
        bf01=exp(log_bf),
    )


def diff_ci(
    x1: int, n1: int, x2: int, n2: int, method: DiffMethod = "newcombe_wilson", conf: float = 0.95
) -> Difference:
    """Interval for ``x1/n1 - x2/n2``, two independent groups."""
    if n1 == 0 or n2 == 0:
        return Difference(n1, n2, None, None, method, conf, "one group has no readings")
    p1, p2 = x1 / n1, x2 / n2
    delta = p1 - p2
    z = float(stats.norm.ppf((1 + conf) / 2))
    if method in ("newcombe_wilson", "newcombe_wilsoncc"):
        inner: Method = "wilson" if method == "newcombe_wilson" else "wilsoncc"
        first, second = _INTERVALS[inner](x1, n1, 1 - conf), _INTERVALS[inner](x2, n2, 1 - conf)
        low = delta - sqrt((p1 - first[0]) ** 2 + (second[1] - p2) ** 2)
        high = delta + sqrt((first[1] - p1) ** 2 + (p2 - second[0]) ** 2)
    elif method == "wald":
        half = z * sqrt(p1 * (1 - p1) / n1 + p2 * (1 - p2) / n2)
        low, high = delta - half, delta + half
    elif method == "agresti_caffo":
        q1, q2 = (x1 + 1) / (n1 + 2), (x2 + 1) / (n2 + 2)
        half = z * sqrt(q1 * (1 - q1) / (n1 + 2) + q2 * (1 - q2) / (n2 + 2))
        low, high = q1 - q2 - half, q1 - q2 + half
    elif method == "miettinen_nurminen":
        low, high = _miettinen_nurminen(x1, n1, x2, n2, z)
    else:
        raise ValueError(f"unknown interval {method!r}")
    return Difference(n1, n2, delta, (max(-1.0, low), min(1.0, high)), method, conf)


def fisher_p(x1: int, n1: int, x2: int, n2: int) -> float:
    """Fisher's exact test of two independent proportions, two-sided."""
    return float(stats.fisher_exact([[x1, n1 - x1], [x2, n2 - x2]]).pvalue)


# ------------------------------------------------------------------------------ one proportion


def _statsmodels(name: str) -> Callable[[int, int, float], Interval]:
    def interval(x: int, n: int, alpha: float) -> Interval:
        low, high = proportion_confint(x, n, alpha=alpha, method=name)
        return float(low), float(high)

    return interval


def _wilson(x: int, n: int, alpha: float) -> Interval:
    # Rounding leaves the exact ends a hair inside 0 and 1.
    low, high = _statsmodels("wilson")(x, n, alpha)
    return (0.0 if x == 0 else low), (1.0 if x == n else high)


def _clopper_pearson(x: int, n: int, alpha: float) -> Interval:
    low, high = _statsmodels("beta")(x, n, alpha)
    return (0.0 if x == 0 else low), (1.0 if x == n else high)


def _jeffreys(x: int, n: int, alpha: float) -> Interval:
    # At the ends the posterior tail is replaced by the end itself (Brown et al., section 4.1.2).
    low, high = _statsmodels("jeffreys")(x, n, alpha)
    return (0.0 if x == 0 else low), (1.0 if x == n else high)


def _wilsoncc(x: int, n: int, alpha: float) -> Interval:
    z = float(stats.norm.ppf(1 - alpha / 2))
    p, q = x / n, 1 - x / n
    scale = 2 * (n + z * z)
    low = (2 * x + z * z - 1 - z * sqrt(max(0.0, z * z - 2 - 1 / n + 4 * p * (n * q + 1)))) / scale
    high = (2 * x + z * z + 1 + z * sqrt(max(0.0, z * z + 2 - 1 / n + 4 * p * (n * q - 1)))) / scale
    return (0.0 if x == 0 else low), (1.0 if x == n else high)


def _waldcc(x: int, n: int, alpha: float) -> Interval:
    p = x / n
    half = float(stats.norm.ppf(1 - alpha / 2)) * sqrt(p * (1 - p) / n) + 1 / (2 * n)
    return p - half, p + half


def _midp(x: int, n: int, alpha: float) -> Interval:
    def upper(p: float) -> float:
        return float(0.5 * stats.binom.pmf(x, n, p) + stats.binom.cdf(x - 1, n, p) - alpha / 2)

    def lower(p: float) -> float:
        return float(0.5 * stats.binom.pmf(x, n, p) + stats.binom.sf(x, n, p) - alpha / 2)

    low = 0.0 if x == 0 else _root(lower, 1e-12, x / n)
    high = 1.0 if x == n else _root(upper, x / n, 1 - 1e-12)
    return low, high


def _lik(x: int, n: int, alpha: float) -> Interval:
    cut = float(stats.chi2.ppf(1 - alpha, 1)) / 2

    def loglik(p: float) -> float:
        return (x * log(p) if x else 0.0) + ((n - x) * log(1 - p) if n - x else 0.0)

    top = loglik(min(max(x / n, 1e-300), 1 - 1e-16)) if 0 < x < n else 0.0

    def drop(p: float) -> float:
        return loglik(p) - top + cut

    low = 0.0 if x == 0 else _root(drop, 1e-12, x / n if x < n else 1 - 1e-12)
    high = 1.0 if x == n else _root(drop, x / n if x else 1e-12, 1 - 1e-12)
    return low, high


def _root(f: Callable[[float], float], low: float, high: float) -> float:
    return float(optimize.brentq(f, low, high, xtol=1e-14, rtol=1e-13))


_INTERVALS: dict[str, Callable[[int, int, float], Interval]] = {
    "wilson": _wilson,
    "wilsoncc": _wilsoncc,
    "clopper_pearson": _clopper_pearson,
    "jeffreys": _jeffreys,
    "agresti_coull": _statsmodels("agresti_coull"),
    "wald": _statsmodels("normal"),
    "waldcc": _waldcc,
    "midp": _midp,
    "lik": _lik,
}


# ------------------------------------------------------------------------------ two proportions


def _miettinen_nurminen(x1: int, n1: int, x2: int, n2: int, z: float) -> Interval:
    """Score interval: invert the chi-squared with restricted maximum-likelihood proportions."""
    p1, p2 = x1 / n1, x2 / n2
    total = n1 + n2

    def score(delta: float) -> float:
        r1, r2 = _restricted(x1, n1, x2, n2, delta)
        variance = (r1 * (1 - r1) / n1 + r2 * (1 - r2) / n2) * total / (total - 1)
        gap = p1 - p2 - delta
        return gap * gap / variance - z * z if variance > 0 else (-z * z if gap == 0 else 1e300)

    edge = 1 - 1e-10
    low = -1.0 if score(-edge) < 0 else _root(score, -edge, p1 - p2)
    high = 1.0 if score(edge) < 0 else _root(score, p1 - p2, edge)
    return low, high


def _restricted(x1: int, n1: int, x2: int, n2: int, delta: float) -> tuple[float, float]:
    """Maximum-likelihood p1, p2 under p1 - p2 = delta, by one-dimensional search."""
    low, high = max(0.0, -delta), min(1.0, 1 - delta)

    def negative(p2: float) -> float:
        p1 = p2 + delta
        value = 0.0
        for count, p in ((x1, p1), (n1 - x1, 1 - p1), (x2, p2), (n2 - x2, 1 - p2)):
            if count:
                value -= count * log(max(p, 1e-300))
        return value

    found = optimize.minimize_scalar(
        negative, bounds=(low, high), method="bounded", options={"xatol": 1e-12}
    )
    p2 = float(found.x)
    return min(max(p2 + delta, 0.0), 1.0), p2
