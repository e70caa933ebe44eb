"""What a reader must see, worked out again from the files on the disk.

Nothing here calls the platform: the CT comes from the shared folder through SimpleITK, the made
lesion from its patch file, and the rule of the rendition is written out once more.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import SimpleITK

MATRIX = 512


@lru_cache(maxsize=4)
def scan(path: Path) -> np.ndarray:
    """HU (z, y, x) on LPS axes; z grows towards the head."""
    image = SimpleITK.DICOMOrient(SimpleITK.ReadImage(str(path)), "LPS")
    return SimpleITK.GetArrayFromImage(image).astype(np.int32)


class Source:
    """The voxels behind one case: a shared CT, and the patch of its candidate."""

    def __init__(self, ct: Path, patch: Path) -> None:
        self.host = scan(ct)
        with np.load(patch) as stored:
            self.offset, self.mask = stored["offset"], stored["mask"]
            self.residual = stored["residual"].astype(np.int32)
        self.made = self.host.copy()
        cut = tuple(slice(o, o + n) for o, n in zip(self.offset, self.mask.shape, strict=True))
        self.made[cut] += self.residual

    @property
    def slices(self) -> int:
        return len(self.host)

    @property
    def middle(self) -> int:
        """The slice that shows most of the lesion."""
        return int(self.offset[0] + self.mask.sum(axis=(1, 2)).argmax())

    def frame(self, index: int, *, lesion: bool = True) -> np.ndarray:
        """A slice as it is sent to readers, (512, 512) HU; without what was made, if asked."""
        hu = (self.made if lesion else self.host)[index].clip(-1024, 3071)
        rows, columns = hu.shape
        out = np.full((MATRIX, MATRIX), -1024)
        top, left = (MATRIX - rows) // 2, (MATRIX - columns) // 2
        out[top : top + rows, left : left + columns] = hu
        return out
