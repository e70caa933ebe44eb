"""The export bundle: one zip from which anybody can re-derive every number.

Two bundles of the same trial and level are byte-identical: files in a fixed order, fixed times
and permissions in the archive, and nothing inside that depends on when or by whom it was made.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import Any

from readerstudy import __version__
from readerstudy.audit.models import AuditEvent
from readerstudy.audit.services import trial_chain
from readerstudy.trials.design.protocol import canonical_json
from readerstudy.trials.models import Trial
from readerstudy.trials.selectors import allocation_csv, truth_document

from . import codebook, readme, selectors, tables
from .machines import selectors as machines
from .models import Bundle, ResultsSnapshot
from .stats import ENGINE_VERSION

SCHEMA = "readerstudy.bundle/1"
EXPORTED = "analysis.exported"
_EPOCH = (1980, 1, 1, 0, 0, 0)


def build(trial: Trial, level: str, snapshot: ResultsSnapshot | None) -> bytes:
    """The zip file.

    Args:
        snapshot: stored results; needed at the unblinded level, unused at the blinded one.

    Raises:
        NotUnblinded: unblinded level, sealed truth.
    """
    version = selectors.protocol_version(trial)
    files: dict[str, bytes] = {
        "judgments.csv": selectors.judgments_csv(trial, level),
        "codebook.csv": codebook.codebook_csv(level),
        "cases.csv": selectors.cases_csv(trial, level),
        "allocation.csv": allocation_csv(trial).encode(),
        "protocol.json": canonical_json(version.document),
    }
    if level == Bundle.Level.UNBLINDED:
        selectors.require_unblinded(trial)
        files["truth.json"] = canonical_json(truth_document(trial))
        if snapshot is not None:
            files |= _results(snapshot)
            if beside := machines.machines_csv(trial):
                files["machines.csv"] = beside
                files["codebook-machines.csv"] = codebook.machines_codebook_csv()
            files |= _for_r(trial, files["judgments.csv"])
    files["README.txt"] = readme.text(trial, level, sorted([*files, "README.txt"])).encode()
    files["manifest.json"] = _manifest(trial, level, version, files)
    sums = [f"{_sha256(data)}  {name}\n" for name, data in sorted(files.items())]
    files["SHA256SUMS"] = "".join(sums).encode()
    return _zip(files)


def audit_head(trial: Trial) -> dict[str, Any]:
    """Last event of the trial's audit chain that is not itself an export.

    An export is recorded after its bundle is made, with the bundle's hash; leaving exports out
    keeps a second bundle identical to the first.
    """
    chain = trial_chain(trial.slug)
    event = AuditEvent.objects.filter(chain=chain).exclude(action=EXPORTED).order_by("-seq").first()
    return {
        "chain": chain,
        "seq": event.seq if event else 0,
        "hash": event.hash if event else "",
    }


def _results(snapshot: ResultsSnapshot) -> dict[str, bytes]:
    files = {"results.json": (snapshot.folder / "results.json").read_bytes()}
    results = json.loads(files["results.json"])
    for name, table in tables.all_tables(results).items():
        files[f"tables/{name}.csv"] = table.csv()
    for figure in selectors.figures_of(snapshot):
        for suffix in (".svg", ".png"):
            name = figure["name"] + suffix
            files[f"figures/{name}"] = (snapshot.folder / "figures" / name).read_bytes()
    for form in ("html", "pdf"):
        path = selectors.report_path(snapshot, form)
        if path is not None:
            files[f"report.{form}"] = path.read_bytes()
    return files


def _for_r(trial: Trial, judgments: bytes) -> dict[str, bytes]:
    """The first readings in the layouts of iMRMC and MRMCaov."""
    from . import rformats
    from .stats.conditions import Conditions
    from .stats.tidy import check, read_judgments, to_readings

    plan = selectors.plan_of(trial)
    readings = to_readings(check(read_judgments(io.BytesIO(judgments)), plan), plan)
    return rformats.exports(Conditions.of({"1": readings}), trial.title)


def _manifest(trial: Trial, level: str, version: Any, files: dict[str, bytes]) -> bytes:
    unblinded = level == Bundle.Level.UNBLINDED
    document = {
        "schema": SCHEMA,
        "level": level,
        "software": f"readerstudy {__version__}",
        "engine": ENGINE_VERSION,
        "trial": {
            "slug": trial.slug,
            "title": trial.title,
            "state": trial.state,
            "opened_at": _time(trial.opened_at),
            "closed_at": _time(trial.closed_at),
            "unblinded_at": _time(trial.unblinded_at),
        },
        "protocol": {"version": version.number, "sha256": version.sha256},
        "truth_commitment": trial.truth_commitment,
        "truth_salt": trial.truth_salt if unblinded else None,
        "audit_head": audit_head(trial),
        "files": [
            {"path": name, "bytes": len(data), "sha256": _sha256(data)}
            for name, data in sorted(files.items())
        ],
    }
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def _zip(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in sorted(files.items()):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3  # Unix, wherever it was made
            info.external_attr = 0o100644 << 16
            archive.writestr(info, data)
    return out.getvalue()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _time(moment: Any) -> str | None:
    return moment.isoformat() if moment else None
