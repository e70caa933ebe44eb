"""What the pages of this room show, put together from stored results. No statistics here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from readerstudy.accounts.access import is_coordinator
from readerstudy.jobs.models import Job
from readerstudy.trials.models import Trial

from . import layout, selectors, tables
from .models import ResultsSnapshot
from .report.published import comparison
from .report.texts import BEYOND, beyond_margin

Results = dict[str, Any]

#: A space that does not end a line, before the percent sign.
NARROW = "\N{NARROW NO-BREAK SPACE}"
#: (short answer, what it means) for each verdict.
ANSWERS = {
    "equivalent": (
        "Equivalent to guessing",
        "The whole 90 % interval lies within the margin that the protocol set around guessing. "
        "This is a positive finding of equivalence, not a mere failure to find a difference.",
    ),
    "different": (
        "Readers can tell",
        "The 95 % interval leaves guessing out, and readers may differ from it by more than the "
        "protocol's margin.",
    ),
    "different_within_margin": (
        "A difference too small to matter",
        "Readers are not exactly at guessing, but the whole 90 % interval lies within the margin "
        "that the protocol set beforehand.",
    ),
    "inconclusive": (
        "Undecided",
        "The data fit guessing, and they also fit an ability beyond the margin. This is not "
        "evidence that readers cannot tell: the trial was too small to say.",
    ),
    "undefined": (
        "No answer",
        "The readings do not allow the uncertainty to be computed; the reason stands above.",
    ),
}


@dataclass(frozen=True)
class Figure:
    """One figure on the page with its downloads."""

    name: str
    title: str
    alt: str
    width: int
    height: int


def job_for(user: Any, job: Job | None) -> dict[str, Any]:
    """A job as `user` may see it: its owner and coordinators may watch and steer it."""
    if job is None:
        return {}
    may_watch = job.created_by_id == user.pk or is_coordinator(user)
    return {"job": job, "may_watch": may_watch, "failed": job.state == Job.State.FAILED}


def tables_of(results: Results) -> dict[str, tables.Table]:
    """Every table of the page by name, the published study beside this one among them."""
    made = tables.all_tables(results)
    published = comparison(results)
    return made if published is None else made | {published.name: published}


def results_page(user: Any, trial: Trial, snapshot: ResultsSnapshot) -> dict[str, Any]:
    """Everything on the results page of an analysed trial."""
    results = selectors.results_of(snapshot)
    made = tables_of(results)
    verdict = results["primary"]["verdict"]
    answer, meaning = ANSWERS[verdict["code"]]
    if verdict["code"] == "different" and not verdict["above_null"]:
        answer = "Readers can tell, but the wrong way round"
    if verdict["code"] == "different" and beyond_margin(results["primary"]):
        meaning = BEYOND
    figures = {row["name"]: Figure(**row) for row in selectors.figures_of(snapshot)}
    return {
        "results": results,
        "data": results["data"],
        "primary": results["primary"],
        "answer": answer,
        "meaning": meaning,
        "sentence": results["primary"]["sentence"].replace(" %", NARROW + "%"),
        "headline": _headline(results),
        "figures": figures,
        "tables": made,
        "sections": layout.sections(figures, made),
        "has_report": selectors.report_path(snapshot, "pdf") is not None,
        "bands": _bands(results),
        "version": snapshot.sha256[:12],
    }


def _headline(results: Results) -> list[tuple[str, str, str]]:
    """(label, number, detail) of the key numbers under the verdict."""
    result, endpoints = results["primary"]["result"], results["endpoints"]
    tost = result["tost"][0]
    label = results["primary"]["label"]
    cards = [
        (label[:1].upper() + label[1:], tables.share(result["estimate"]),
         f"95 % interval {tables.bounds(result['ci95'])}"),
        ("p against guessing", tables.p_value(result["p"]), "guessing is 0.5"),
        ("p equivalence", tables.p_value(tost["p"]), f"margin ±{tost['margin']:g}"),
    ]  # fmt: skip
    for key, name in (
        ("sensitivity", "Sensitivity"), ("specificity", "Specificity"), ("fool_rate", "Fool rate"),
    ):  # fmt: skip
        own = endpoints[key]["rrrc"]
        cards.append((name, tables.share(own["estimate"]), tables.bounds(own["ci95"])))
    return cards


def _bands(results: Results) -> str:
    """Size bands in words, for the notes of a table."""
    words = []
    for band in results["plan"]["size_bands"]:
        low, high = band["low"], band["high"]
        if low in (None, 0):
            words.append(f"{band['label']}: below {high:g} mm")
        elif high is None:
            words.append(f"{band['label']}: {low:g} mm and above")
        else:
            words.append(f"{band['label']}: {low:g} to below {high:g} mm")
    return f"Size bands: {'; '.join(words)}." if words else ""
