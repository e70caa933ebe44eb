"""Linear algebra of two crossed random effects (readers and cases).

With J readers and K cases the penalised normal equations have J + K unknowns, but the block of
the cases is diagonal: eliminating it leaves a J x J system. Memory is O(J K) and time
O(J^2 K), so 100 readers x 500 cases cost milliseconds where a dense n x n covariance of 50,000
readings would need 20 GB. Notation as in Bates, Maechler, Bolker, Walker, J Stat Softw 67(1)
(2015), section 3: u = Lambda b with b standard normal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from readerstudy.analysis.stats.types import FloatArray


@dataclass(eq=False)
class Crossed:
    """I + Lambda Z'WZ Lambda, factorised.

    Args:
        weight: (J, K) sum of the weights of the readings of each reader and case.
        scale: standard deviations (readers, cases) relative to the residual.
    """

    weight: FloatArray
    scale: tuple[float, float]

    def __post_init__(self) -> None:
        r, c = self.scale
        self._cases = 1 + c * c * self.weight.sum(axis=0)
        self._cross = r * c * self.weight
        small = -(self._cross / self._cases) @ self._cross.T
        small[np.diag_indices(len(small))] += 1 + r * r * self.weight.sum(axis=1)
        self._factor = cho_factor(small, lower=True, check_finite=False)

    @property
    def logdet(self) -> float:
        """Log determinant of the whole matrix."""
        diagonal = np.diag(self._factor[0])
        return float(np.log(self._cases).sum() + 2 * np.log(diagonal).sum())

    def solve(self, reader: FloatArray, case: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Solution for the right-hand sides (J, m) and (K, m), or (J,) and (K,)."""
        divided = (case.T / self._cases).T
        first = cho_solve(self._factor, reader - self._cross @ divided, check_finite=False)
        second = divided - ((self._cross.T @ first).T / self._cases).T
        return first, second
