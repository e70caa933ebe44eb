"""README.txt of a bundle: what lies in it and how to check and recompute it."""

from __future__ import annotations

from readerstudy.trials.models import Trial

from .models import Bundle

FILES = {
    "README.txt": "this text",
    "SHA256SUMS": "checksums of all files: `sha256sum -c SHA256SUMS`",
    "allocation.csv": "the stored order of every reader, practice and repeats included",
    "cases.csv": "one row per counted case; cases of one patient share patient_id",
    "codebook-machines.csv": "every column of machines.csv",
    "codebook.csv": "every column of judgments.csv: type, unit, values, meaning",
    "figures/": "figures as SVG and PNG, drawn from results.json",
    "for-r/": "first readings for iMRMC and MRMCaov (truth 1 = positive)",
    "judgments.csv": "one row per counted judgment; practice is left out",
    "machines.csv": "what machines said, one row per machine and counted case",
    "manifest.json": "trial, protocol hash, truth commitment, head of the audit chain, file list",
    "protocol.json": "the protocol in force; the SHA-256 of this file is the protocol hash",
    "report.html": "the statistical report, one file for a browser",
    "report.pdf": "the same report, as accessible PDF",
    "results.json": "every number of the analysis, unrounded",
    "tables/": "the tables of the results page, unrounded",
    "truth.json": "the truth table; SHA-256 of salt + this file is the truth commitment",
}

UNBLINDED = """
Recompute with the platform's engine
------------------------------------
In this folder, with the readerstudy source on PYTHONPATH:

    import json
    from pathlib import Path
    from readerstudy.analysis.stats.analyze import Machines, analyze
    from readerstudy.analysis.stats.plan import Plan
    from readerstudy.analysis.stats.serialize import same
    from readerstudy.analysis.stats.tidy import read_judgments

    cases = read_judgments("cases.csv")[["case_id", "patient_id", "size_band"]]
    judgments = read_judgments("judgments.csv").merge(cases, on="case_id")
    stored = json.load(open("results.json", encoding="utf-8"))
    machines = None
    if Path("machines.csv").exists():
        machines = Machines(read_judgments("machines.csv"))
    again = analyze(judgments, Plan.from_json(stored["plan"]), machines=machines)
    assert same(again["primary"], stored["primary"])  # to nine digits
    # Mixed models are fitted by iteration: fewer digits agree on another processor.
    fitted = ("response_time", "sensitivity")
    for key in again:
        assert same(again[key], stored[key], rtol=1e-3 if key in fitted else 1e-6), key
    print(again["primary"]["sentence"])

Recompute with pandas alone
---------------------------
    import pandas as pd

    rows = pd.read_csv("judgments.csv", dtype={"reader_id": str, "case_id": str})
    first = rows[rows["repeat"] == 1]
    right = first["verdict"] == first["truth"]
    print(right.groupby([first["reader_id"], first["truth"]]).mean().unstack())

In R, MRMCaov::mrmc takes for-r/ratings.csv and iMRMC::doIMRMC takes for-r/imrmc.imrmc. The engine
is checked against both.

Check the truth
---------------
The commitment was published when the trial opened. It equals the SHA-256 of truth_salt (from
manifest.json) followed by the bytes of truth.json:

    import hashlib, json, pathlib
    manifest = json.load(open("manifest.json", encoding="utf-8"))
    data = manifest["truth_salt"].encode() + pathlib.Path("truth.json").read_bytes()
    print(hashlib.sha256(data).hexdigest() == manifest["truth_commitment"])
"""

BLINDED = """
Blinded level
-------------
This bundle says nothing of which tumors are real. The columns size_mm, truth and generator, the
results and the figures are left out; they come with the unblinded bundle once the trial is closed
and its truth opened.
"""


def text(trial: Trial, level: str, names: list[str]) -> str:
    """The README for a bundle that holds ``names``."""
    present = {name if "/" not in name else f"{name.split('/')[0]}/" for name in names}
    present |= {"README.txt", "SHA256SUMS", "manifest.json"}
    listed = "\n".join(f"  {name:<23}{FILES[name]}" for name in sorted(present))
    title = f"{trial.title} ({trial.slug}), {level} export"
    body = UNBLINDED if level == Bundle.Level.UNBLINDED else BLINDED
    return f"""{title}
{"=" * len(title)}

A Visual Turing Test: radiologists judged tumors on CT to be real or synthetic. Readers appear by
their code alone. For research only; not a medical device.

{listed}

Text cells that a spreadsheet could take for a formula carry a leading apostrophe. Ids are text:
read them as text (1.10 is not 1.1). Empty cell = not known.
{body}"""
