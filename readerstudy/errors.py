"""Errors that are said to a person: one sentence with what is wrong, where, and what to do."""

from __future__ import annotations


class UserError(Exception):
    """Something a person can put right. `str(error)` is shown to them as it stands."""

    #: Of a page, and of a command.
    status = 400
    exit_status = 2


class Conflict(UserError):
    """The request no longer fits the state of the thing it is about."""

    status = 409
