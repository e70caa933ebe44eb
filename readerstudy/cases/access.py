"""Loaders: the object, or 404. Candidates and runs belong to the coordinators of the site."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import Http404

from readerstudy.accounts.access import require_coordinator

from .models import Candidate, SynthesisRun


def candidate_or_404(user: Any, candidate_id: uuid.UUID) -> Candidate:
    require_coordinator(user)
    rows = Candidate.objects.select_related("volume", "run", "curated_by")
    candidate = rows.filter(pk=candidate_id).first()
    if candidate is None:
        raise Http404
    return candidate


def run_or_404(user: Any, run_id: uuid.UUID) -> SynthesisRun:
    require_coordinator(user)
    rows = SynthesisRun.objects.select_related("job", "created_by").prefetch_related("volumes")
    run = rows.filter(pk=run_id).first()
    if run is None:
        raise Http404
    return run
