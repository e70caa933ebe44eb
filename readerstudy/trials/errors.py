"""What can be wrong with a request about a trial, each in one sentence."""

from __future__ import annotations

from readerstudy.errors import Conflict, UserError

from .design.errors import DesignError, InfeasibleDesign, ProtocolError
from .models import Trial

__all__ = [
    "DesignError",
    "InfeasibleDesign",
    "NotReady",
    "ProtocolError",
    "TrialLocked",
    "WrongState",
]

WORDS = {
    Trial.State.DRAFT: "still a draft",
    Trial.State.OPEN: "open",
    Trial.State.PAUSED: "paused",
    Trial.State.CLOSED: "closed",
    Trial.State.UNBLINDED: "unblinded",
}


class TrialLocked(Conflict):
    """Something of the design was to be changed after the trial opened."""

    def __init__(self, trial: Trial, what: str) -> None:
        opened = f" since it opened on {trial.opened_at:%d %B %Y}" if trial.opened_at else ""
        super().__init__(
            f"The {what} cannot be changed: the trial is locked{opened}; create a new trial for "
            "another design."
        )


class WrongState(Conflict):
    """A transition that the table of transitions does not have."""

    def __init__(self, trial: Trial, verb: str, sources: tuple[str, ...]) -> None:
        allowed = " or ".join(WORDS[Trial.State(source)] for source in sources)
        super().__init__(
            f"The trial is {WORDS[Trial.State(trial.state)]}, so it cannot be {verb}; only one "
            f"that is {allowed} can."
        )


class NotReady(UserError):
    """The trial lacks something that the step needs; the sentence says what to do."""
