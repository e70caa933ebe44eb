"""NIfTI volumes: RAS to LPS geometry, exact int16 HU, and a reason for each file that cannot be."""

from __future__ import annotations

import gzip
import logging
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from readerstudy.library.imaging.errors import GeometryError, ImagingError
from readerstudy.library.imaging.geometry import Geometry, VolumeData
from readerstudy.library.imaging.hounsfield import to_hu
from readerstudy.library.imaging.limits import MAX_SIDE, MAX_VOXELS, MIN_SLICES
from readerstudy.library.imaging.synthetic import description_says_so

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
HEADER_BYTES = 348

# What nibabel mends in a header is judged here; its remarks would only fill the log.
logging.getLogger("nibabel.global").setLevel(logging.CRITICAL + 1)


def looks_like_nifti(path: Path) -> bool:
    """From the header (inside gzip if need be): NIfTI-1 or NIfTI-2 in one file."""
    try:
        with path.open("rb") as file:
            head = file.read(HEADER_BYTES)
        if head[:2] == b"\x1f\x8b":
            with gzip.open(path) as stream:
                head = stream.read(HEADER_BYTES)
    except (OSError, EOFError, zlib.error):
        return False
    if len(head) < HEADER_BYTES:
        return False
    sizes = struct.unpack("<i", head[:4]) + struct.unpack(">i", head[:4])
    return (348 in sizes and head[344:347] in (b"n+1", b"ni1")) or (
        540 in sizes and head[4:7] in (b"n+2", b"ni2")
    )


class NiftiFile:
    """One opened NIfTI file: geometry at once, values when asked.

    Raises:
        ImagingError: not NIfTI, cut off, 4-D, without orientation, sheared, too large.
    """

    def __init__(self, path: Path) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                # by content, whatever the file is called (uploads are stored under numbers)
                self._image: Any = _load(path)
                self.geometry = _geometry(self._image)
        except ImagingError:
            raise
        except (MemoryError, RecursionError):
            raise ImagingError("its header asks for too much memory") from None
        except Exception:  # noqa: BLE001 - whatever a parser meets in a broken file
            raise ImagingError(
                "it is not a NIfTI file, or its header is broken or cut off"
            ) from None

    def stored(self) -> npt.NDArray[np.generic]:
        """Stored values ``(z, y, x)``, before slope and intercept.

        Raises:
            ImagingError: the file ends too early or its compression is broken.
        """
        try:
            values = np.asarray(self._image.dataobj.get_unscaled())
        except (OSError, EOFError, ValueError, zlib.error):
            raise ImagingError(
                "it is cut off or its compressed data is broken; copy it again"
            ) from None
        if values.dtype.names or values.dtype.kind not in "iufb":
            raise ImagingError("it holds colors or complex numbers, not one gray value per voxel")
        return values.reshape(self.geometry.shape[::-1], order="F").transpose(2, 1, 0)

    def scaling(self) -> tuple[float, float]:
        """Slope and intercept of the header; 1 and 0 where it says none."""
        # not of the header: nibabel clears it there once the file is open
        return float(self._image.dataobj.slope), float(self._image.dataobj.inter)

    def volume(self) -> VolumeData:
        """The file as CT.

        Raises:
            ImagingError: NaN, not whole HU, beyond int16, a label map, or values that are no HU.
        """
        if self.geometry.shape[0] < MIN_SLICES:
            raise ImagingError(f"it has only {self.geometry.shape[0]} slices: not a volume")
        stored = self.stored()
        hu = np.empty(self.geometry.shape, dtype=np.int16)
        slope, intercept = self.scaling()
        for index, plane in enumerate(stored):
            hu[index] = to_hu(plane, slope, intercept)
        if int(hu.min()) >= 0:
            raise ImagingError(
                f"its values are {hu.min()} to {hu.max()}; CT in HU has air or fat below 0 "
                "(is it a label map, or stored without the HU offset?)"
            )
        return VolumeData(hu, self.geometry)

    def labels(self) -> list[int] | None:
        """The sorted nonzero values when the file can be a label map, else None.

        A label map holds at most 256 whole numbers from 0 to 65,535 and at least one above 0.

        Raises:
            ImagingError: the values cannot be read.
        """
        stored = self.stored()
        slope, intercept = self.scaling()
        low, high = _ends(stored)
        if not (low * slope + intercept >= 0 and 0 < high * slope + intercept <= 65_535):
            return None
        found: set[float] = set()
        for plane in stored:
            found.update(np.unique(plane).tolist())
            if len(found) > 256:
                return None
        values = np.array(sorted(found), dtype=np.float64) * slope + intercept
        if not np.array_equal(values, np.rint(values)):
            return None
        return [int(value) for value in values if value != 0]

    def says_synthetic(self) -> bool:
        """Whether the free text of the header says that the image was made."""
        header = self._image.header
        return "descrip" in header and description_says_so(bytes(header["descrip"].tobytes()))

    def removed(self) -> list[str]:
        """Names of free-text header fields that hold something and are left behind."""
        header = self._image.header
        names = ["descrip", "aux_file", "db_name", "intent_name"]
        found = [
            name for name in names if name in header and bytes(header[name].tobytes()).strip(b"\0 ")
        ]
        return found + ["extension" for _ in header.extensions]


def _load(path: Path) -> Any:
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES + 4)
    if head[:2] == b"\x1f\x8b":
        stream: Any = gzip.open(path)  # noqa: SIM115 - nibabel reads from it later
        head = stream.read(HEADER_BYTES + 4)
        stream.seek(0)
    else:
        stream = path.open("rb")
    kind = (
        nib.Nifti2Image
        if 540 in struct.unpack("<i", head[:4]) + struct.unpack(">i", head[:4])
        else nib.Nifti1Image
    )
    if kind is nib.Nifti1Image and head[344:348] == b"ni1\0":
        raise ImagingError("its voxels are in a second file (.img); save it as one .nii or .nii.gz")
    return kind.from_file_map({"image": nib.FileHolder(fileobj=stream)})


def _geometry(image: Any) -> Geometry:
    shape = tuple(int(size) for size in image.shape)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3:
        raise ImagingError(
            f"it has {len(shape)} dimensions ({_by(shape)}); one 3-D volume is needed"
        )
    if min(shape) < 1 or max(shape) > MAX_SIDE or int(np.prod(shape, dtype=np.int64)) > MAX_VOXELS:
        raise ImagingError(f"its header claims {_by(shape)} voxels, more than can be read")
    units = image.header.get_xyzt_units()[0]
    if units not in ("mm", "unknown"):
        raise ImagingError(f"its lengths are in {units}, not in mm")
    affine = _affine(image)
    try:
        return Geometry.from_affine(RAS_TO_LPS @ affine, (shape[2], shape[1], shape[0]))
    except GeometryError as error:
        raise ImagingError(
            f"its orientation cannot be used: {_lower(str(error)).rstrip('.')}; correct its header"
        ) from None


def _affine(image: Any) -> npt.NDArray[np.float64]:
    """The sform if set, else the qform; they must agree when both are set.

    With neither, NIfTI leaves the side of the patient open: left and right would be a guess.
    """
    try:
        sform, s_code = image.header.get_sform(coded=True)
        qform, q_code = image.header.get_qform(coded=True)
    except Exception:  # noqa: BLE001 - nibabel raises several kinds for broken quaternions
        raise ImagingError("its orientation (qform) is broken") from None
    if not s_code and not q_code:
        raise ImagingError("it has no orientation (qform and sform are unset), so left is unknown")
    affine = np.asarray(sform if s_code else qform, dtype=np.float64)
    if s_code and q_code and np.isfinite(affine).all():
        ends = np.array([[0, 0, 0, 1], [*(size - 1 for size in image.shape[:3]), 1]])
        apart = np.abs(ends @ (affine - np.asarray(qform, dtype=np.float64)).T).max()
        smallest = float(np.linalg.norm(affine[:3, :3], axis=0).min())
        if not apart <= max(0.1 * smallest, 1e-3):
            raise ImagingError(
                f"its two orientations (qform and sform) disagree by {apart:.1f} mm; "
                "save it again with one of them"
            )
    return affine


def _ends(values: npt.NDArray[np.generic]) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return (low, high) if np.isfinite([low, high]).all() else (-1.0, -1.0)


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(f"{size:,}" for size in shape)


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:].rstrip(".")
