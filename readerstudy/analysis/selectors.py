"""Reads for the analysis: judgments and cases as CSV, the plan, stored results and bundles.

Readers appear by their code alone. The truth is read at the unblinded level only, and only for a
trial that was unblinded.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from readerstudy.jobs.models import Job
from readerstudy.reading.models import Judgment
from readerstudy.trials.models import Assignment, Case, CaseTruth, ProtocolVersion, Trial
from readerstudy.trials.selectors import protocol_of

from . import codebook, csvtext
from .errors import NothingToAnalyze, NotUnblinded
from .models import Bundle, MachineReader, ResultsSnapshot
from .stats import ENGINE_VERSION

if TYPE_CHECKING:
    from .stats.plan import Plan

RESULTS_JOB, BUNDLE_JOB, MACHINES_JOB = (
    "analysis.results", "analysis.bundle", "analysis.machines",
)  # fmt: skip
CASE_COLUMNS = ("case_id", "organ", "size_band", "patient_id")
CASE_TRUTH_COLUMNS = ("size_mm", "truth", "generator")


def require_unblinded(trial: Trial) -> None:
    """Raises NotUnblinded unless the truth of the trial was opened."""
    if trial.state != Trial.State.UNBLINDED:
        raise NotUnblinded(trial)


def protocol_version(trial: Trial) -> ProtocolVersion:
    """The version in force. Raises NothingToAnalyze for a trial that never had one."""
    if trial.active_protocol is None:
        raise NothingToAnalyze(
            f"Trial {trial.slug} has no protocol in force, so nothing was read: open it first."
        )
    return trial.active_protocol


def plan_of(trial: Trial) -> Plan:
    """The analysis that the protocol fixed beforehand."""
    from .stats.plan import Plan, SizeBand

    protocol = protocol_of(protocol_version(trial))
    other = {"synthetic": "real", "real": "synthetic"}
    return Plan(
        positive=protocol.positive_class,
        negative=other[protocol.positive_class],
        primary=protocol.endpoint.measure,
        margin=protocol.endpoint.equivalence_margin,
        size_bands=tuple(
            SizeBand(band.name, band.from_mm, band.to_mm) for band in protocol.design.size_bands
        ),
        seed=trial.seed,
    )


# --------------------------------------------------------------------------- tables as CSV text


def _truth(trial: Trial) -> dict[Any, CaseTruth]:
    require_unblinded(trial)
    return {row.case_id: row for row in CaseTruth.objects.filter(case__trial=trial)}


def _case_ids(trial: Trial) -> dict[Any, str]:
    return {case.pk: str(case) for case in trial.cases.all()}


def _order(trial: Trial) -> dict[Any, int]:
    """Rank of each counted assignment within its reader's order, from 1."""
    rows = (
        Assignment.objects.filter(trial=trial, phase=Case.Phase.MAIN)
        .order_by("membership_id", "position")
        .values_list("pk", "membership_id")
    )
    ranks: dict[Any, int] = {}
    counted: dict[Any, int] = {}
    for pk, membership in rows:
        counted[membership] = counted.get(membership, 0) + 1
        ranks[pk] = counted[membership]
    return ranks


def judgments_csv(trial: Trial, level: str) -> bytes:
    """One row per counted judgment (practice left out), in order of reader code and position.

    Raises:
        NotUnblinded: the unblinded level of a trial whose truth is sealed.
    """
    unblinded = level == Bundle.Level.UNBLINDED
    truth = _truth(trial) if unblinded else {}
    names, ranks = _case_ids(trial), _order(trial)
    columns = codebook.columns(level)
    judgments = (
        Judgment.objects.filter(assignment__trial=trial, assignment__phase=Case.Phase.MAIN)
        .select_related("assignment__case", "assignment__membership__user")
        .order_by("assignment__membership__code", "assignment__position")
    )
    rows = []
    for judgment in judgments.iterator(2000):
        place = judgment.assignment
        known = truth.get(place.case_id)
        active = judgment.client_active_ms
        sign = 1 if judgment.verdict == "synthetic" else -1
        values = {
            "reader_id": place.membership.code,
            "experience_years": place.membership.user.experience_years,
            "case_id": names[place.case_id],
            "organ": place.case.organ,
            "size_mm": known.diameter_mm if known else None,
            "truth": known.arm if known else None,
            "generator": known.generator if known else None,
            "repeat": place.repeat,
            "order_index": ranks[place.pk],
            "verdict": judgment.verdict,
            "confidence": judgment.confidence,
            "score": sign * judgment.confidence,
            "p_synthetic_pct": None,
            "response_time_s": None if active is None else active / 1000,
        }
        rows.append([values[column] for column in columns])
    return csvtext.table(columns, rows)


def cases_csv(trial: Trial, level: str) -> bytes:
    """One row per counted case. Patients are renumbered, so no key of the library leaves."""
    unblinded = level == Bundle.Level.UNBLINDED
    truth = _truth(trial) if unblinded else {}
    columns = CASE_COLUMNS + (CASE_TRUTH_COLUMNS if unblinded else ())
    patients: dict[str, str] = {}
    rows = []
    for case in trial.cases.filter(phase=Case.Phase.MAIN).order_by("number"):
        patient = patients.setdefault(case.patient_key, f"P{len(patients) + 1:03d}")
        row: list[Any] = [str(case), case.organ, case.size_band, patient]
        if unblinded:
            known = truth[case.pk]
            row += [known.diameter_mm, known.arm, known.generator]
        rows.append(row)
    return csvtext.table(columns, rows)


# ------------------------------------------------------------------------------ single answers


def ratings_of(trial: Trial) -> dict[tuple[str, str], str]:
    """First answer, "1" to "6", of each reader (code) to each counted case (C012).

    Raises:
        NotUnblinded: whoever sees these sees what the cases are beside them.
    """
    require_unblinded(trial)
    rows = Judgment.objects.filter(
        assignment__trial=trial, assignment__phase=Case.Phase.MAIN, assignment__repeat=1
    ).values_list("assignment__membership__code", "assignment__case__number", "rating")
    return {(code, f"C{number:03d}"): str(rating) for code, number, rating in rows}


@dataclass(frozen=True)
class Answer:
    """One reader's answer to one case; `seconds` is active time."""

    reader: str
    rating: int
    verdict: str
    repeat: bool
    seconds: float | None
    cues: list[str]
    comment: str


def answers_to(case: Case) -> list[Answer]:
    """All answers to a case of an unblinded trial, by reader code, repeats after first readings.

    Raises:
        NotUnblinded: the truth of the trial is sealed.
    """
    require_unblinded(case.trial)
    rows = (
        Judgment.objects.filter(assignment__case=case)
        .select_related("assignment__membership")
        .order_by("assignment__membership__code", "assignment__repeat")
    )
    return [
        Answer(
            row.assignment.membership.code,
            row.rating,
            row.verdict,
            row.assignment.repeat > 1,
            None if row.client_active_ms is None else row.client_active_ms / 1000,
            [str(cue) for cue in row.cues],
            row.comment.strip(),
        )
        for row in rows
    ]


def flow_of(trial: Trial) -> dict[str, int]:
    """Assignments and answers, for the flow of a report."""
    counted = Assignment.objects.filter(trial=trial, phase=Case.Phase.MAIN)
    practice = Judgment.objects.filter(
        assignment__trial=trial, assignment__phase=Case.Phase.PRACTICE
    )
    return {
        "assigned": counted.count(),
        "answered": counted.filter(judgment__isnull=False).count(),
        "practice": practice.count(),
    }


# ------------------------------------------------------------------------------- stored results


def machines_sha256(trial: Trial) -> str:
    """Fingerprint of the machine readings that results rest on; empty where none has read."""
    rows = MachineReader.objects.filter(trial=trial).order_by("name").values_list("name", "sha256")
    text = "".join(f"{name} {sha256}\n" for name, sha256 in rows)
    return hashlib.sha256(text.encode()).hexdigest() if text else ""


def snapshot_of(trial: Trial) -> ResultsSnapshot | None:
    """The results that hold for the trial: this engine, the protocol in force.

    Those with the machines that have read by now, or, until they are computed, the newest ones
    without: what is said about the readers is the same in both.
    """
    if trial.state != Trial.State.UNBLINDED or trial.active_protocol is None:
        return None
    found = ResultsSnapshot.objects.filter(
        trial=trial, engine=ENGINE_VERSION, protocol_sha256=trial.active_protocol.sha256
    )
    there = [row for row in found if (row.folder / "results.json").is_file()]
    return next((row for row in there if is_current(row)), there[0] if there else None)


def is_current(snapshot: ResultsSnapshot) -> bool:
    """Whether every machine that has read is in these results."""
    return snapshot.machines_sha256 == machines_sha256(snapshot.trial)


@lru_cache(maxsize=8)
def _document(path: str) -> Any:
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def results_of(snapshot: ResultsSnapshot) -> dict[str, Any]:
    """The results document; kept in memory, as the file never changes."""
    document: dict[str, Any] = _document(str(snapshot.folder / "results.json"))
    return document


def figures_of(snapshot: ResultsSnapshot) -> list[dict[str, Any]]:
    """name, title, alt, width and height of each figure of a snapshot."""
    document: list[dict[str, Any]] = _document(str(snapshot.folder / "figures.json"))
    return document


def report_path(snapshot: ResultsSnapshot, form: str) -> Path | None:
    """The report of a snapshot as "html" or "pdf"; None for one stored without."""
    path = snapshot.folder / f"report.{form}"
    return path if form in ("html", "pdf") and path.is_file() else None


def latest_job(trial: Trial, kind: str) -> Job | None:
    """The newest job of that kind for the trial."""
    return Job.objects.filter(kind=kind, subject=subject(trial)).first()


def subject(trial: Trial) -> str:
    """How the jobs of this room name a trial."""
    return f"trial:{trial.slug}"


def bundles(trial: Trial) -> list[Bundle]:
    """Bundles whose file is still there, newest first."""
    return [row for row in trial.bundles.select_related("created_by") if row.path.is_file()]


# ------------------------------------------------------------------------------- what is missing


@dataclass(frozen=True)
class Step:
    """One thing that must be so before results can be shown."""

    text: str
    done: bool


def steps_to_results(trial: Trial) -> list[Step]:
    """The way to results, none of which depends on the truth."""
    state = Trial.State
    counted = Assignment.objects.filter(trial=trial, phase=Case.Phase.MAIN)
    total = counted.count()
    answered = counted.filter(judgment__isnull=False).count()
    opened = trial.state != state.DRAFT
    closed = trial.state in {state.CLOSED, state.UNBLINDED}
    return [
        Step("The trial was opened to its readers.", opened),
        Step(f"Readers answered {answered} of {total} cases.", bool(total) and answered == total),
        Step("Reading was closed by a coordinator.", closed),
        Step("The truth was opened (unblinded).", trial.state == state.UNBLINDED),
    ]
