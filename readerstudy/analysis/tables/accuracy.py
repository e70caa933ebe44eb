"""How well readers tell the classes apart: endpoints, readers, routes to the same number."""

from __future__ import annotations

from typing import Any

from .cells import (
    Column,
    Results,
    Table,
    balanced,
    bounds,
    count,
    degrees,
    df_of,
    endpoint_name,
    open_bounds,
    p_value,
    positive_note,
    rate_name,
    seconds,
    share,
    text,
)


def endpoints(results: Results) -> Table:
    """T4: every endpoint on the scale of shares, readers and cases random."""
    columns = (
        Column("endpoint", "Endpoint", text), Column("estimate", "Mean of readers", share),
        Column("ci95", "95 % interval", bounds), Column("se", "SE", share),
        Column("df", "df", degrees), Column("p_vs_guessing", "p against guessing", p_value),
        Column("ci90", "90 % interval", bounds),
        Column("p_equivalence", "p equivalence", p_value), Column("reason", "Remark", text),
    )  # fmt: skip
    rows = []
    for key in ("auc", "balanced_accuracy", "accuracy", "sensitivity", "specificity", "fool_rate"):
        endpoint = results["endpoints"][key]
        done = endpoint["rrrc"]
        tested = key in ("auc", "balanced_accuracy") or (key == "accuracy" and balanced(results))
        rows.append((
            endpoint_name(endpoint, key, results), done["estimate"], done["ci95"], done["se"],
            df_of(done), done["p"] if tested else None, done["ci90"],
            done["tost"][0]["p"] if tested else None, done["reason"],
        ))  # fmt: skip
    return Table(
        "endpoints", "Endpoints",
        "Mean over readers; readers and cases are both samples (Obuchowski-Rockette, Hillis "
        f"degrees of freedom). {positive_note(results)} Sensitivity, specificity and fool rate "
        "have no single value under guessing, so they are not tested against it"
        + (
            "." if balanced(results)
            else "; nor is accuracy, as the classes differ in size and calling every tumor the "
            "same would beat 0.5."
        ),
        columns, tuple(rows), "endpoints.*.rrrc",
    )  # fmt: skip


def detection(results: Results) -> Table:
    """Signal detection, readers and cases random."""
    columns = (
        Column("index", "Index", text), Column("estimate", "Mean of readers", share),
        Column("ci95", "95 % interval", open_bounds), Column("se", "SE", share),
        Column("df", "df", degrees), Column("p_vs_zero", "p against 0", p_value),
        Column("reason", "Remark", text),
    )  # fmt: skip
    positive, negative = results["positive"], results["negative"]
    names = {
        "dprime": "d′, ability to separate the classes (0 = guessing)",
        "criterion": f"c, leaning (above 0 towards “{negative}”, below towards “{positive}”)",
    }
    rows = []
    for key, name in names.items():
        done = results["endpoints"][key]["rrrc"]
        rows.append((
            name, done["estimate"], done["ci95"], done["se"], df_of(done), done["p"],
            done["reason"],
        ))  # fmt: skip
    return Table(
        "detection", "Ability and leaning apart",
        f"{positive_note(results)} Equal-variance signal detection with the log-linear correction; "
        "mean over readers, readers and cases random. A low sensitivity can come from low ability "
        "(d′) or from reluctance to call a tumor "
        f"{positive} (c above 0): these two rows tell which.",
        columns, tuple(rows), "endpoints.dprime, endpoints.criterion",
    )  # fmt: skip


def readers(results: Results) -> Table:
    """T5: one row per reader."""
    columns = (
        Column("reader", "Reader", text), Column("experience_years", "Years", count),
        Column("tp", "TP", count), Column("fn", "FN", count), Column("fp", "FP", count),
        Column("tn", "TN", count), Column("accuracy", "Accuracy", share),
        Column("accuracy_wilson", "95 % (Wilson)", bounds, under=True),
        Column("p_accuracy", "p against 0.5", p_value),
        Column("p_accuracy_holm", "Holm", p_value, under=True),
        Column("sensitivity", "Sensitivity", share),
        Column("sensitivity_wilson", "95 % (Wilson)", bounds, under=True),
        Column("specificity", "Specificity", share),
        Column("specificity_wilson", "95 % (Wilson)", bounds, under=True),
        Column("auc", "AUC", share), Column("auc_delong", "95 % (DeLong)", bounds, under=True),
        Column("dprime", "d′", share), Column("criterion", "c", share),
        Column("median_response_s", "Median time, s", seconds),
    )  # fmt: skip
    rows = tuple(
        (
            r["reader"], r["experience_years"], r["table"]["tp"], r["table"]["fn"],
            r["table"]["fp"], r["table"]["tn"], r["accuracy"]["estimate"], r["accuracy"]["ci"],
            r["p_accuracy"], r["p_accuracy_holm"], r["sensitivity"]["estimate"],
            r["sensitivity"]["ci"], r["specificity"]["estimate"], r["specificity"]["ci"],
            r["auc"]["estimate"], r["auc"]["ci"], r["sdt"]["dprime"], r["sdt"]["criterion"],
            r["median_response_s"],
        )
        for r in results["readers"]
    )  # fmt: skip
    positive, negative = results["positive"], results["negative"]
    return Table(
        "readers", "Each reader",
        f"{positive_note(results)} TP: {positive} called {positive}; FN: {positive} called "
        f"{negative}; FP: {negative} called {positive}; TN: {negative} called {negative}. "
        f"c above 0: the reader leans towards “{negative}”. p: exact binomial test of accuracy, "
        "and the same adjusted over readers (Holm). d′ and c with the log-linear correction.",
        columns, rows, "readers",
    )  # fmt: skip


def pooled(results: Results) -> Table:
    """T6: all readings thrown together."""
    columns = (
        Column("rate", "Rate", text), Column("x", "Readings", count), Column("n", "of", count),
        Column("estimate", "Share", share),
        Column("naive_wilson", "Naive 95 % (Wilson)", bounds),
        Column("naive_clopper_pearson", "Naive 95 % (Clopper-Pearson)", bounds),
    )  # fmt: skip
    rows = tuple(
        (
            rate_name(key, results), rate["wilson"]["x"], rate["wilson"]["n"],
            rate["wilson"]["estimate"], rate["wilson"]["ci"], rate["clopper_pearson"]["ci"],
        )
        for key, rate in results["pooled"]["rates"].items()
    )  # fmt: skip
    return Table(
        "pooled", "All readings pooled",
        f"{positive_note(results)} Naive: these intervals take every reading for independent, "
        "although readings share readers and cases; with several readers they are far too "
        "narrow. Shown for comparison with papers that report them. PPV and NPV hold for this mix "
        f"of {results['data']['n_positive']} {results['positive']} and "
        f"{results['data']['n_negative']} {results['negative']} cases only.",
        columns, rows, "pooled.rates",
    )  # fmt: skip


def methods(results: Results) -> Table:
    """The primary endpoint by other routes."""
    columns = (
        Column("method", "Method", text), Column("generalizes_to", "Speaks about", text),
        Column("estimate", "Estimate", share), Column("ci95", "95 % interval", bounds),
        Column("se", "SE", share), Column("df", "df", degrees),
        Column("p", "p against 0.5", p_value), Column("reason", "Remark", text),
    )  # fmt: skip
    rows = tuple(
        (m["name"], m["generalizes_to"], m["result"]["estimate"], m["result"]["ci95"],
         m["result"]["se"], df_of(m["result"]), m["result"]["p"], m["result"]["reason"])
        for m in results["methods"]
    )  # fmt: skip
    return Table(
        "methods", f"The primary endpoint ({results['primary']['label']}) by other methods",
        f"{positive_note(results)} If these disagree, the answer hangs on the method.",
        columns, rows, "methods",
    )  # fmt: skip


def sensitivity(results: Results) -> Table:
    """T6: other models of the same verdicts."""
    own, shuffled = results["sensitivity"], results["permutation"]
    columns = (
        Column("analysis", "Analysis", text), Column("measure", "Measure", text),
        Column("estimate", "Estimate", share), Column("ci95", "95 % interval", open_bounds),
        Column("p", "p", p_value), Column("reason", "Remark", text),
    )  # fmt: skip
    two, glmm = own["twoway_cluster"], own["sdt_glmm"]
    rows: list[tuple[Any, ...]] = [
        ("Permutation of the truth over cases, these readers", shuffled["label"],
         shuffled["estimate"], None, shuffled["p"], shuffled["reason"]),
        ("Logit, clustered on reader and case", "accuracy", two["probability"], two["ci95"],
         two["p_vs_half"], two["reason"]),
    ]  # fmt: skip
    for key, word in (("gee_reader", "reader"), ("gee_case", results["data"]["unit"])):
        gee = own[key]
        rows.append((
            f"GEE, clustered on {word} only (too narrow)", "accuracy", gee["probability"],
            gee["ci95_t"], gee["coefficients"][0]["p_t"] if gee["coefficients"] else None,
            gee["reason"],
        ))  # fmt: skip
    rows.append((
        "Probit mixed model, crossed readers and cases", "d′ of a typical reader and case",
        glmm["dprime"], glmm["dprime_ci95"], glmm["dprime_p"], glmm["reason"],
    ))  # fmt: skip
    return Table(
        "sensitivity", "Sensitivity analyses",
        f"{positive_note(results)} p against guessing. None of these is the answer: clustering one "
        "way ignores the other source of variation, permutation says nothing about other readers, "
        "and the mixed model speaks about a typical reader and case, not about their average.",
        columns, tuple(rows), "sensitivity, permutation",
    )  # fmt: skip
