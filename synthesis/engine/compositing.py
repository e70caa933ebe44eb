"""Residual transplant: a change in HU becomes signed integers on the scanner's own grid.

The host is never resampled, rescaled or clipped. Only voxels with a feather weight above zero
may change; every other voxel keeps its bits, because nothing is ever written to it.
"""

from __future__ import annotations

import numpy as np

from synthesis.engine.arrays import HU_MAX, HU_MIN, Field, bounding_box
from synthesis.engine.records import HostCrop, Lesion
from synthesis.engine.shapes import SoftLesion

#: What half precision, in which the feather is kept, can just tell from nothing.
_FAINTEST = 2.0**-25
_UNCHANGED = "The generator changed no voxel of the scan."


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
    mask[lesion.box.within(host.box)] = lesion.mask
    box = bounding_box((feather > _FAINTEST) | mask)
    if box is None:
        raise EmptyResidual(_UNCHANGED)
    cut = box.slices
    before, mask = host.hu[cut], mask[cut]
    weight = np.clip(feather[cut], 0.0, 1.0).astype(np.float16)
    weight = np.where(mask, np.maximum(weight, np.float16(1e-3)), weight)
    wanted = np.clip(np.rint(before + change[cut]), HU_MIN, HU_MAX)
    residual = np.where(weight > 0, wanted - before, 0.0).astype(np.int16)
    if not residual.any():
        raise EmptyResidual(_UNCHANGED)
    return Lesion(
        offset=box.moved(host.box.start).start,
        mask=mask,
        feather=weight,
        residual=residual,
        diameter_mm=lesion.diameter_mm,
        center=lesion.center,
        parameters=parameters,
    )
