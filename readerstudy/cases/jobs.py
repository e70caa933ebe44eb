"""What a worker runs for this room."""

from __future__ import annotations

from typing import Any

from readerstudy.jobs.registry import JobContext, job

from . import batches as batches  # its jobs register themselves
from .models import RecognitionRun, SynthesisRun
from .services.foreign import IMPORT, run_import
from .services.making import run_synthesis
from .services.real import make_candidates, scans_with_tumors
from .services.recognizing import RECOGNIZE, run_recognition
from .services.runs import REAL, SYNTHESIZE


@job(SYNTHESIZE, title="Making synthetic lesions", queue="cpu", max_attempts=5)
def run_synthesize(ctx: JobContext, run_id: str) -> dict[str, Any] | None:
    """Go on where the run's counters say it stopped."""
    run = SynthesisRun.objects.filter(pk=run_id).first()
    return None if run is None else run_synthesis(ctx, run)


@job(REAL, title="Looking for real lesions", queue="cpu", max_attempts=3)
def run_real(ctx: JobContext) -> dict[str, Any]:
    """Each lesion has an id of its own, so repeating this makes no doubles."""
    volumes = scans_with_tumors()
    made = 0
    for done, volume in enumerate(volumes):
        ctx.progress(done, len(volumes), volume.name)
        made += len(make_candidates(volume, actor=ctx.actor))
    ctx.progress(len(volumes), len(volumes))
    return {"volumes": len(volumes), "candidates": made}


@job(IMPORT, title="Importing a synthetic volume", queue="cpu", max_attempts=3)
def run_import_synthetic(ctx: JobContext, **params: Any) -> dict[str, Any]:
    """Once stored, the same change is refused, so repeating this makes no doubles."""
    return run_import(params, ctx.actor, ctx.progress)


@job(RECOGNIZE, title="Looking for tumors", queue="cpu", max_attempts=3)
def run_recognize(ctx: JobContext, run_id: str) -> dict[str, Any] | None:
    """A volume that was looked at is not looked at again."""
    run = RecognitionRun.objects.filter(pk=run_id).first()
    return None if run is None else run_recognition(ctx, run)
