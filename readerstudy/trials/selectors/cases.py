"""Reads of candidates, selection and cases.

What a case is (`Selection`, `CaseTruth`) is read here for a draft, for the making of orders, and
after unblinding; no page of a running trial shows anything that depends on it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from readerstudy.cases.models import Candidate
from readerstudy.cases.selectors import drawable
from readerstudy.trials.design import strata
from readerstudy.trials.design.allocation import DesignCase
from readerstudy.trials.design.protocol import Protocol
from readerstudy.trials.models import Case, CaseTruth, Selection, Trial


def _accepted() -> QuerySet[Candidate]:
    return drawable().select_related("volume", "run")


def lesion_of(candidate: Candidate) -> strata.Lesion:
    return strata.Lesion(
        id=str(candidate.pk),
        arm=candidate.kind,
        organ=candidate.organ.lower(),
        diameter_mm=candidate.diameter_mm,
        patient=candidate.volume.patient or str(candidate.volume_id),
        volume=str(candidate.volume_id),
    )


def lesions() -> list[strata.Lesion]:
    """All accepted candidates as the design sees them."""
    return [lesion_of(candidate) for candidate in _accepted()]


@dataclass(frozen=True)
class Cell:
    """One cell of the arm x stratum table with what is chosen of it."""

    arm: str
    organ: str
    band: str
    needed: int
    available: int
    chosen: int

    @property
    def state(self) -> str:
        if self.chosen == self.needed:
            return "done"
        return "missing" if self.available < self.needed else "open"


@dataclass(frozen=True)
class Row:
    organ: str
    band: str
    real: Cell
    synthetic: Cell


@dataclass(frozen=True)
class Table:
    """The arm x stratum table of a draft, its practice line, and why it cannot be filled."""

    rows: list[Row]
    practice: Row
    sentences: list[str]


def selection_table(trial: Trial, protocol: Protocol) -> Table:
    stock = lesions()
    chosen: Counter[tuple[str, str, str, str]] = Counter(
        (row.phase, row.candidate.kind, row.candidate.organ.lower(), row.size_band)
        for row in trial.selections.exclude(phase="").select_related("candidate")
    )
    cells = {
        (cell.organ, cell.band, cell.arm): Cell(
            cell.arm,
            cell.organ,
            cell.band,
            cell.needed,
            cell.available,
            chosen["main", cell.arm, cell.organ, cell.band],
        )
        for cell in strata.table(protocol, stock)
    }
    rows = [
        Row(
            row.organ,
            row.size_band,
            cells[row.organ, row.size_band, "real"],
            cells[row.organ, row.size_band, "synthetic"],
        )
        for row in protocol.design.strata
    ]
    organs = protocol.design.organs
    in_organs = Counter(item.arm for item in stock if item.organ in organs)

    def practice(arm: str) -> Cell:
        return Cell(
            arm,
            "practice",
            "any",
            protocol.practice.needed(arm),
            max(0, in_organs[arm] - sum(row.needed(arm) for row in protocol.design.strata)),
            sum(number for key, number in chosen.items() if key[:2] == ("practice", arm)),
        )

    return Table(
        rows,
        Row("practice", "any", practice("real"), practice("synthetic")),
        strata.feasibility(protocol, stock),
    )


def chosen_rows(trial: Trial) -> QuerySet[Selection]:
    """What is chosen or kept out, for the lists of a draft."""
    return trial.selections.select_related("candidate__volume").order_by(
        "phase", "candidate__organ", "candidate__diameter_mm", "candidate_id"
    )


@dataclass(frozen=True)
class Stock:
    """An accepted candidate and its place in this trial."""

    candidate: Candidate
    band: str | None
    selection: Selection | None


def stock_rows(trial: Trial, protocol: Protocol) -> list[Stock]:
    """Accepted candidates of the protocol's organs, with their size band and selection."""
    selections = {row.candidate_id: row for row in trial.selections.all()}
    organs = protocol.design.organs
    return [
        Stock(
            candidate,
            strata.band_of(candidate.diameter_mm, protocol.design.size_bands),
            selections.get(candidate.pk),
        )
        for candidate in _accepted().order_by("organ", "kind", "diameter_mm", "pk")
        if candidate.organ.lower() in organs
    ]


def case_rows(trial: Trial) -> QuerySet[Case]:
    """The prepared cases as anyone may see them: no truth is read."""
    return trial.cases.select_related("rendition").order_by("number")


def design_cases(trial: Trial) -> list[DesignCase]:
    """The cases as the allocation sees them, with their arms. Never for a page."""
    rows = CaseTruth.objects.filter(case__trial=trial).select_related("case")
    return [
        DesignCase(
            number=row.case.number,
            phase=row.case.phase,
            arm=row.arm,
            organ=row.case.organ,
            band=row.case.size_band,
            patient=row.case.patient_key,
        )
        for row in rows.order_by("case__number")
    ]


def truth_rows(trial: Trial) -> QuerySet[CaseTruth]:
    """What each case is: for pages of an unblinded trial only."""
    rows = CaseTruth.objects.filter(case__trial=trial).select_related("case__rendition")
    return rows.order_by("case__number")


def truth_document(trial: Trial) -> dict[str, Any]:
    """The truth of all cases as plain data; what the commitment at opening is made of."""
    return {
        "format": "readerstudy-truth/1",
        "trial": trial.slug,
        "cases": [
            {
                "case": str(row.case),
                "phase": row.case.phase,
                "rendition_sha256": row.case.rendition.sha256,
                "arm": row.arm,
                "generator": row.generator,
                "candidate": str(row.candidate),
                "diameter_mm": row.diameter_mm,
            }
            for row in truth_rows(trial)
        ],
    }
