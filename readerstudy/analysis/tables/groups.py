"""By organ, size, generator and case."""

from __future__ import annotations

from .cells import (
    Column,
    Results,
    Table,
    bounds,
    capital,
    count,
    millimetres,
    p_value,
    positive_note,
    share,
    text,
)
from .compare import global_test


def fool_rate(results: Results) -> Table:
    """T13: synthetic tumors called real by group."""
    columns = (
        Column("by", "By", text), Column("group", "Group", text),
        Column("n_cases", "Cases", count), Column("fooled", "Called real", count),
        Column("n_readings", "of readings", count), Column("rate", "Fool rate", share),
        Column("ci95", "95 % interval", bounds),
        Column("naive_wilson", "Naive 95 % (Wilson)", bounds), Column("reason", "Remark", text),
    )  # fmt: skip
    own = results["fool_rate"]
    families = [
        ("", [own["overall"]]), ("organ", own["by_organ"]), ("size", own["by_size"]),
        ("generator", own["by_generator"]),
    ]  # fmt: skip
    rows = [
        (
            family or "all",
            "all" if not family else g["group"],
            g["n_cases"],
            g["fooled"],
            g["n_readings"],
            g["naive"]["estimate"],
            g["mrmc"]["ci95"],
            g["naive"]["ci"],
            g["mrmc"]["reason"],
        )
        for family, groups in families
        for g in groups
    ]
    return Table(
        "fool_rate", "Synthetic tumors called real",
        "Fool rate: share of readings of synthetic tumors with the verdict real. Interval: "
        "readers and cases random. A tumor that cannot be told from a real one is called real as "
        "often as a real one is, not necessarily half the time.",
        columns, tuple(rows), "fool_rate",
    )  # fmt: skip


def subgroups(results: Results) -> Table:
    """T8: the primary endpoint by organ and size."""
    label = results["primary"]["label"]
    columns = (
        Column("by", "By", text), Column("group", "Group", text),
        Column("n_positive", f"{capital(results['positive'])} cases", count),
        Column("n_negative", f"{capital(results['negative'])} cases", count),
        Column("estimate", capital(label), share), Column("ci95", "95 % interval", bounds),
        Column("p", "p against 0.5", p_value), Column("p_holm", "p, Holm", p_value),
        Column("sensitivity", "Sensitivity", share), Column("specificity", "Specificity", share),
        Column("reason", "Remark", text),
    )  # fmt: skip
    rows = [
        (
            family,
            g["group"],
            g["n_positive"],
            g["n_negative"],
            g["result"]["estimate"],
            g["result"]["ci95"],
            g["result"]["p"],
            g["p_holm"],
            g["sensitivity"],
            g["specificity"],
            g["result"]["reason"],
        )
        for family, groups in results["subgroups"].items()
        for g in groups
    ]
    return Table(
        "subgroups", "By organ and size",
        f"{positive_note(results)} Readers and cases random; Holm within organs and within sizes. "
        "Secondary: a difference between groups is a hint, not a finding.",
        columns, tuple(rows), "subgroups",
    )  # fmt: skip


def heterogeneity(results: Results) -> Table:
    """T8: whether the groups differ at all."""
    columns = (
        Column("by", "By", text), Column("groups", "Groups", text), Column("test", "Test", text),
        Column("p", "p", p_value), Column("i2", "I²", share), Column("reason", "Remark", text),
    )  # fmt: skip
    rows = tuple(
        (
            family, ", ".join(own["groups"]),
            global_test(own["test"]) if own["test"] else "not estimable",
            own["test"]["p"] if own["test"] else None, own["i2"], own["reason"],
        )
        for family, own in results["heterogeneity"].items()
        if own
    )  # fmt: skip
    return Table(
        "heterogeneity", "Do the groups differ?",
        f"One test per family for {results['primary']['label']}, readers and cases random. "
        "I²: share of the spread between groups that is not chance.",
        columns, rows, "heterogeneity",
    )  # fmt: skip


def cases(results: Results) -> Table:
    """Every case: which readers it misled."""
    columns = (
        Column("case", "Case", text), Column("truth", "Truth", text),
        Column("organ", "Organ", text), Column("size_mm", "Size, mm", millimetres),
        Column("size_band", "Size band", text),
        Column("generator", "Generator", text), Column("wrong", "Wrong", count),
        Column("n", "of", count), Column("rate", "Share wrong", share),
        Column("wilson", "95 % (Wilson)", bounds), Column("shrunken", "Shrunken", share),
        Column("mean_score", "Mean score", share), Column("wrong_readers", "Misled", text),
    )  # fmt: skip
    rows = tuple(
        (
            c["case"], c["truth"], c["organ"], c["size_mm"], c["size_band"], c["generator"],
            c["wrong"], c["n"], c["rate"], c["wilson"], c["shrunken"], c["mean_score"],
            " ".join(c["wrong_readers"]),
        )
        for c in results["cases"]
    )  # fmt: skip
    return Table(
        "cases", "Cases",
        "Hardest first. Wrong: readers whose verdict differs from the truth. Shrunken: the share "
        "pulled towards the mean of its arm by what chance alone explains. Mean score: positive "
        f"leans “{results['positive']}”.",
        columns, rows, "cases",
    )  # fmt: skip
