"""Procedural CT phantoms: chests and abdomens made on the spot, with organ and tumor masks.

They let the whole platform run without a single patient. Anatomy is drawn from implicit shapes
in millimetres, bent by a random smooth deformation so that no two phantoms agree, blurred by a
point spread and covered with band-limited scanner noise. Their *reference* lesions stand in for
real ones and are made by another recipe than any generator (``lesions``), so that a demo trial
has two arms that differ in more than a name.

They are stage scenery, not anatomy: good enough to try the software, never to judge a generator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from synthesis.engine.arrays import HU_MAX, HU_MIN, Hu, MaskArray, Spacing
from synthesis.engine.phantoms.abdomen import draw_abdomen
from synthesis.engine.phantoms.chest import draw_chest
from synthesis.engine.phantoms.lesions import add_reference_lesions
from synthesis.engine.phantoms.scanner import scan
from synthesis.engine.phantoms.scene import Scene

_KINDS: dict[str, Callable[[np.random.Generator, Scene], None]] = {
    "abdomen": draw_abdomen,
    "chest": draw_chest,
}
PHANTOM_KINDS = tuple(_KINDS)
#: Organs of each kind that reference lesions may grow in.
PHANTOM_ORGANS = {"abdomen": ("liver", "kidney", "pancreas"), "chest": ("lung",)}


@dataclass(frozen=True)
class Phantom:
    """A phantom CT.

    ``hu`` is int16 (z, y, x) with x to the patient's left, y to the back, z to the head;
    ``spacing`` is (x, y, z) in mm. ``organs`` maps names to masks; ``tumors`` is the mask of
    all reference lesions, which the organ masks include.
    """

    kind: str
    hu: Hu
    spacing: Spacing
    organs: dict[str, MaskArray]
    tumors: MaskArray


def make_phantom(
    rng: np.random.Generator,
    kind: str,
    *,
    shape: tuple[int, int, int] = (60, 256, 256),
    spacing: Spacing = (1.5, 1.5, 4.0),
    lesions: int = 2,
    lesion_organs: Sequence[str] | None = None,
    diameter_mm: tuple[float, float] = (8.0, 30.0),
    noise_hu: float | None = None,
) -> Phantom:
    """Make a phantom.

    Args:
        rng: source of randomness.
        kind: ``"abdomen"`` or ``"chest"``.
        shape: (z, y, x) voxels.
        spacing: (x, y, z) in mm; the default field of view is 384 x 384 x 240 mm.
        lesions: how many reference lesions to grow (fewer where there is no room).
        lesion_organs: organs to grow them in, taken in turn; all of the kind's by default.
        diameter_mm: range of their diameters, log-uniform.
        noise_hu: SD of the scanner noise; drawn from 9 to 16 HU by default.

    Raises:
        ValueError: an unknown kind or an organ this kind does not have.
    """
    if kind not in _KINDS:
        raise ValueError(f"There is no phantom {kind!r}; choose one of: {', '.join(_KINDS)}.")
    organs = tuple(lesion_organs) if lesion_organs is not None else PHANTOM_ORGANS[kind]
    unknown = [name for name in organs if name not in PHANTOM_ORGANS[kind]]
    if unknown:
        raise ValueError(f"The {kind} phantom has no organ {unknown[0]!r} for lesions.")
    scene = Scene(rng, shape, spacing)
    _KINDS[kind](rng, scene)
    tumors = add_reference_lesions(rng, scene, organs, lesions, diameter_mm)
    sigma = float(rng.uniform(9.0, 16.0)) if noise_hu is None else noise_hu
    hu = np.clip(np.rint(scan(rng, scene, sigma)), HU_MIN, HU_MAX).astype(np.int16)
    masks = {name: scene.mask(name) for name in scene.names}
    return Phantom(kind, hu, spacing, masks, tumors)
