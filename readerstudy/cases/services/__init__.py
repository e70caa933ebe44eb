"""All writes of this room."""

from __future__ import annotations

from .curation import decide, decide_many, undo
from .foreign import IMPORT, import_synthetic, request_import
from .making import run_synthesis
from .real import make_candidates, request_candidates, scans_with_tumors
from .recognizing import RECOGNIZE, delete_recognition, run_recognition, start_recognition
from .runs import REAL, SYNTHESIZE, delete_run, start_run

__all__ = [
    "IMPORT",
    "REAL",
    "RECOGNIZE",
    "SYNTHESIZE",
    "decide",
    "decide_many",
    "delete_recognition",
    "delete_run",
    "import_synthetic",
    "make_candidates",
    "request_candidates",
    "request_import",
    "run_recognition",
    "run_synthesis",
    "scans_with_tumors",
    "start_recognition",
    "start_run",
    "undo",
]
