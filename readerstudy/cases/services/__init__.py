"""All writes of this room."""

from __future__ import annotations

from .curation import decide, decide_many, undo
from .real import make_candidates, request_candidates
from .runs import REAL, SYNTHESIZE, delete_run, run_synthesis, start_run

__all__ = [
    "REAL",
    "SYNTHESIZE",
    "decide",
    "decide_many",
    "delete_run",
    "make_candidates",
    "request_candidates",
    "run_synthesis",
    "start_run",
    "undo",
]
