"""What a worker runs for trials."""

from __future__ import annotations

from typing import Any

from readerstudy.jobs.registry import JobContext, job

from .models import Trial
from .preparation import prepare
from .services import ALLOCATE, PREPARE, allocate


@job(PREPARE, title="Preparing the cases", queue="cpu", max_attempts=3)
def run_prepare(ctx: JobContext, trial_id: str) -> dict[str, Any] | None:
    """Build the images of a draft's cases. Safe to repeat: it replaces what an attempt left."""
    trial = Trial.objects.filter(pk=trial_id).first()
    if trial is None:
        return None
    return {"cases": prepare(trial, actor=ctx.actor, report=ctx.progress)}


@job(ALLOCATE, title="Making the orders", queue="cpu", max_attempts=3)
def run_allocate(ctx: JobContext, trial_id: str) -> dict[str, Any] | None:
    """Make the orders of many readers. Safe to repeat: they follow from the seed."""
    trial = Trial.objects.filter(pk=trial_id).first()
    if trial is None:
        return None
    return {"positions": allocate(trial, actor=ctx.actor, report=ctx.progress)}
