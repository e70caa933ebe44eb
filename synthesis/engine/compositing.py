"""Residual transplant: a change in HU becomes signed integers on the scanner's own grid.

The host is never resampled, rescaled or clipped. Only voxels with a feather weight above zero
may change; every other voxel keeps its bits, because nothing is ever written to it.
"""

from __future__ import annotations

import numpy as np

from synthesis.engine.arrays import HU_MAX, HU_MIN, Field, bounding_box
from synthesis.engine.records import HostCrop, Lesion
from synthesis.engine.shapes import SoftLesion


class EmptyResidual(ValueError):
    """The generator changed no voxel: a "synthetic" case would show no lesion at all."""


def transplant(
    host: HostCrop,
    lesion: SoftLesion,
    change: Field,
    feather: Field,
    parameters: dict[str, float | str],
) -> Lesion:
    """Round ``change`` to a signed residual inside ``feather``.

    Args:
        host: the host crop; ``change`` and ``feather`` have its shape.
        lesion: the soft lesion, for its mask and geometry.
        change: wanted change in HU, already weighted by the lesion's soft edge.
        feather: 0..1 weight of the region that may change.
        parameters: what the generator drew, for the record.

    Returns:
        The lesion, cropped to the box of its feather.

    Raises:
        EmptyResidual: no voxel changes after rounding and clipping.
        ValueError: a shape differs, or the change is not finite.
    """
    if change.shape != host.hu.shape or feather.shape != host.hu.shape:
        raise ValueError("The generator answered on another grid than the host's.")
    if not np.isfinite(change).all():
        raise ValueError("The generator answered with values that are not numbers.")
    mask = np.zeros(host.hu.shape, bool)
    place = lesion.box.within(host.box)
    mask[place] = lesion.mask
    weight = np.clip(feather, 0.0, 1.0).astype(np.float16)
    support = (weight > 0) | mask
    weight = np.where(mask, np.maximum(weight, np.float16(1e-3)), weight)
    wanted = np.clip(np.rint(host.hu + change), HU_MIN, HU_MAX)
    residual = np.where(support, wanted - host.hu, 0.0).astype(np.int16)
    box = bounding_box(support)
    if box is None or not residual.any():
        raise EmptyResidual("The generator changed no voxel of the scan.")
    z, y, x = (a + b for a, b in zip(host.box.start, box.start, strict=True))
    return Lesion(
        offset=(z, y, x),
        mask=mask[box.slices],
        feather=weight[box.slices].astype(np.float16),
        residual=residual[box.slices],
        diameter_mm=lesion.diameter_mm,
        center=lesion.center,
        parameters=parameters,
    )
