"""What every page of a signed-in person needs: the navigation that their role opens."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from readerstudy.accounts.access import is_coordinator


def navigation(request: HttpRequest) -> dict[str, Any]:
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return {"nav": []}
    room = request.resolver_match.app_name if request.resolver_match else ""
    # The readers' progress is a page of the trial, served by the room of reading.
    planning = request.path.startswith("/planning/")
    in_trial = request.path.startswith("/trials/") or room in {"trials", "analysis"}
    items = [("Home", "home", room == "")]
    if is_coordinator(user):
        items += [
            ("Library", "library:index", room == "library"),
            ("Cases", "cases:index", room == "cases"),
            ("Batches", "jobs:batches", room == "jobs"),
        ]
    if is_coordinator(user) or user.site_role == user.SiteRole.RESEARCHER:
        items += [
            ("Trials", "trials:index", in_trial and not planning),
            ("Planning", "analysis:planning", planning),
        ]
    return {"nav": items, "is_site_coordinator": is_coordinator(user)}
