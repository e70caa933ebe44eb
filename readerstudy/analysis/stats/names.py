"""Names that a command line shows before any heavy package is loaded."""

from __future__ import annotations

from typing import Literal

Schema = Literal["vtt", "mrmc", "imrmc"]
SCHEMAS: tuple[Schema, ...] = ("vtt", "mrmc", "imrmc")
