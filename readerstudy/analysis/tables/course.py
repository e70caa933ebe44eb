"""Agreement, the course of reading, and confidence."""

from __future__ import annotations

from typing import Any

from .cells import (
    Column,
    Results,
    Table,
    bounds,
    count,
    open_bounds,
    p_value,
    positive_note,
    seconds,
    share,
    text,
)


def agreement(results: Results) -> Table:
    """T9: agreement between readers, for all cases and for each class."""
    columns = (
        Column("cases", "Cases", text), Column("n_cases", "n", count),
        Column("about", "About", text), Column("coefficient", "Coefficient", text),
        Column("estimate", "Estimate", share), Column("ci95", "95 % interval", open_bounds),
        Column("reason", "Remark", text),
    )  # fmt: skip
    rows: list[tuple[Any, ...]] = []
    for name, group in results["agreement"]["groups"].items():
        for about, label, one in _coefficients(group):
            # Some look only at cases that everybody read.
            rows.append((
                name, one.get("n", group["n_cases"]), about, label, one["estimate"],
                one.get("ci95"), one["reason"],
            ))  # fmt: skip
    return Table(
        "agreement", "Agreement between readers",
        "0 is agreement by chance, 1 is perfect (raw agreement: share of equal pairs). Where "
        "readers guess, no agreement is expected; agreement on wrong answers means a shared "
        "illusion, on right ones a shared cue. Intervals over cases.",
        columns, tuple(rows), "agreement.groups",
    )  # fmt: skip


def _coefficients(group: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    verdicts, scores = "verdicts", "ratings"
    found = [
        (verdicts, "Raw agreement of pairs", group["percent_agreement"]),
        (verdicts, "Fleiss' kappa", group["fleiss"]),
        (verdicts, "Gwet's AC1", group["gwet_ac1"]),
        (verdicts, "Krippendorff's alpha, nominal", group["krippendorff"]),
        (verdicts, "Mean Cohen's kappa of pairs", _mean(group["mean_cohen"])),
        (scores, "Krippendorff's alpha, ordinal", group["krippendorff_ordinal_score"]),
        (scores, "Gwet's AC2, ordinal weights", group["gwet_ac2_score"]),
        (scores, "Mean weighted kappa of pairs", _mean(group["weighted_kappa_score"])),
    ]
    found += [(scores, "ICC(2,1)", one) for one in group["icc_score"] if one["kind"] == "ICC2"]
    return found


def _mean(pairs: dict[str, Any]) -> dict[str, Any]:
    return {"estimate": pairs["mean"], "ci95": pairs["ci95"], "reason": pairs["reason"]}


def pairwise(results: Results) -> Table:
    """Cohen's kappa of the verdicts of every two readers."""
    own = results["agreement"]["groups"]["all"]["mean_cohen"]
    columns = (
        Column("first", "Reader", text), Column("second", "Reader", text),
        Column("n", "Cases", count), Column("kappa", "Cohen's kappa", share),
        Column("reason", "Remark", text),
    )  # fmt: skip
    rows = tuple((p["a"], p["b"], p["n"], p["kappa"], p["reason"]) for p in own["pairs"])
    return Table(
        "pairwise", "Agreement of every two readers",
        "Of the verdicts, over all cases that both read.", columns, rows,
        "agreement.groups.all.mean_cohen.pairs",
    )  # fmt: skip


def intra_reader(results: Results) -> Table:
    """T10: second reading against first."""
    columns = (
        Column("reader", "Reader", text), Column("n", "n", count),
        Column("agreement", "Same verdict", share),
        Column("agreement_wilson", "95 % (Wilson)", bounds, under=True),
        Column("kappa", "Cohen's kappa", share),
        Column("weighted_kappa", "Weighted kappa", share),
        Column("to_positive", f"To {results['positive']}", count),
        Column("to_negative", f"To {results['negative']}", count),
        Column("mcnemar_p", "p, drift", p_value),
        Column("mean_change", "Mean change", share),
    )  # fmt: skip
    own = results["intra_reader"]
    rows = tuple(
        (
            r["reader"], r["n"], r["agreement"]["estimate"], r["agreement"]["ci"],
            r["kappa"]["estimate"], r["weighted_kappa"]["estimate"], r["to_positive"],
            r["to_negative"], r["mcnemar_p"], r["mean_change"],
        )
        for r in [*own["per_reader"], {**own["pooled"], "reader": "All pooled (naive)"}]
    )  # fmt: skip
    return Table(
        "intra_reader", "Each reader against herself",
        "Second reading of the same case against the first. Weighted kappa and mean change: of the "
        f"ratings. To {results['positive']}, to {results['negative']}: verdicts that changed. "
        "Drift: whether the two balance (exact McNemar test). The pooled row takes readings for "
        "independent.",
        columns, rows, "intra_reader",
    )  # fmt: skip


#: Coefficients of the response-time model, in words.
_TIME = {
    "order_per_100": "Log time, change per 100 readings",
    "correct": "Log time, right against wrong",
    "truth": "Log time, positive against negative class",
}


def order(results: Results) -> Table:
    """T11: accuracy over the order of reading."""
    columns = (
        Column("part", "Position in the order", text), Column("n", "Readings", count),
        Column("mean_over_readers", "Accuracy, mean of readers", share),
        Column("ci95", "95 % interval, over readers", bounds),
    )  # fmt: skip
    rows = tuple(
        (f"{b['low']:g} to {b['high']:g}", b["n"], b["mean"], b["ci95"])
        for b in results["order"]["bins"]
    )
    return Table(
        "order", "Accuracy over the course of reading",
        "Position in the reader's own order, repeats counted in the position.",
        columns, rows, "order.bins",
    )  # fmt: skip


def trends(results: Results) -> Table:
    """T11, models: what changes with position, response time and experience."""
    columns = (
        Column("question", "Question", text), Column("estimate", "Estimate", share),
        Column("ci95", "95 % interval", open_bounds), Column("p", "p", p_value),
        Column("method", "Method", text), Column("reason", "Remark", text),
    )  # fmt: skip
    rows: list[tuple[Any, ...]] = []
    own = results["order"]
    if own and own["slope"]:
        rows.append((
            "Accuracy, change per 100 readings", *_estimate(own["slope"]),
            "linear, readers and cases clustered", own["slope"]["reason"],
        ))  # fmt: skip
    if own:
        rows.append((
            "Accuracy, second half minus first half", *_estimate(own["halves"]),
            "readers and cases random", own["halves"]["reason"],
        ))  # fmt: skip
    time = results["response_time"]
    if time and time["model"]:
        rows += [
            (_TIME[c["name"]], *_estimate(c), "log time, mixed model, crossed effects",
             time["model"]["reason"])
            for c in time["model"]["coefficients"] if c["name"] in _TIME
        ]  # fmt: skip
    readers = results["reader_facts"]
    rows.append((
        "Experience and accuracy", *_estimate(readers["experience"]),
        "Spearman's rank correlation", readers["experience"]["reason"],
    ))  # fmt: skip
    q = readers["heterogeneity"]
    words = "Cochran's Q"
    if q["statistic"] is not None:
        words += f" = {q['statistic']:.1f}, df {q['df']}"
    rows.append(("Readers differ in accuracy", None, None, q["p"], words, q["reason"]))
    return Table(
        "trends", "Learning, fatigue, time and experience",
        "Exploratory. Log time: 0.1 is about 10 % longer. Cochran's Q: these cases only.",
        columns, tuple(rows), "order, response_time, reader_facts",
    )  # fmt: skip


def _estimate(one: dict[str, Any]) -> tuple[Any, Any, Any]:
    return one["estimate"], one["ci95"], one["p"]


def response_time(results: Results) -> Table:
    """T11: response times by reader, and by truth and verdict."""
    own = results["response_time"]
    columns = (
        Column("group", "Reader, or truth and verdict", text), Column("n", "Readings", count),
        Column("median_s", "Median, s", seconds), Column("q1_s", "Lower quartile, s", seconds),
        Column("q3_s", "Upper quartile, s", seconds),
        Column("n_fast", f"Below {own['fast_s']:g} s", count),
        Column("n_slow", f"Above {own['slow_s']:g} s", count),
    )  # fmt: skip
    rows = tuple(
        (r["group"], r["n"], r["median_s"], r["q1_s"], r["q3_s"], r["n_fast"], r["n_slow"])
        for r in [*own["per_reader"], *own["by_outcome"]]
    )
    return Table(
        "response_time", "Response times",
        "First readings. Very short and very long ones are kept; they are counted so that a "
        "reader who clicked through can be seen.",
        columns, rows, "response_time",
    )  # fmt: skip


def confidence(results: Results) -> Table:
    """T12: what each level of confidence was worth."""
    columns = (
        Column("level", "Confidence", count), Column("n", "Readings", count),
        Column("share", "Share of readings", share),
        Column("mean_over_readers", "Accuracy, mean of readers", share),
        Column("ci95", "95 % interval", bounds),
    )  # fmt: skip
    rows = tuple(
        (r["level"], r["n"], r["share"], r["mean"], r["ci95"])
        for r in results["confidence"]["levels"]
    )
    return Table(
        "confidence", "Accuracy by stated confidence",
        "Readers who know what they know are more often right where they are surer.",
        columns, rows, "confidence.levels",
    )  # fmt: skip


def calibration(results: Results) -> Table:
    """T12: stated probability against what was found."""
    own = results["calibration"]
    columns = (
        Column("measure", "Measure", text), Column("estimate", "Estimate", share),
        Column("ci95", "95 % interval", open_bounds), Column("perfect", "Perfect", text),
    )  # fmt: skip
    named = (
        ("brier", "Brier score", "0"), ("brier_reference", "Brier score of the base rate", ""),
        ("brier_skill", "Brier skill", "1"), ("log_loss", "Log loss", "0"),
        ("in_the_large", "Calibration in the large", "0"),
        ("slope", "Calibration slope", "1"), ("intercept", "Intercept beside the slope", "0"),
        ("ece", "Expected calibration error", "0"),
        ("spiegelhalter_z", "Spiegelhalter's z", "0"),
    )  # fmt: skip
    rows = tuple(
        (label, own[key], (own["ci95"] or {}).get(key), perfect) for key, label, perfect in named
    )
    return Table(
        "calibration", "Calibration of the stated probability",
        f"{positive_note(results)} Intervals: bootstrap of readers and cases.",
        columns, rows, "calibration",
    )  # fmt: skip
