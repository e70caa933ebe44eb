"""Who may see results and make exports: coordinators and researchers of the trial."""

from __future__ import annotations

import uuid
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404

from readerstudy.trials.access import roles_in
from readerstudy.trials.models import Case, Membership, Trial

from .errors import ReadsElsewhere
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


def truth_case_or_404(user: Any, slug: str, number: int) -> Case:
    """A counted case with its images and what it is, for an analyst of an unblinded trial.

    Raises:
        Http404: no such case, no part in the trial, or its truth is sealed.
        PermissionDenied: a member who may not see results.
        ReadsElsewhere: the user reads this patient's images in a trial that is still sealed.
    """
    trial = trial_or_404(user, slug)
    if trial.state != Trial.State.UNBLINDED:
        raise Http404
    case = (
        trial.cases.filter(number=number, phase=Case.Phase.MAIN, truth__isnull=False)
        .select_related("rendition", "truth")
        .first()
    )
    if case is None:
        raise Http404
    if reads_elsewhere(user, case):
        raise ReadsElsewhere
    case.trial = trial
    return case


def reads_elsewhere(user: Any, case: Case) -> bool:
    """Whether `user` is a reader of a trial with images of the same patient, its truth sealed."""
    return (
        Case.objects.filter(
            patient_key=case.patient_key,
            trial__memberships__user=user,
            trial__memberships__role=Membership.Role.READER,
            trial__memberships__valid_to__isnull=True,
        )
        .exclude(trial__state=Trial.State.UNBLINDED)
        .exists()
    )
