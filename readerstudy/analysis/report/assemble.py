"""From a results document to the report: which table and figure stands where."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from readerstudy.analysis import tables as all_tables_of
from readerstudy.analysis.figures import Drawn

from . import checklists, published, texts
from .document import (
    MOST_ROWS,
    Block,
    Builder,
    Check,
    Checklist,
    Document,
    Facts,
    Section,
    Terms,
    plain,
)
from .glossary import REFERENCES, TERMS
from .inline import Inline, Results, fill

ONE_GENERATOR = "the table names one generator or none"
NO_VERDICTS = "ratings without verdicts"


def assemble(results: Results, figures: Sequence[Drawn]) -> Document:
    """The report of a results document as a tree."""
    made = all_tables_of.all_tables(results)
    extra = published.comparison(results)
    if extra is not None:
        made[extra.name] = extra
    builder = Builder(results, made, {figure.name: figure for figure in figures})
    short, meaning = texts.answer(results)
    body = _modalities(builder) if results["layout"] == "mrmc" else _verdicts(builder)
    sections = (
        Section("S-methods", "Methods", tuple(builder.say(t) for t in texts.methods(results))),
        Section("S-results", "Results", tuple(builder.say(t) for t in texts.results_text(results))),
        *body,
        *_checklists(results, builder.labels),
        Section("S-glossary", "Words", (Terms(TERMS),)),
        Section("S-references", "References", (Terms(REFERENCES),)),
    )
    title, subtitle = _title(results)
    return Document(
        title, subtitle, short, meaning, results["primary"]["sentence"], _header(results), sections
    )


def _title(results: Results) -> tuple[str, str]:
    trial, source = results.get("trial"), results.get("source")
    kind = "Visual Turing Test" if results["layout"] == "vtt" else "Multi-reader multi-case study"
    if trial:
        return trial["title"], f"{kind}: statistical report"
    name = (source or {}).get("title") or (source or {}).get("name") or "Readings"
    return name, f"{kind}: statistical report"


# --------------------------------------------------------------------------------------- header


def _header(results: Results) -> Facts:
    rows: list[tuple[str, Inline]] = []
    trial, source = results.get("trial"), results.get("source")
    if trial:
        rows += [
            ("Trial", plain(trial["slug"])),
            ("Protocol", plain(f"version {trial['protocol_version']}, SHA-256 "
                               f"{trial['protocol_sha256']}")),
            ("Opened and locked", plain(_day(trial["opened_at"]))),
            ("Closed", plain(_day(trial["closed_at"]))),
            ("Unblinded", plain(_day(trial["unblinded_at"]))),
            ("Judgments", plain(f"SHA-256 {trial['judgments_sha256']}")),
        ]  # fmt: skip
    if source:
        rows += [
            ("Data", plain(f"{source['name']}, layout {source['layout']}, {source['rows']} rows")),
            ("", plain(f"SHA-256 {source['sha256']}")),
            ("Plan", plain(_plan_of(source))),
        ]
    data = results["data"]
    rows += [
        ("Software", plain(f"{_software(results)}, engine {results['engine']}")),
        ("Validation", plain(_validation(results))),
        ("Positive class", plain(results["positive"])),
        ("Analysis set", fill("first readings only: {data.n_readings|n} of {data.n_possible|n} "
                              f"possible; unit of resampling: the {data['unit']}", results)),
        ("Exclusions", fill(_exclusions(results), results)),
        ("Seed", fill("{plan.seed|text}; {plan.replicates|n} replicates of each resampling",
                      results)),
    ]  # fmt: skip
    rows += [("Note" if i == 0 else "", plain(note)) for i, note in enumerate(results["notes"])]
    return Facts(tuple(rows))


def _day(moment: str | None) -> str:
    if not moment:
        return "not recorded"
    return datetime.fromisoformat(moment).strftime("%d %B %Y, %H:%M %Z").strip()


def _plan_of(source: dict[str, Any]) -> str:
    if source.get("plan"):
        return f"{source['plan']}, SHA-256 {source['plan_sha256']}"
    return (
        "defaults and options of the command; no plan file was given, so nothing here shows that "
        "the margin was set before the data were seen"
    )


def _software(results: Results) -> str:
    trial = results.get("trial") or {}
    source = results.get("source") or {}
    return str(trial.get("software") or source.get("software") or "readerstudy")


def _validation(results: Results) -> str:
    record = results.get("validation")
    if not record:
        return "no record of a check against reference software for this engine"
    return (
        f"{record['passed']} reference checks of {len(record['sets'])} data sets passed, "
        f"{record['failed']} failed, {record['skipped']} skipped (check_statistics)"
    )


def _exclusions(results: Results) -> str:
    out = "no reading was excluded from the analysis set"
    if results["data"]["n_repeats"]:
        out += "; {data.n_repeats|n} repeat readings serve the agreement within readers alone"
    own = results.get("flow")
    if own and own["practice"]:
        out += "; {flow.practice|n} practice readings never enter"
    return out


# ------------------------------------------------------------------------- a study with verdicts


def _verdicts(b: Builder) -> tuple[Section, ...]:
    has = b.results["data"]["has"]
    gaps = "no reading is missing"
    return (
        _section("Readers, cases and readings", 2, (
            b.figure("F1", "flow", "Flow of readings", "no readings"),
            b.table("T1", "readers_described", "Readers", "no readers"),
            b.table("T2", "cases_described", "Cases", "no cases"),
            b.table("T3", "flow", "Flow of readings", "no readings"),
        )),
        _section("Primary endpoint", 2, (
            b.figure("F5", "equivalence", "Estimate against the equivalence range",
                     "no estimate",
                     "Equivalent to guessing only if the thick line lies wholly within the shaded "
                     "range."),
            b.table("T4", "endpoints", "Endpoints", "no endpoint"),
            b.table("T4b", "detection", "Ability and leaning apart", "no verdicts"),
            b.table("T4c", "components", "Variance components", "no components"),
        )),
        _section("Each reader", 2, (
            b.figure("F3", "forest", "Each reader and all readers", "no reader has an estimate",
                     "Squares: one reader with the interval over cases. Diamond: mean of readers, "
                     "readers and cases both taken as samples."),
            b.figure("F2", "roc", "ROC curves", "no reader read both classes",
                     "A curve above the dashed line separates the classes. Circles: the reader's "
                     "verdicts, without the confidence."),
            b.table("T5", "readers", "Each reader", "no readers", MOST_ROWS),
            b.figure("F4", "confusion", "Verdict against truth", "no verdicts",
                     "Rows: truth. Columns: verdict. Shade: share of the row."),
            b.figure("F11", "bias", "d′ against c", "no reader has d′",
                     "Height: how well a reader separates the classes. Left or right: towards "
                     "which answer the reader leans, whatever the case."),
        )),
        _section("All readings pooled, and other methods", 2, (
            b.table("T6", "pooled", "All readings pooled", "no verdicts"),
            b.table("T6b", "methods", "The primary endpoint by other methods", "no estimate"),
            b.table("T6c", "sensitivity", "Sensitivity analyses", "no verdicts"),
        )),
        _section("Generators, organs and sizes", 2, (
            b.table("T7", "comparison", "Generators compared", ONE_GENERATOR),
            *([b.table("T7b", "means", "Each generator", ONE_GENERATOR)]
              if "means" in b.tables else []),
            b.table("T8", "subgroups", "By organ and size", "no organ and no size is given"),
            *([b.table("T8b", "heterogeneity", "Do the groups differ?", "fewer than two groups")]
              if "heterogeneity" in b.tables else []),
            b.figure("F8", "fool_rate", "Synthetic tumors called real", "no synthetic case",
                     "Where a dot meets its diamond, a synthetic tumor is called real as often as "
                     "a real one."),
            b.table("T8c", "fool_rate", "Synthetic tumors called real", "no synthetic case"),
        )),
        _section("Agreement", 2, (
            b.table("T9", "agreement", "Agreement between readers", "one reader"),
            b.figure("F10", "agreement", "Agreement of every two readers",
                     "fewer than two readers, or more than fit a page",
                     "Cohen's kappa of the verdicts; 0 is chance."),
            b.table("T10", "intra_reader", "Each reader against herself", "no case was read twice"),
        )),
        _section("Course of reading", 2, (
            b.figure("F6", "order", "Accuracy over the order of reading",
                     "the order of reading is not given" if not has["order_index"]
                     else "too few readings",
                     "Dots and bars: mean of readers in stretches of equal length, with the 95 % "
                     "interval over readers. Curve: all readings smoothed without stretches "
                     "(LOESS)."),
            b.table("T11", "order", "Accuracy over the course of reading",
                    "the order of reading is not given"),
            b.table("T11b", "trends", "Learning, fatigue, time and experience", "no such columns"),
            b.figure("F7", "response_time", "Response times", "response times are not given"),
            b.table("T11c", "response_time", "Response times", "response times are not given",
                    MOST_ROWS),
        )),
        _section("Confidence", 2, (
            b.figure("F12", "confidence", "Confidence: used, and justified",
                     "one level of confidence, or more than twenty"),
            b.table("T12", "calibration", "Calibration of the stated probability",
                    "no probability was stated"),
            b.table("T12b", "confidence", "Accuracy by stated confidence", "no confidence"),
        )),
        _section("Cases", 2, (
            b.figure("F9", "cases", "Cases by share of wrong verdicts", "no cases",
                     "With few readers a single case is mostly luck: the dashes show how much of "
                     "its rate is left when the luck is taken out."),
            b.table("T13", "cases", "Cases, hardest first", "no cases", MOST_ROWS,
                    ("wrong_readers",)),
        )),
        _section("Missing data, deviations and precision", 2, (
            b.table("T14", "missing", "Missing readings", gaps),
            b.table("T15", "precision", "Precision of this design and of larger ones",
                    b.results["precision"]["reason"] or "no components"),
            *_needed(b),
        )),
        *_machines(b),
        *_published(b),
    )  # fmt: skip


def _machines(b: Builder) -> tuple[Section, ...]:
    """Only where machines read: a study without them has nothing to say here."""
    if "machines" not in b.tables:
        return ()
    return (
        _section("Machines beside the readers", 2, (
            *(b.say(text) for text in texts.machines(b.results)),
            b.table("T17", "machines", "Each machine", "no machine read"),
            b.table("T18", "machines_versus", "Machines against the readers", "no machine read"),
            b.table("T19", "machines_trained", "What each machine learned from",
                    "the table of machines does not say"),
        )),
    )  # fmt: skip


def _needed(b: Builder) -> list[Block]:
    """How many cases the same readers would need."""
    out: list[Block] = []
    goals = {
        "tost": "show equivalence within ±{plan.margin|g} with a power of {path.target|g} if they "
        "truly guess",
        "precision": "have a 95 % interval of ±{path.target|g}",
    }
    for i, row in enumerate(b.results["precision"]["needed"]):
        path = f"precision.needed.{i}"
        goal = goals[row["goal"]].replace("path.", f"{path}.")
        if row["n_cases"] is None:
            out.append(b.say(f"To {goal}: {row['reason']}.", "note"))
        else:
            out.append(
                b.say(f"To {goal}, these readers would need {{{path}.n_cases|n}} cases.", "note")
            )
    return out


def _published(b: Builder) -> tuple[Section, ...]:
    if "published" not in b.tables:
        return ()
    own = published.implied(published.SENSITIVITY, published.ACCURACY, 0.5)
    words = (
        f"FreeTumor (Wu 2025) reports a mean sensitivity of 51.1 % and an accuracy of 60.8 % of "
        f"13 radiologists. The mix of real and synthetic cases is not stated in the text "
        f"available to us. With as many synthetic as real cases these two numbers imply a "
        f"specificity of {100 * own.specificity:.1f} %, d′ {own.dprime:.2f}, a leaning c of "
        f"{own.criterion:+.2f} towards “real” and an equal-variance AUC of {own.auc:.2f}: the low "
        "sensitivity is largely a leaning, not a lack of ability. In this study d′ was "
        "{endpoints.dprime.rrrc.estimate|two} ({endpoints.dprime.rrrc.ci95|open}) and c "
        "{endpoints.criterion.rrrc.estimate|two} ({endpoints.criterion.rrrc.ci95|open}). Readers, "
        "cases and tasks differ, so the rows are set beside each other, not tested."
    )
    return (
        Section("S-published", "Compare with published",
                (b.say(words), b.table("T16", "published", "", "")), 2),
    )  # fmt: skip


# ----------------------------------------------------------------------- a study of modalities


def _modalities(b: Builder) -> tuple[Section, ...]:
    several = len(b.results["conditions"]) > 1
    one = "the table holds one modality"
    absent = [
        ("T1", "Readers", "nothing is known of the readers but their codes"),
        ("T2", "Cases", "nothing is known of the cases but their truth"),
        ("T8", "Subgroups", "no organ and no size is given"),
        ("T9", "Agreement between readers", NO_VERDICTS),
        ("T10", "Each reader against herself", "no case was read twice"),
        ("T11", "Course of reading", "neither order nor time is given"),
        ("T12", "Calibration", "no probability was stated"),
        ("T13", "Cases, hardest first", NO_VERDICTS),
        ("F4", "Verdict against truth", NO_VERDICTS),
        ("F6", "Accuracy over the order of reading", "the order is not given"),
        ("F7", "Response times", "times are not given"),
        ("F8", "Synthetic tumors called real", NO_VERDICTS),
        ("F9", "Cases by share of wrong verdicts", NO_VERDICTS),
        ("F10", "Agreement of every two readers", NO_VERDICTS),
        ("F11", "d′ against c", NO_VERDICTS),
        ("F12", "Confidence", NO_VERDICTS),
    ]
    return (
        _section("Readings", 2, (
            b.figure("F1", "flow", "Flow of readings", "no readings"),
            b.table("T3", "flow", "Flow of readings", "no readings"),
        )),
        _section("Endpoint", 2, (
            b.figure("F3", "means", "Each modality", "no estimate"),
            b.table("T4", "means", "Each modality", one) if several
            else b.table("T4", "condition_methods", "The AUC", "no estimate"),
            b.figure("F2", "roc", "ROC curves", "no reader read both classes",
                     "Thin: readers. Thick: their average. Dashed: guessing."),
            b.table("T5", "condition_readers", "Each reader", "no readers", 2 * MOST_ROWS),
            *([b.table("T6", "condition_methods", "Each modality by several methods", "")]
              if several else [b.table("T6", "none", "Other methods", "they stand in T4")]),
            b.table("T4c", "components", "Variance components", "no components"),
        )),
        _section("Modalities compared", 2, (
            b.figure("F5", "differences", "Differences between modalities", one),
            b.table("T7", "comparison", "Modalities compared", one),
            b.table("T14", "missing", "Missing readings",
                    "those that are missing are counted in T3"
                    if b.results["data"]["n_missing"] else "no reading is missing"),
            b.table("T15", "precision", "Precision of larger designs",
                    "given for one modality only" if several else "no components"),
        )),
        _section("Not in these data", 2, tuple(
            b.figure(label, "", title, why) if label.startswith("F")
            else b.table(label, "", title, why)
            for label, title, why in absent
        )),
    )  # fmt: skip


# ---------------------------------------------------------------------------------- checklists


def _section(title: str, level: int, blocks: tuple[Block, ...]) -> Section:
    label = "S-" + "-".join(title.lower().replace(",", "").split())
    return Section(label, title, blocks, level)


def _checklists(results: Results, labels: set[str]) -> tuple[Section, ...]:
    known = labels | {"S-methods", "S-results"}
    out = []
    for guideline in checklists.guidelines():
        checks = []
        for row in guideline.items:
            where = row.trial if results.get("trial") else row.elsewhere
            if results["layout"] == "mrmc" and _OF_TUMORS.search(where):
                where = "Authors."
            checks.append(Check(row.item, row.topic, _known(fill(where, results), known)))
        source = guideline.source
        if results["layout"] == "mrmc":
            source = source.replace("the known origin of each tumor", "the truth in the table")
        out.append(Checklist(guideline.name, source, tuple(checks)))
    return (Section("S-checklists", "Reporting checklists", tuple(out)),)


#: What is true of a Visual Turing Test and not of any study of ratings.
_OF_TUMORS = re.compile(r"origin|generator|construction|tumor", re.IGNORECASE)


def _known(where: Inline, labels: set[str]) -> Inline:
    """Pointers to labels that this report does not have become plain text."""
    return tuple(
        part if isinstance(part, str) or getattr(part, "label", None) in labels
        else f"{getattr(part, 'label', '')} (not in these data)"
        for part in where
    )  # fmt: skip
