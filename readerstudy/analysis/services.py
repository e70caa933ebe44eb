"""Writes of this room: results computed and stored, bundles made. Judgments are never touched."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from typing import Any

from django.db import transaction

from readerstudy import __version__
from readerstudy.audit.services import record, trial_chain
from readerstudy.jobs.models import Job
from readerstudy.jobs.services import enqueue
from readerstudy.storage import atomic_dir, atomic_write_bytes
from readerstudy.trials.models import Trial

from . import bundle as bundles
from . import selectors, validation
from .errors import NothingToAnalyze
from .machines import selectors as machines
from .models import Bundle, ResultsSnapshot
from .stats import ENGINE_VERSION

Progress = Callable[[int, int, str], None]
#: Steps of a bar that shows several parts as one.
_WHOLE = 100


def _silent(done: int, total: int, message: str) -> None:
    """Progress for callers without a job."""


def request_results(trial: Trial, *, actor: Any) -> Job:
    """Compute the results in a worker; a job that is under way is returned instead.

    Raises:
        NotUnblinded: the truth of the trial is sealed.
    """
    selectors.require_unblinded(trial)
    return _request(selectors.RESULTS_JOB, trial, {"trial_id": str(trial.pk)}, actor)


def request_machines(trial: Trial, *, actor: Any) -> Job:
    """Let every machine read the trial in a worker; one under way is returned instead.

    Raises:
        Conflict: the trial is a draft.
    """
    machines.require_read(trial)
    return _request(selectors.MACHINES_JOB, trial, {"trial_id": str(trial.pk)}, actor)


def request_bundle(trial: Trial, level: str, *, actor: Any) -> Job:
    """Make a bundle in a worker; a job of the same level that is under way is returned instead.

    Raises:
        NotUnblinded: unblinded level, sealed truth.
        NothingToAnalyze: the trial never opened.
    """
    selectors.protocol_version(trial)
    if level == Bundle.Level.UNBLINDED:
        selectors.require_unblinded(trial)
    params = {"trial_id": str(trial.pk), "level": level}
    return _request(selectors.BUNDLE_JOB, trial, params, actor)


def _request(kind: str, trial: Trial, params: dict[str, Any], actor: Any) -> Job:
    running = selectors.latest_job(trial, kind)
    if running is not None and running.is_active and running.params == params:
        return running
    return enqueue(kind, params, actor=actor, subject=selectors.subject(trial))


def compute_results(
    trial: Trial, *, actor: Any = None, progress: Progress = _silent
) -> ResultsSnapshot:
    """Analyse an unblinded trial and store results.json with its figures, all or nothing.

    Results that hold already are returned as they are.

    Raises:
        NotUnblinded: the truth of the trial is sealed.
        NothingToAnalyze: the readings do not allow an analysis.
    """
    from . import outputs

    selectors.require_unblinded(trial)
    stored = selectors.snapshot_of(trial)
    if stored is not None and selectors.is_current(stored):
        return stored
    version = selectors.protocol_version(trial)
    seated = selectors.machines_sha256(trial)
    results = analyze_trial(trial, progress=_part(progress, 0, 2))
    snapshot = ResultsSnapshot(
        trial=trial,
        engine=ENGINE_VERSION,
        protocol_sha256=version.sha256,
        machines_sha256=seated,
        sha256=hashlib.sha256(outputs.results_bytes(results)).hexdigest(),
        created_by=actor,
    )
    with atomic_dir(snapshot.folder) as folder:
        outputs.write(folder, results, _part(progress, 1, 2), screen=True)
    with transaction.atomic():
        # Rows without their files (a data folder restored in part) give way to fresh ones.
        ResultsSnapshot.objects.filter(
            trial=trial,
            engine=ENGINE_VERSION,
            protocol_sha256=version.sha256,
            machines_sha256=seated,
        ).delete()
        snapshot.save(force_insert=True)
        record(
            actor,
            "analysis.computed",
            snapshot,
            chain=trial_chain(trial.slug),
            data={"sha256": snapshot.sha256, "engine": ENGINE_VERSION},
        )
    progress(_WHOLE, _WHOLE, "Done")
    return snapshot


def _part(progress: Progress, index: int, parts: int) -> Progress:
    """Progress of one of several equal parts, on one scale for all of them."""

    def report(done: int, total: int, message: str) -> None:
        progress(round(_WHOLE * (index + done / max(1, total)) / parts), _WHOLE, message)

    return report


def analyze_trial(trial: Trial, *, progress: Progress = _silent) -> dict[str, Any]:
    """The results document of an unblinded trial, computed from the bytes that an export holds.

    Raises:
        NotUnblinded: the truth of the trial is sealed.
        NothingToAnalyze: the readings do not allow an analysis.
    """
    from .stats.analyze import Machines, analyze
    from .stats.tidy import JudgmentsError, read_judgments

    level = Bundle.Level.UNBLINDED
    judgments, cases = selectors.judgments_csv(trial, level), selectors.cases_csv(trial, level)
    version = selectors.protocol_version(trial)
    beside = machines.machines_csv(trial)
    facts = read_judgments(io.BytesIO(cases))[["case_id", "patient_id", "size_band"]]
    try:
        rows = read_judgments(io.BytesIO(judgments)).merge(facts, on="case_id")
        seated = Machines(read_judgments(io.BytesIO(beside))) if beside else None
        results = analyze(rows, selectors.plan_of(trial), machines=seated, progress=progress)
    except JudgmentsError as error:
        raise NothingToAnalyze(f"Trial {trial.slug} cannot be analysed: {error}") from None
    header = {
        "slug": trial.slug,
        "title": trial.title,
        "protocol_version": version.number,
        "protocol_sha256": version.sha256,
        "opened_at": _time(trial.opened_at),
        "closed_at": _time(trial.closed_at),
        "unblinded_at": _time(trial.unblinded_at),
        "software": f"readerstudy {__version__}",
        "judgments_sha256": hashlib.sha256(judgments).hexdigest(),
        "cases_sha256": hashlib.sha256(cases).hexdigest(),
    }
    return {
        "schema": results["schema"],
        "trial": header,
        "flow": selectors.flow_of(trial),
        "validation": validation.stored(),
        **results,
        **({"machine_cards": machines.cards(trial)} if beside else {}),
    }


def make_bundle(
    trial: Trial, level: str, *, actor: Any = None, progress: Progress = _silent
) -> Bundle:
    """Build the export, store it under the data directory, log it with its hash.

    Raises:
        NotUnblinded: unblinded level, sealed truth.
        NothingToAnalyze: the trial never opened, or its readings do not allow an analysis.
    """
    snapshot = None
    if level == Bundle.Level.UNBLINDED:
        snapshot = compute_results(trial, actor=actor, progress=progress)
    data = bundles.build(trial, level, snapshot)
    row = Bundle(
        trial=trial,
        level=level,
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        created_by=actor,
    )
    atomic_write_bytes(row.path, data)
    with transaction.atomic():
        row.save(force_insert=True)
        record(
            actor,
            bundles.EXPORTED,
            row,
            chain=trial_chain(trial.slug),
            data={"level": level, "sha256": row.sha256, "bytes": row.size},
        )
    return row


def _time(moment: Any) -> str | None:
    return moment.isoformat() if moment else None
