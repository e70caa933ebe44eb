"""Who may read: loaders that return the object, or raise 404 or 403."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404

from readerstudy.trials.models import Membership

from .protocol import DOCUMENT


class Withdrawn(PermissionDenied):
    """The user was a reader of this trial and no longer is."""


def reader_membership(user: Any, slug: str) -> Membership:
    """The reader membership of `user` in the trial, with trial and protocol loaded.

    Raises Http404 when they never were a reader there (or there is no such trial: the two look
    the same) and Withdrawn when the membership has ended.
    """
    memberships = list(
        Membership.objects.select_related("trial__active_protocol")
        .defer(DOCUMENT)
        .filter(user=user, trial__slug=slug, role=Membership.Role.READER)
        .order_by("-valid_from")
    )
    if not memberships:
        raise Http404
    for membership in memberships:
        if membership.valid_to is None:
            membership.user = user
            return membership
    raise Withdrawn
