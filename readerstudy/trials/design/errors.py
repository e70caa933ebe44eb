"""What can be wrong with a design, said in one sentence."""

from __future__ import annotations

from readerstudy.errors import UserError


class DesignError(UserError):
    """The design as asked for cannot be."""


class InfeasibleDesign(DesignError):
    """A constraint that cannot be kept; the sentence names it."""


class ProtocolError(DesignError):
    """The protocol document is not valid.

    `fields` maps the path of each bad value (keys and list indices) to its sentence, so that a
    form can say it beside the field. `str(error)` is the first of them.
    """

    def __init__(self, message: str, fields: dict[tuple[str | int, ...], str] | None = None):
        super().__init__(message)
        self.fields = fields or {}
