"""Who may do what with a trial: loaders that return it, or raise 404 or 403.

Somebody with no part in a trial gets 404, the same as for a trial that does not exist; a member
without the right gets 403.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404

from .models import Membership, Trial

Role = Membership.Role
RIGHTS: dict[str, frozenset[str]] = {
    # See the design and the state of the trial; none of it depends on the truth.
    "view": frozenset({Role.COORDINATOR, Role.RESEARCHER, Role.CUSTODIAN}),
    # Change the design, the members and the state; open the truth.
    "manage": frozenset({Role.COORDINATOR}),
}


def roles_in(user: Any, trial: Trial) -> frozenset[str]:
    """The roles that `user` holds in the trial now."""
    return frozenset(
        Membership.objects.filter(trial=trial, user=user, valid_to__isnull=True).values_list(
            "role", flat=True
        )
    )


def trial_for(user: Any, slug: str, right: str) -> Trial:
    """The trial, if `user` has the right there. Raises Http404 or PermissionDenied."""
    trial = Trial.objects.select_related("active_protocol").filter(slug=slug).first()
    if trial is None:
        raise Http404
    roles = roles_in(user, trial)
    if not roles:
        raise Http404
    if not roles & RIGHTS[right]:
        raise PermissionDenied
    return trial


def require_trial_staff(user: Any) -> None:
    """Raises PermissionDenied for anyone who neither coordinates or researches at this site nor
    has such a part in a trial."""
    if user.site_role in {user.SiteRole.COORDINATOR, user.SiteRole.RESEARCHER}:
        return
    staff = Membership.objects.filter(user=user, valid_to__isnull=True, role__in=RIGHTS["view"])
    if not staff.exists():
        raise PermissionDenied
