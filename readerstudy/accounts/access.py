"""Site-wide roles. Roles within a trial are its memberships (readerstudy.trials)."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import rules
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse

from .models import User


@rules.predicate
def is_coordinator(user: Any) -> bool:
    return getattr(user, "is_active", False) and (
        getattr(user, "site_role", "") == User.SiteRole.COORDINATOR
    )


rules.add_perm("accounts.coordinate", is_coordinator)


def require_coordinator(user: Any) -> None:
    """Raises PermissionDenied for anyone who is not a coordinator of this site."""
    if not is_coordinator(user):
        raise PermissionDenied


View = Callable[..., HttpResponse]


def coordinator_view(view: View) -> View:
    """Decorator: the view answers 403 to anyone who is not a coordinator of this site."""

    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        require_coordinator(request.user)
        return view(request, *args, **kwargs)

    return wrapper
