"""What can stand in the way of an analysis, in one sentence each."""

from __future__ import annotations

from readerstudy.errors import Conflict, UserError
from readerstudy.trials.models import Trial


class NotUnblinded(Conflict):
    """Something that needs the truth was asked of a trial that keeps it sealed."""

    def __init__(self, trial: Trial) -> None:
        super().__init__(
            f"Trial {trial.slug} is {trial.state}: its truth is sealed, so close and unblind the "
            "trial first, or export at the blinded level."
        )


class NothingToAnalyze(UserError):
    """The readings do not allow an analysis; the sentence says what is missing."""


class ReadsElsewhere(UserError):
    """Somebody who may see this truth reads images of the same patient in a sealed trial."""

    status = 403

    def __init__(self) -> None:
        super().__init__(
            "You are a reader of another trial that shows this patient and is not unblinded yet: "
            "what this case is stays hidden from you until then."
        )
