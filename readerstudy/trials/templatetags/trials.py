"""`{% trial_tabs %}`: the parts of a trial, on every page about it, whatever room serves it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django import template
from django.urls import reverse

from readerstudy.trials.access import RIGHTS, roles_in
from readerstudy.trials.models import Trial

register = template.Library()


@dataclass(frozen=True)
class Part:
    """A tab: its label, its address, the other pages that belong to it, and who sees it when."""

    label: str
    name: str
    also: tuple[str, ...] = ()
    managers: bool = False
    opened: bool = False

    def holds(self, page: str) -> bool:
        return page == self.name or page in self.also


PARTS = (
    Part("Overview", "trials:detail", ("trials:transition",)),
    Part("Protocol", "trials:protocol", ("trials:protocol_upload",)),
    Part("Cases", "trials:cases", managers=True),
    Part(
        "People", "trials:readers", ("trials:add_member", "trials:renew_invitation"), managers=True
    ),
    Part("Orders", "trials:allocation", managers=True),
    Part("Progress", "reading:progress", managers=True, opened=True),
    Part("Results", "analysis:results", ("analysis:cases",), opened=True),
    Part("History", "trials:history"),
)


@register.inclusion_tag("trials/_tabs.html", takes_context=True)
def trial_tabs(context: dict[str, Any]) -> dict[str, Any]:
    """Tabs that the user of this request may open. Needs `trial` in the context."""
    request, trial = context["request"], context["trial"]
    manages = context.get("manages")
    if manages is None:
        manages = bool(roles_in(request.user, trial) & RIGHTS["manage"])
    opened = trial.state != Trial.State.DRAFT
    page = request.resolver_match.view_name
    return {
        "tabs": [
            (part.label, reverse(part.name, args=[trial.slug]), part.holds(page))
            for part in PARTS
            if (manages or not part.managers) and (opened or not part.opened)
        ]
    }
