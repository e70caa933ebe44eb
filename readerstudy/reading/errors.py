"""What can be wrong with a reader's request, each in one sentence."""

from __future__ import annotations

from readerstudy.errors import Conflict, UserError


class NotAllowed(UserError):
    """The reader may not read this case now; nothing of it is served or stored."""

    status = 403


class TrialNotReadable(NotAllowed):
    def __init__(self, state: str) -> None:
        super().__init__(
            {
                "draft": "The trial has not opened yet; its coordinator will tell you when.",
                "paused": "The trial is paused; your answers are kept until it resumes.",
            }.get(state, "The trial is closed; it takes no more answers.")
        )


class ConsentMissing(NotAllowed):
    def __init__(self) -> None:
        super().__init__("Your consent to the current text is missing; open the trial and give it.")


class NotYourCase(NotAllowed):
    def __init__(self) -> None:
        super().__init__("This case is not yours to read; reload the page.")


class AlreadyAnswered(Conflict):
    """Another answer was stored for this case before; it stands."""

    def __init__(self, rating: int | None = None) -> None:
        super().__init__("This case has an answer already, and answers are not changed.")
        self.rating = rating


class OutOfOrder(UserError):
    """Too early: an answer overtook the one before it. The browser sends it again."""

    status = 425

    def __init__(self) -> None:
        super().__init__("An earlier case has no answer yet; answers are stored in reading order.")


class ConsentTextChanged(Conflict):
    def __init__(self) -> None:
        super().__init__("The consent text has changed while the page was open; read it again.")
