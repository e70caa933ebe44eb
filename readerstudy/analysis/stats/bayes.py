"""Bayesian companions of the tests, from the estimate and its standard error alone.

Because they start from the multi-reader standard error they respect that readings share readers
and cases. The prior of the alternative is normal around the null with standard deviation
``prior_sd``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, sqrt

from scipy.stats import norm

from readerstudy.analysis.stats.types import Interval


@dataclass(frozen=True)
class Bayes:
    """BF01 (above 1: evidence for guessing) and the share of the posterior inside ``rope``."""

    null: float
    prior_sd: float
    rope: Interval
    bf01: float | None
    p_rope: float | None
    reason: str | None = None
    method: str = "Bayes factor against a normal alternative; flat-prior normal posterior"


def bayes_normal(
    estimate: float | None,
    se: float | None,
    *,
    prior_sd: float = 0.1,
    null: float = 0.5,
    rope: Interval = (0.45, 0.55),
) -> Bayes:
    """Bayes factor of ``null`` against the normal alternative, and P(in ``rope`` | data).

    The posterior is the flat-prior one, normal around ``estimate`` with standard deviation ``se``.
    """
    if estimate is None or se is None or se <= 0:
        return Bayes(null, prior_sd, rope, None, None, "the standard error cannot be estimated")
    wide, narrow = prior_sd**2, se**2
    z = (estimate - null) / se
    bf01 = sqrt(1 + wide / narrow) * exp(-(z**2) / 2 * wide / (wide + narrow))
    inside = norm.cdf((rope[1] - estimate) / se) - norm.cdf((rope[0] - estimate) / se)
    return Bayes(null, prior_sd, rope, bf01, float(inside))
