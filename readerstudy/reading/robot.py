"""A reader made of HTTP requests alone: signs in, consents, reads, answers.

It knows what a browser knows and nothing more. The simulation of trials and the benchmark use it.
"""

from __future__ import annotations

import http.client
import json
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode, urlsplit

from readerstudy.errors import UserError

RETRIES = 12
BUSY = {429, 500, 502, 503, 504}


class RobotError(UserError):
    """The server did not answer as a reader may expect."""


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Robot:
    """One reader at one kept-alive connection. `base` is like http://127.0.0.1:8000."""

    base: str
    cookies: dict[str, str] = field(default_factory=dict)
    timeout: float = 60.0

    def __post_init__(self) -> None:
        parts = urlsplit(check_address(self.base))
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._connection = kind(parts.hostname, parts.port, timeout=self.timeout)
        self._origin = f"{parts.scheme}://{parts.netloc}"

    # ------------------------------------------------------------------------------- requests
    def request(
        self, method: str, path: str, *, form: dict[str, str] | None = None, data: Any = None
    ) -> Reply:
        """One request, sent again with patience while the server is busy or away."""
        for attempt in range(RETRIES):
            try:
                reply = self._once(method, path, form, data)
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                if attempt == RETRIES - 1:
                    raise RobotError(f"{self._origin} does not answer ({error}).") from None
            else:
                if reply.status not in BUSY or attempt == RETRIES - 1:
                    return reply
            time.sleep(min(5.0, 0.1 * 2**attempt))
        raise AssertionError("unreachable")

    def _once(self, method: str, path: str, form: dict[str, str] | None, data: Any) -> Reply:
        headers = {"Accept": "application/json, text/html", "Referer": self._origin + path}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        body: bytes | None = None
        if method not in {"GET", "HEAD"}:
            headers["X-CSRFToken"] = self.cookies.get("csrftoken", "")
        if form is not None:
            body = urlencode(form).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        elif data is not None:
            body = json.dumps(data).encode()
            headers["Content-Type"] = "application/json"
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        content = answer.read()
        for line in answer.headers.get_all("Set-Cookie") or []:
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.value
        return Reply(answer.status, {k.lower(): v for k, v in answer.headers.items()}, content)

    def expect(self, reply: Reply, *statuses: int) -> Reply:
        if reply.status not in statuses:
            said = reply.body[:200].decode(errors="replace")
            raise RobotError(f"The server answered {reply.status}, not {statuses[0]}: {said}")
        return reply

    # --------------------------------------------------------------------------- what readers do
    def sign_in(self, email: str, password: str) -> None:
        self.expect(self.request("GET", "/accounts/login/"), 200)
        reply = self.request(
            "POST", "/accounts/login/", form={"login": email, "password": password}
        )
        if reply.status != 302:
            raise RobotError(f"{email} could not sign in at {self._origin}.")

    def enter(self, slug: str) -> None:
        """Go to the trial and give the consent where it is asked for."""
        page = self.request("GET", f"/read/{slug}/consent/")
        if page.status == 302:
            return
        self.expect(page, 200)
        found = re.search(rb'name="text_sha256" value="(\w+)"', page.body)
        if found is None:
            raise RobotError("The consent page has no text to agree to.")
        form = {"agree": "yes", "text_sha256": found[1].decode()}
        self.expect(self.request("POST", f"/read/{slug}/consent/", form=form), 302)

    def worklist(self, slug: str) -> dict[str, Any]:
        reply: dict[str, Any] = self.expect(
            self.request("GET", f"/api/reading/{slug}/worklist"), 200
        ).json()
        return reply

    def frame(self, case: dict[str, Any], index: int) -> Reply:
        return self.expect(self.request("GET", f"{case['frames']['url']}{index}"), 200)

    def judge(self, slug: str, answer: dict[str, Any]) -> dict[str, Any]:
        """Send one answer; returns the worklist that follows."""
        answer = {"client_uuid": str(uuid.uuid4())} | answer
        reply = self.request("POST", f"/api/reading/{slug}/judgments", data=answer)
        following: dict[str, Any] = self.expect(reply, 200).json()["worklist"]
        return following

    def go_on(self, slug: str) -> None:
        self.expect(self.request("POST", f"/read/{slug}/continue/", form={}), 302)

    def read(
        self, slug: str, decide: Callable[[dict[str, Any]], dict[str, Any]], *, frames: int = 3
    ) -> int:
        """Read until nothing is left; `decide` makes the answer to a case. Returns the answers.

        Raises RobotError when the trial does not let the reader go on.
        """
        self.enter(slug)
        count, work = 0, self.worklist(slug)
        while work["state"] != "done":
            if work["state"] in {"practice_done", "break"}:
                self.go_on(slug)
                work = self.worklist(slug)
                continue
            if work["state"] != "reading":
                raise RobotError(f"The trial {slug} cannot be read now (it is {work['state']}).")
            case = work["current"]
            for index in spread(case["frames"]["count"], frames):
                self.frame(case, index)
            work = self.judge(slug, {"token": case["token"]} | decide(case))
            count += 1
        return count

    def close(self) -> None:
        self._connection.close()


def check_address(base: str) -> str:
    """The address without a slash at its end. Raises UserError when it is none."""
    parts = urlsplit(base)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UserError(f"{base!r} is no address; write it like http://127.0.0.1:8000.")
    return base.rstrip("/")


def spread(count: int, wanted: int) -> list[int]:
    """Up to `wanted` frame numbers over the whole case, first and last included."""
    wanted = min(count, wanted)
    return sorted({round(k * (count - 1) / max(1, wanted - 1)) for k in range(wanted)})
