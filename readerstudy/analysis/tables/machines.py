"""Machines beside the readers: what each learned from, how it did, and the difference."""

from __future__ import annotations

from typing import Any

from .cells import (
    Column,
    Results,
    Table,
    bounds,
    capital,
    count,
    degrees,
    df_of,
    open_bounds,
    p_value,
    positive_note,
    share,
    text,
)


def titles(results: Results) -> dict[str, str]:
    """Name for people of each machine; its own name where the data say no more."""
    known = {card["name"]: card["title"] for card in results.get("machine_cards", [])}
    return {m["name"]: known.get(m["name"], m["name"]) for m in results.get("machines", [])}


def trained(results: Results) -> Table:
    """What each machine looks at and learned from."""
    columns = (
        Column("machine", "Machine", text), Column("looks_at", "Looks at", text),
        Column("learned_from", "Learned from", text),
        Column("out_of_fold_auc", "AUC out of fold", share),
        Column("out_of_fold_ci", "95 % (DeLong)", bounds, under=True),
        Column("rule", "From score to rating", text), Column("read", "Read", text),
    )  # fmt: skip
    rows = []
    for card in results["machine_cards"]:
        auc = card["out_of_fold_auc"] or {"estimate": None, "ci": None}
        rows.append((
            card["title"], capital(card["looks_at"]) + ".", card["learned_from"],
            auc["estimate"], auc["ci"], card["rule"],
            "before unblinding" if card["read_before_unblinding"] else "after unblinding",
        ))  # fmt: skip
    return Table(
        "machines_trained", "What each machine learned from",
        "A machine gets what a reader gets: the voxels around the marker of the sent images, and "
        "the marker. AUC out of fold: on its training lesions, each scored by a fit that saw "
        "nothing of its patient; its interval takes lesions for independent.",
        columns, tuple(rows), "machine_cards",
    )  # fmt: skip


def machines(results: Results) -> Table:
    """One row per machine, as for a reader."""
    columns = (
        Column("machine", "Machine", text), Column("n_cases", "Cases", count),
        Column("tp", "TP", count), Column("fn", "FN", count), Column("fp", "FP", count),
        Column("tn", "TN", count), Column("accuracy", "Accuracy", share),
        Column("accuracy_wilson", "95 % (Wilson)", bounds, under=True),
        Column("sensitivity", "Sensitivity", share),
        Column("sensitivity_wilson", "95 % (Wilson)", bounds, under=True),
        Column("specificity", "Specificity", share),
        Column("specificity_wilson", "95 % (Wilson)", bounds, under=True),
        Column("auc", "AUC of ratings", share),
        Column("auc_delong", "95 % (DeLong)", bounds, under=True),
        Column("raw_auc", "AUC of raw score", share),
        Column("raw_auc_delong", "95 % (DeLong)", bounds, under=True),
    )  # fmt: skip
    names = titles(results)
    rows = []
    for own in results["machines"]:
        r, raw = own["row"], own["raw_auc"] or {"estimate": None, "ci": None}
        t = r["table"]
        rows.append((
            names[own["name"]], own["n_cases"], t["tp"], t["fn"], t["fp"], t["tn"],
            r["accuracy"]["estimate"], r["accuracy"]["ci"], r["sensitivity"]["estimate"],
            r["sensitivity"]["ci"], r["specificity"]["estimate"], r["specificity"]["ci"],
            r["auc"]["estimate"], r["auc"]["ci"], raw["estimate"], raw["ci"],
        ))  # fmt: skip
    return Table(
        "machines", "Each machine",
        f"{positive_note(results)} Intervals are over cases. The ratings have the readers' six "
        "steps and are what is compared with them; the raw score is finer, so its AUC is not.",
        columns, tuple(rows), "machines",
    )  # fmt: skip


def versus(results: Results) -> Table:
    """Machine minus mean of readers, endpoint by endpoint."""
    columns = (
        Column("machine", "Machine", text), Column("endpoint", "Endpoint", text),
        Column("machine_value", "Machine", share),
        Column("machine_ci95", "95 % over cases", bounds, under=True),
        Column("readers_mean", "Mean of readers", share),
        Column("difference", "Machine − readers", share),
        Column("ci95", "95 % interval", open_bounds), Column("df", "df", degrees),
        Column("p", "p", p_value), Column("p_holm", "Holm", p_value),
        Column("reason", "Remark", text),
    )  # fmt: skip
    primary, names = results["plan"]["primary"], titles(results)
    rows: list[tuple[Any, ...]] = []
    for own in results["machines"]:
        ordered = sorted(own["versus"], key=lambda v: v["metric"] != primary)
        for one in ordered:
            done = one["difference"]
            rows.append((
                names[own["name"]], capital(one["label"]), one["machine"], one["machine_ci95"],
                one["readers_mean"]["estimate"], done["estimate"], done["ci95"], df_of(done),
                done["p"], own["p_holm"] if one["metric"] == primary else None,
                done["reason"] or one["reason"],
            ))  # fmt: skip
    return Table(
        "machines_versus", "Machines against the readers",
        f"{positive_note(results)} On the cases that the machine rated. The machine is one fixed "
        "rater; readers and cases are samples (Obuchowski-Rockette on machine minus reader, "
        "Hillis degrees of freedom). Holm: p of the primary endpoint adjusted over the machines; "
        "the other rows are not adjusted.",
        columns, tuple(rows), "machines.*.versus",
    )  # fmt: skip
