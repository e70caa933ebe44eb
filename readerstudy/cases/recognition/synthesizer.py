"""The synthesis engine as the recognition engine wants it: a lesion for a crop, or None."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from readerstudy.cases.errors import CasesError

if TYPE_CHECKING:
    from recognition.engine.training.crops import Inserted
    from synthesis.engine.generators import Generator
    from synthesis.engine.quality import Gate

#: Lesions drawn for a crop of training: from what is just seen to what just fits.
DIAMETER_MM = (8.0, 40.0)
_ATTEMPTS = 3


class EngineSynthesizer:
    """A generator and a gate of the synthesis engine.

    Args:
        generator: what paints lesions.
        gate: what decides on each; None takes everything that could be placed.
        diameter_mm: range of diameters, log-uniform.
    """

    def __init__(
        self,
        generator: Generator,
        gate: Gate | None,
        diameter_mm: tuple[float, float] = DIAMETER_MM,
    ) -> None:
        self.name = generator.name
        self._generator, self._gate, self._diameter_mm = generator, gate, diameter_mm

    def insert(
        self,
        hu: NDArray[np.float32],
        organ: NDArray[np.bool_],
        organ_name: str,
        spacing: tuple[float, float, float],
        rng: np.random.Generator,
    ) -> Inserted | None:
        """See ``recognition.engine.training.crops.Synthesizer``."""
        from recognition.engine.training.crops import Inserted
        from synthesis.engine.pipeline import prepare, synthesize
        from synthesis.engine.records import Accepted, LesionSpec, Scan

        scan = Scan(np.rint(hu).astype(np.int16), spacing, organ_name, organ)
        spec = LesionSpec(self._diameter_mm, mass_effect=0.0, max_attempts=_ATTEMPTS)
        seed = int(rng.integers(2**62))
        gate = self._gate or (lambda host, lesion, prior: (None, {}))
        outcome = synthesize(prepare(scan), spec, self._generator, seed, gate)
        if not isinstance(outcome.verdict, Accepted):
            return None
        lesion = outcome.verdict.lesion
        where = tuple(
            slice(start, start + n)
            for start, n in zip(lesion.offset, lesion.mask.shape, strict=True)
        )
        made, mask = hu.copy(), np.zeros(hu.shape, bool)
        made[where] += lesion.residual
        mask[where] = lesion.mask
        return Inserted(np.clip(made, -1024, 3071), mask)


def open_synthesizer(name: str, checkpoint: str, *, gated: bool = True) -> EngineSynthesizer | None:
    """The synthesizer a configuration asks for, with the quality gate or not; None for ``none``.

    Raises:
        CasesError: no such generator, or weights it cannot use.
    """
    if name == "none":
        if checkpoint:
            raise CasesError("synthesizer_checkpoint needs a synthesizer: textural or freetumor.")
        return None
    from readerstudy.cases.delivery.variants import known_generator
    from synthesis.engine.quality import judge

    generator = known_generator(name, checkpoint or None)
    return EngineSynthesizer(generator, judge if gated else None)
