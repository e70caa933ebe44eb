"""The end of the road: what was exported is what was pressed, and nothing was lost or doubled."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.e2e.road_reading import COUNTED, EACH, RATINGS, SLUG
from tests.live import Site

END = """
from collections import Counter
from readerstudy.audit.models import AuditEvent
from readerstudy.jobs.models import Job
from readerstudy.library.models import Volume
from readerstudy.reading.models import Judgment
print(json.dumps({
    "jobs": Counter(Job.objects.values_list("state", flat=True)),
    "volumes": Volume.objects.count(),
    "answers": [
        [j.assignment.membership.user.email, j.assignment.position, j.rating, j.slices_seen]
        for j in Judgment.objects.select_related("assignment__membership__user")
            .order_by("assignment__membership__code", "assignment__position")],
    "uuids": Judgment.objects.values("client_uuid").distinct().count(),
    "events": Counter(AuditEvent.objects.values_list("action", flat=True)),
}))
"""


def check_bundle(path: Path, plan: dict[str, list[SimpleNamespace]]) -> None:
    """Checksums hold; the rows are the answers that were pressed; the AUC is worked out again."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    sums = dict(line.split("  ")[::-1] for line in files.pop("SHA256SUMS").decode().splitlines())
    assert sums == {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    rows = list(csv.DictReader(io.StringIO(files["judgments.csv"].decode())))
    assert len(rows) == 2 * COUNTED
    wanted = []
    for email, slots in plan.items():
        for slot, rating in zip(slots, RATINGS[email], strict=True):
            if slot.phase == "main":
                side = "synthetic" if rating >= 4 else "real"
                sure = {1: 3, 2: 2, 3: 1, 4: 1, 5: 2, 6: 3}[rating]
                wanted.append((slot.code, slot.case, slot.arm, str(slot.repeat), side, str(sure)))
    columns = ("reader_id", "case_id", "truth", "repeat", "verdict", "confidence")
    assert [tuple(row[name] for name in columns) for row in rows] == wanted
    stored = json.loads(files["results.json"])["readers"]
    for email, slots in plan.items():
        given = [
            (slot.arm, rating)
            for slot, rating in zip(slots, RATINGS[email], strict=True)
            if slot.phase == "main" and slot.repeat == 1
        ]
        row = next(row for row in stored if row["reader"] == slots[0].code)
        assert row["auc"]["estimate"] == pytest.approx(auc(given), abs=1e-12)


def auc(given: list[tuple[str, int]]) -> float:
    """The share of (synthetic, real) pairs that the ratings put in order; ties count half."""
    higher = [rating for arm, rating in given if arm == "synthetic"]
    lower = [rating for arm, rating in given if arm == "real"]
    return float(np.mean([(a > b) + (a == b) / 2 for a, b in product(higher, lower)]))


def check_nothing_lost(site: Site) -> None:
    end = site.python(END)
    assert set(end["jobs"]) == {"done"}, end["jobs"]
    assert end["volumes"] == 3
    pressed = [
        [email, position, rating]
        for email, ratings in RATINGS.items()
        for position, rating in enumerate(ratings, start=1)
    ]
    assert [row[:3] for row in end["answers"]] == pressed
    assert end["uuids"] == 2 * EACH
    for action, count in {
        "reading.consented": 2,
        "cases.run_started": 1,
        "cases.run_finished": 1,
        "trials.cases_prepared": 1,
        "trials.opened": 1,
        "trials.closed": 1,
        "trials.unblinded": 1,
    }.items():
        assert end["events"][action] == count, (action, end["events"])
    said = site.manage("verify_audit").stdout
    assert f"trial:{SLUG}: " in said and "hold" in said
