"""Who may see results and make exports: coordinators and researchers of the trial."""

from __future__ import annotations

import uuid
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404

from readerstudy.trials.access import roles_in
from readerstudy.trials.models import Membership, Trial

from .models import Bundle

ANALYSTS = frozenset({Membership.Role.COORDINATOR, Membership.Role.RESEARCHER})


def trial_or_404(user: Any, slug: str) -> Trial:
    """The trial for an analyst of it. Raises Http404 (no part in it) or PermissionDenied."""
    trial = Trial.objects.select_related("active_protocol").filter(slug=slug).first()
    roles = roles_in(user, trial) if trial is not None else frozenset()
    if trial is None or not roles:
        raise Http404
    if not roles & ANALYSTS:
        raise PermissionDenied
    return trial


def bundle_or_404(user: Any, slug: str, bundle_id: uuid.UUID) -> Bundle:
    """A bundle of a trial that `user` may analyse."""
    bundle = Bundle.objects.filter(trial=trial_or_404(user, slug), pk=bundle_id).first()
    if bundle is None or not bundle.path.is_file():
        raise Http404
    return bundle
