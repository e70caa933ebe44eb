"""JSON for the reading page."""

from __future__ import annotations

from ninja import Router

router = Router(tags=["reading"])
