"""A real site with a server process of its own, and browsers that must not complain."""

from __future__ import annotations

from typing import Any

import pytest

from tests.live import empty_database, site  # noqa: F401 - fixtures

pytest.register_assert_rewrite("tests.e2e.road_reading", "tests.e2e.road_results")


class Watch:
    """What a page complained of. `allowed` holds texts that a test provokes on purpose."""

    def __init__(self, page: Any, allowed: tuple[str, ...] = ()) -> None:
        self.allowed = allowed
        self.complaints: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._note(f"page error: {error}"))
        page.on("response", self._response)
        page.add_init_script(
            "addEventListener('securitypolicyviolation', e => "
            "console.error('CSP violation: ' + e.violatedDirective + ' ' + e.blockedURI))"
        )

    def _console(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self._note(f"{message.type}: {message.text}")

    def _response(self, response: Any) -> None:
        if response.status >= 400:
            self._note(f"{response.status} {response.url}")

    def _note(self, text: str) -> None:
        if not any(allowed in text for allowed in self.allowed):
            self.complaints.append(text)
