from __future__ import annotations

from readerstudy.errors import Conflict, UserError


class CasesError(UserError):
    """Something about a run, a candidate or a rendition that a person can put right."""


class AlreadyDecided(Conflict):
    """The candidate is not in the state that the action needs."""
