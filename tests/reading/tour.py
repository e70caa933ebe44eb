"""The tour: one whole session of a reader, every reader route on the way, byte for byte."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from typing import Any

from tests.reading.world import FRAMES, Desk, World


@dataclass(frozen=True)
class Seen:
    """One response as the reader's browser got it, free of what differs from one sign-in to the
    next (CSRF token, cookies) and nothing else."""

    asked: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


CSRF = re.compile(
    rb'(csrf(?:middlewaretoken)?"?[^\w]{1,12}(?:value="|")?|X-CSRFToken[^\w]{1,12})[\w]{64}'
)


def seen(asked: str, response: Any) -> Seen:
    headers = sorted((name, value) for name, value in response.headers.items())
    return Seen(asked, response.status_code, tuple(headers), CSRF.sub(rb"\1CSRF", response.content))


class Tour:
    """Takes the whole way through a trial and keeps every response."""

    def __init__(self, client: Any, slug: str = "liver") -> None:
        self.desk = Desk(client, slug)
        self.log: list[Seen] = []
        self.names: set[str] = set()
        self.uuids = iter(uuid.UUID(int=n) for n in range(1, 1000))

    def ask(self, method: str, path: str, body: Any = None, **form: Any) -> Any:
        client = self.desk.client
        extra: dict[str, Any] = {"data": form} if form else {}
        if body is not None:
            extra = {"data": json.dumps(body), "content_type": "application/json"}
        response = getattr(client, method)(path, **extra)
        self.log.append(seen(f"{method} {path}", response))
        self.names.add(response.resolver_match.view_name)
        return response

    def take(self, world: World) -> list[Seen]:
        pages = (
            "",
            "instructions/",
            "consent/",
            "case/",
            "practice-done/",
            "break/",
            "pause/",
            "done/",
        )
        self.ask("get", "/")
        for page in pages:
            self.ask("get", f"/read/liver/{page}")
        self.ask("post", "/read/liver/consent/", text_sha256="x")
        sha = self.desk.client.get("/read/liver/consent/").context["text_sha256"]
        self.ask("post", "/read/liver/consent/", agree="yes", text_sha256=sha)
        while (state := self.ask("get", f"{self.desk.api}/worklist").json())["state"] != "done":
            for page in pages:
                self.ask("get", f"/read/liver/{page}")
            if state["state"] == "reading":
                self.read(state)
            else:
                self.ask("post", "/read/liver/continue/")
        self.ask("get", "/read/liver/done/")
        for trial_state in ("paused", "closed", "open"):
            world.set_state(trial_state)
            self.ask("get", "/read/liver/")
            self.ask("get", f"{self.desk.api}/worklist")
        self.ask("get", "/")
        return self.log

    def read(self, state: dict[str, Any]) -> None:
        """One case: all frames of it and of the next, a draft, answers right and wrong."""
        api, current = self.desk.api, state["current"]
        for case in filter(None, (current, state["ahead"])):
            for k in range(FRAMES + 1):
                self.ask("get", f"{case['frames']['url']}{k}")
            self.ask("head", f"{case['frames']['url']}0")
        self.ask("put", f"{api}/draft", {"token": current["token"], "draft": {"rating": 2}})
        if state["ahead"]:
            self.judge(state["ahead"]["token"])
        self.judge("x" * 43)
        self.judge(current["token"], rating=9)
        stored = self.judge(current["token"])
        assert stored.status_code == 200
        self.judge(current["token"], rating=1)

    def judge(self, token: str, rating: int = 4) -> Any:
        answer = {"client_uuid": str(next(self.uuids)), "token": token, "rating": rating}
        return self.ask("post", f"{self.desk.api}/judgments", answer)
