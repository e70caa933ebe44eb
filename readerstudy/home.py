"""What the first page after sign-in shows to each role."""

from __future__ import annotations

from typing import Any

from readerstudy.accounts.access import is_coordinator


def home_context(user: Any) -> dict[str, Any]:
    from readerstudy.reading.selectors import reader_trials
    from readerstudy.trials.selectors import trials_of

    return {
        "reading": reader_trials(user),
        "trials": trials_of(user),
        "coordinator": is_coordinator(user),
    }
