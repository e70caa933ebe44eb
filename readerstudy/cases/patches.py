"""What a candidate adds to its volume: one file for both kinds of lesion.

A patch holds `offset` (z, y, x), `mask` (bool), `feather` (float16) and `residual` (int16 HU). A
real lesion has zeros in the last two, so that all later steps run the same code on the same kind
of file.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from readerstudy.storage import atomic_write_bytes

from .errors import CasesError
from .models import Candidate
from .paths import patch_file

HU_MIN, HU_MAX = -1024, 3071


@dataclass(frozen=True)
class Patch:
    """A lesion on the native grid of its volume; arrays are (z, y, x), starting at `offset`."""

    offset: tuple[int, int, int]
    mask: npt.NDArray[np.bool_]
    feather: npt.NDArray[np.float16]
    residual: npt.NDArray[np.int16]

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        z, y, x = (
            slice(start, start + size)
            for start, size in zip(self.offset, self.mask.shape, strict=True)
        )
        return (z, y, x)

    def apply(self, hu: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
        """A copy of the whole volume `hu` with the lesion in it.

        Voxels whose residual is zero keep their bits, whatever they hold.
        """
        out = np.array(hu, dtype=np.int16, copy=True)
        cut = self.slices
        host = out[cut].astype(np.int32)
        changed = np.clip(host + self.residual, HU_MIN, HU_MAX)
        out[cut] = np.where(self.residual != 0, changed, host)
        return out


def real_patch(offset: tuple[int, int, int], mask: npt.NDArray[np.bool_]) -> Patch:
    return Patch(offset, mask, np.zeros(mask.shape, np.float16), np.zeros(mask.shape, np.int16))


def encode(patch: Patch) -> tuple[bytes, str]:
    """The bytes of a patch file, and the SHA-256 of what is in it (not of its compression)."""
    digest = hashlib.sha256(np.asarray([*patch.offset, *patch.mask.shape], "<i8").tobytes())
    for array, kind in ((patch.mask, "|u1"), (patch.feather, "<f2"), (patch.residual, "<i2")):
        digest.update(np.ascontiguousarray(array, dtype=kind).tobytes())
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        offset=np.asarray(patch.offset, np.int64),
        mask=patch.mask,
        feather=patch.feather.astype(np.float16),
        residual=patch.residual.astype(np.int16),
    )
    return buffer.getvalue(), digest.hexdigest()


def save_patch(candidate_id: object, patch: Patch) -> str:
    """Write the patch of a candidate, whole or not at all; returns its SHA-256."""
    data, sha256 = encode(patch)
    atomic_write_bytes(patch_file(candidate_id), data)  # type: ignore[arg-type]
    return sha256


def load_patch(candidate: Candidate) -> Patch:
    """Raises CasesError when the file is gone from the data directory."""
    try:
        with np.load(patch_file(candidate.pk), allow_pickle=False) as stored:
            z, y, x = (int(value) for value in stored["offset"])
            return Patch((z, y, x), stored["mask"], stored["feather"], stored["residual"])
    except FileNotFoundError:
        raise CasesError(
            f"The file of candidate {candidate.pk} is missing in the data directory; "
            "restore a backup."
        ) from None
