"""A whole trial in the database, filled from a table of judgments, without a browser."""

from __future__ import annotations

import csv
import math
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from readerstudy.accounts.models import User
from readerstudy.audit.services import record, trial_chain
from readerstudy.cases.models import Rendition
from readerstudy.reading.models import Judgment
from readerstudy.trials.actions import commitment
from readerstudy.trials.design.protocol import read
from readerstudy.trials.design.template import vtt_ct_1
from readerstudy.trials.models import (
    Assignment,
    Case,
    CaseTruth,
    Membership,
    ProtocolVersion,
    Trial,
)
from readerstudy.trials.selectors import truth_document

DEMO = Path(__file__).parent / "data" / "vtt_demo.csv"
START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
BANDS = (("small", 0, 15), ("medium", 15, 25), ("large", 25, 200))


def protocol(positive: str = "synthetic", measure: str = "auc", margin: float = 0.1) -> Any:
    return read(
        {
            **vtt_ct_1("Fidelity of synthetic tumors"),
            "positive_class": positive,
            "endpoint": {"measure": measure, "equivalence_margin": margin},
            "design": {
                "size_bands": [
                    {"name": name, "from_mm": low, "to_mm": high} for name, low, high in BANDS
                ],
                "strata": [
                    {"organ": organ, "size_band": band, "real": 4, "synthetic": 4}
                    for organ in ("liver", "kidney", "lung", "pancreas", "colon")
                    for band, _, _ in BANDS
                ],
            },
        }
    )


def demo_rows(readers: int = 13, cases: int = 120) -> list[dict[str, str]]:
    """Rows of vtt_demo.csv for the first readers and cases."""
    with DEMO.open(newline="") as file:
        rows = list(csv.DictReader(file))
    codes = sorted({r["reader_id"] for r in rows})[:readers]
    ids = sorted({r["case_id"] for r in rows})[:cases]
    return [r for r in rows if r["reader_id"] in codes and r["case_id"] in ids]


def make_trial(
    coordinator: Any,
    *,
    slug: str = "demo",
    state: str = Trial.State.UNBLINDED,
    rows: list[dict[str, str]] | None = None,
    document: Any = None,
    swap_truth: bool = False,
    patients: int | None = None,
) -> Trial:
    """A trial whose judgments are ``rows``; confidence 1..5 becomes 1..3."""
    rows = demo_rows() if rows is None else rows
    trial = Trial.objects.create(
        slug=slug, title="Fidelity of synthetic tumors", state=state, seed=7,
        created_by=coordinator, truth_salt="5a" * 32,
        opened_at=START, closed_at=START + timedelta(days=40),
        unblinded_at=START + timedelta(days=41) if state == Trial.State.UNBLINDED else None,
    )  # fmt: skip
    checked = document or protocol()
    trial.active_protocol = ProtocolVersion.objects.create(
        trial=trial, number=1, document=checked.document(), sha256=checked.sha256,
        created_by=coordinator,
    )  # fmt: skip
    trial.save()
    Membership.objects.create(trial=trial, user=coordinator, role="coordinator", code="C01")
    cases = _cases(trial, rows, swap_truth, patients)
    trial.truth_commitment = commitment(trial.truth_salt, truth_document(trial))
    trial.save()
    _readings(trial, rows, cases)
    record(coordinator, "trials.closed", trial, chain=trial_chain(slug))
    return trial


def _cases(
    trial: Trial, rows: list[dict[str, str]], swap: bool, patients: int | None
) -> dict[str, Case]:
    facts = {row["case_id"]: row for row in rows}
    other = {"real": "synthetic", "synthetic": "real"}
    cases, truths = {}, []
    for number, (name, row) in enumerate(sorted(facts.items()), start=1):
        size = float(row["size_mm"])
        rendition = Rendition.objects.create(
            organ=row["organ"], frames=1, rows=8, columns=8, spacing=[1, 1], slice_spacing=1.0,
            marker=[[2, 5], [2, 5], [0, 1]], start_slice=0, bucket_bytes=64,
            sha256=uuid.uuid4().hex,
        )  # fmt: skip
        patient = number if patients is None else (number - 1) % patients
        cases[name] = Case.objects.create(
            trial=trial, number=number, rendition=rendition, organ=row["organ"],
            size_band=next(b for b, low, high in BANDS if low <= size < high),
            patient_key=f"HOSPITAL-{patient:04d}",
        )  # fmt: skip
        arm = other[row["truth"]] if swap else row["truth"]
        truths.append(
            CaseTruth(
                case=cases[name],
                arm=arm,
                candidate=uuid.uuid4(),
                diameter_mm=size,
                generator="none" if arm == "real" else "textural",
            )
        )
    CaseTruth.objects.bulk_create(truths)
    return cases


def _readings(trial: Trial, rows: list[dict[str, str]], cases: dict[str, Case]) -> None:
    by_reader: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        by_reader.setdefault(row["reader_id"], []).append(row)
    assignments, judgments = [], []
    for code, own in sorted(by_reader.items()):
        user, _ = User.objects.get_or_create(
            username=f"{code.lower()}@example.org",
            defaults={
                "email": f"{code.lower()}@example.org", "display_name": f"Dr. {code} Secretname",
                "experience_years": int(own[0]["experience_years"]),
            },
        )  # fmt: skip
        member = Membership.objects.create(trial=trial, user=user, role="reader", code=code)
        for position, row in enumerate(sorted(own, key=lambda r: int(r["order_index"])), start=3):
            place = Assignment(
                trial=trial, membership=member, position=position, case=cases[row["case_id"]],
                repeat=int(row["repeat"]), token=uuid.uuid4().hex,
            )  # fmt: skip
            assignments.append(place)
            judgments.append(_judgment(place, row, position))
    Assignment.objects.bulk_create(assignments)
    Judgment.objects.bulk_create(judgments)


def _judgment(place: Assignment, row: dict[str, str], position: int) -> Judgment:
    confidence = math.ceil(int(row["confidence"]) * 3 / 5)
    synthetic = row["verdict"] == "synthetic"
    served = START + timedelta(minutes=3 * position)
    milliseconds = round(float(row["response_time_s"]) * 1000)
    return Judgment(
        client_uuid=uuid.uuid4(), assignment=place,
        rating=3 + confidence if synthetic else 4 - confidence, verdict=row["verdict"],
        confidence=confidence, client_elapsed_ms=milliseconds, client_active_ms=milliseconds,
        server_first_served_at=served,
        server_received_at=served + timedelta(milliseconds=milliseconds),
    )  # fmt: skip
