"""From drawn candidates to cases: images by one rule, then rows that do not say what a case is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import transaction

from readerstudy.cases.models import Candidate, Rendition
from readerstudy.errors import Conflict

from .design import seeds
from .design.protocol import Protocol
from .models import Assignment, Case, CaseTruth, Selection, Trial
from .services._base import locked_draft, log, require_protocol
from .services.cases import require_complete

Report = Callable[[int, int, str], None]


def _quiet(done: int, total: int, message: str = "") -> None:
    """For callers that show no progress."""


def rendition_rule(protocol: Protocol) -> dict[str, Any]:
    """The one rule by which both arms become images, as plain values for cases.rendition."""
    return {
        "matrix": protocol.rendition.matrix,
        "max_slices": protocol.rendition.max_slices,
        "marker": protocol.marker.model_dump(mode="json"),
        "start_slice": protocol.start_slice.model_dump(mode="json"),
    }


def rendition_seed(trial: Trial, draw: int | None = None) -> int:
    """Seed of the layout of the trial's images, the same for every build of one draw of cases."""
    number = trial.draws if draw is None else draw
    return seeds.below(seeds.generator(trial.seed, "renditions", number), 1 << 62)


def possible_seeds(trial: Trial) -> list[int]:
    """Seeds that the stored images may come from, the likeliest first: cases may have been
    prepared before they were drawn again, and again included by hand."""
    return [rendition_seed(trial, draw) for draw in range(trial.draws, -1, -1)]


def rule_matches(stored: dict[str, Any], protocol: Protocol) -> bool:
    """Whether a rendition was made by the protocol's rule (it may store more beside it)."""
    return all(stored.get(key) == value for key, value in rendition_rule(protocol).items())


def prepare(trial: Trial, *, actor: Any, report: Report = _quiet) -> int:
    """Build the images of the drawn candidates and store the cases; returns how many.

    Every case of the trial is built in one go, so that all frames share one size. Earlier cases of
    the draft, and the orders made from them, are replaced. Nothing changes when it fails.
    """
    from readerstudy.cases.rendition import build_renditions

    with transaction.atomic():
        draft = locked_draft(trial, "set of cases")
        require_complete(draft)
        protocol = require_protocol(draft)
        chosen = _chosen(draft)
    candidates = [row.candidate for row in chosen]
    renditions = build_renditions(
        candidates,
        rendition_rule(protocol),
        seed=rendition_seed(draft),
        progress=report,
    )
    with transaction.atomic():
        draft = locked_draft(trial, "set of cases")
        same = [(row.candidate_id, row.phase) for row in _chosen(draft)]
        if same != [(row.candidate_id, row.phase) for row in chosen]:
            raise Conflict("The choice of cases changed while they were prepared; prepare again.")
        _store(draft, chosen, renditions)
        log(
            actor,
            "trials.cases_prepared",
            draft,
            main=sum(row.phase == Case.Phase.MAIN for row in chosen),
            practice=sum(row.phase == Case.Phase.PRACTICE for row in chosen),
        )
    return len(chosen)


def _chosen(trial: Trial) -> list[Selection]:
    rows = trial.selections.exclude(phase="").select_related("candidate__volume", "candidate__run")
    return list(rows.order_by("candidate_id"))


def _store(trial: Trial, chosen: list[Selection], renditions: dict[Any, Rendition]) -> None:
    Assignment.objects.filter(trial=trial).delete()
    trial.cases.all().delete()
    # Numbers in random order: a case's number must not tell what was drawn first.
    rng = seeds.generator(trial.seed, "numbers", trial.draws)
    truths = []
    for number, row in enumerate(seeds.shuffled(rng, chosen), start=1):
        candidate = row.candidate
        case = Case.objects.create(
            trial=trial,
            number=number,
            phase=row.phase,
            rendition=renditions[candidate.pk],
            organ=candidate.organ.lower(),
            size_band=row.size_band,
            patient_key=candidate.volume.patient or str(candidate.volume_id),
        )
        truths.append(
            CaseTruth(
                case=case,
                arm=candidate.kind,
                generator=_generator(candidate),
                candidate=candidate.pk,
                diameter_mm=candidate.diameter_mm,
            )
        )
    CaseTruth.objects.bulk_create(truths)
    trial.allocation_basis = trial.allocation_sha256 = ""
    trial.save(update_fields=["allocation_basis", "allocation_sha256"])


def _generator(candidate: Candidate) -> str:
    return candidate.run.generator if candidate.run is not None else "none"
