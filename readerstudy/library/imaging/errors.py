"""What the pure imaging code raises: one sentence for a person, never a traceback."""

from __future__ import annotations

from readerstudy.errors import UserError


class ImagingError(UserError):
    """The data cannot be used; ``str(error)`` is one sentence saying what, where, what to do.

    ``series_uid`` is set when a broken file could still say which DICOM series it belongs to.
    """

    series_uid: str = ""


class GeometryError(ImagingError):
    """A grid cannot be described by spacing, origin and orthogonal axes."""


class GridMismatch(ImagingError):
    """A mask does not lie on the voxel grid of the volume."""
