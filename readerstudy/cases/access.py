"""Loaders: the object, or 404. Candidates and runs belong to the coordinators of the site."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import Http404

from readerstudy.accounts.access import require_coordinator

from .models import Candidate, Recognition, RecognitionRun, SynthesisRun


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


def recognition_or_404(user: Any, recognition_id: uuid.UUID) -> RecognitionRun:
    require_coordinator(user)
    rows = RecognitionRun.objects.select_related("job", "created_by")
    run = rows.filter(pk=recognition_id).first()
    if run is None:
        raise Http404
    return run


def result_or_404(user: Any, result_id: uuid.UUID) -> Recognition:
    """What was found in a volume that was looked at to the end."""
    require_coordinator(user)
    rows = Recognition.objects.select_related("run", "volume")
    result = rows.filter(pk=result_id, state=Recognition.State.DONE).first()
    if result is None:
        raise Http404
    return result
