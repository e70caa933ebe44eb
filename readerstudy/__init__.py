"""A self-hosted Visual Turing Test on CT."""

from __future__ import annotations

#: The same as `version` in pyproject.toml; printed in manifests and reports.
__version__ = "0.1.0"
