"""The engine's own error: one sentence with what is wrong, where, and what to do."""

from __future__ import annotations


class RecognitionError(Exception):
    """Something a person can put right; ``str(error)`` is shown to them as it stands."""
