from __future__ import annotations

from readerstudy.errors import Conflict, UserError


class LibraryError(UserError):
    """Something about an import, an upload or a volume that a person can put right."""


class VolumeInUse(Conflict):
    """The volume cannot go: candidates or synthesis runs are made from it."""


class UploadMoved(Conflict):
    """The chunk does not start where the file ends; the browser asks again where to go on."""
