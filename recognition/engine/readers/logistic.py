"""Ridge logistic regression on standardized features.

Weights minimize the negative log-likelihood, each arm counting as much as the other, plus half of
``RIDGE`` times the squared weights, the intercept left free (le Cessie and van Houwelingen, Appl
Stat 41:191, 1992). The penalty is fixed, not tuned: with some dozen lesions tuning chooses noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

Values = NDArray[np.floating]
Labels = NDArray[np.bool_]

RIDGE = 4.0
#: Standardized features end here: one odd lesion must not decide alone.
_FAR = 4.0


@dataclass(frozen=True)
class Logistic:
    """A fitted regression; ``__call__`` gives the probability of the arm labelled True."""

    center: Values
    scale: Values
    weights: Values
    intercept: float

    def __call__(self, inputs: Values) -> Values:
        out: Values = special.expit(self._standard(inputs) @ self.weights + self.intercept)
        return out

    def _standard(self, inputs: Values) -> Values:
        z = np.clip((inputs - self.center) / self.scale, -_FAR, _FAR)
        return np.where(np.isfinite(z), z, 0.0)


def fit(inputs: Values, labels: Labels, ridge: float = RIDGE) -> Logistic:
    """Fit to (n, features) with NaN for unknown values, which count as the middle.

    Raises:
        ValueError: one of the arms is missing.
    """
    if labels.all() or not labels.any():
        raise ValueError("Both arms are needed to learn from.")
    with np.errstate(all="ignore"):
        known = np.isfinite(inputs).any(axis=0)
        safe = np.where(known, inputs, 0.0)
        center = np.nanmedian(safe, axis=0)
        scale = 1.4826 * np.nanmedian(np.abs(safe - center), axis=0)
        scale = np.where(scale > 1e-9, scale, np.nanstd(safe, axis=0))
    scale = np.where(np.isfinite(scale) & (scale > 1e-9), scale, 1.0)
    model = Logistic(center, scale, np.zeros(inputs.shape[1]), 0.0)
    z = model._standard(inputs)
    y = labels.astype(np.float64)
    n = len(y)
    weight = np.where(labels, 0.5 * n / y.sum(), 0.5 * n / (n - y.sum()))

    def loss(theta: Values) -> tuple[float, Values]:
        eta = z @ theta[:-1] + theta[-1]
        value = float((weight * (np.logaddexp(0.0, eta) - y * eta)).sum())
        value += 0.5 * ridge * float(theta[:-1] @ theta[:-1])
        slope = weight * (special.expit(eta) - y)
        return value, np.append(z.T @ slope + ridge * theta[:-1], slope.sum())

    found = optimize.minimize(loss, np.zeros(z.shape[1] + 1), jac=True, method="L-BFGS-B")
    return Logistic(center, scale, found.x[:-1], float(found.x[-1]))


class FeatureReader:
    """A machine that weighs features by a ridge logistic regression; a subclass names them."""

    name: str
    title: str
    looks_at: str
    trained = True
    features: tuple[str, ...]

    def fit(
        self,
        inputs: Values,
        synthetic: Labels,
        rng: np.random.Generator,
        tell: Callable[[float], None] | None = None,
    ) -> Logistic:
        """See ``registry.Machine``."""
        return fit(inputs, synthetic)

    def facts(self, scorer: Logistic) -> dict[str, object]:
        """The five features that weigh most, by standardized weight; above 0 = synthetic."""
        order = np.argsort(-np.abs(scorer.weights))[:5]
        return {
            "ridge": RIDGE,
            "weights": {self.features[i]: round(float(scorer.weights[i]), 3) for i in order},
        }
