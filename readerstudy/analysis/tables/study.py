"""Who read what: readers, cases, readings, and what is missing."""

from __future__ import annotations

from collections import Counter
from typing import Any

from .cells import Column, Results, Table, capital, count, millimetres, text


def readers_described(results: Results) -> Table:
    """T1: the readers by their codes."""
    columns = (
        Column("reader", "Reader", text), Column("experience_years", "Experience, years", count),
        Column("n_positive", f"{capital(results['positive'])} cases read", count),
        Column("n_negative", f"{capital(results['negative'])} cases read", count),
        Column("n_repeats", "Repeats", count),
    )  # fmt: skip
    years = {row["reader"]: row["experience_years"] for row in results["readers"]}
    rows = tuple(
        (r["reader"], years.get(r["reader"]), r["n_positive"], r["n_negative"], r["n_repeats"])
        for r in results["data"]["by_reader"]
    )
    return Table(
        "readers_described", "Readers",
        "Readers appear by their code alone; years of experience as they stated them.",
        columns, rows, "data.by_reader",
    )  # fmt: skip


def cases_described(results: Results) -> Table:
    """T2: cases by truth, organ, size and generator."""
    columns = (
        Column("truth", "Truth", text), Column("organ", "Organ", text),
        Column("size_band", "Size band", text), Column("generator", "Generator", text),
        Column("n_cases", "Cases", count), Column("median_mm", "Median size, mm", millimetres),
        Column("smallest_mm", "Smallest, mm", millimetres),
        Column("largest_mm", "Largest, mm", millimetres),
    )  # fmt: skip
    groups: dict[tuple[str, str, str, str], list[Any]] = {}
    for case in results["cases"]:
        key = (case["truth"], case["organ"], case["size_band"], case["generator"])
        groups.setdefault(key, []).append(case["size_mm"])
    bands = [band["label"] for band in results["plan"]["size_bands"]]
    rank = {label: i for i, label in enumerate(bands)}
    order = sorted(
        groups, key=lambda k: (k[0] != results["positive"], k[1], rank.get(k[2], len(rank)), k)
    )
    rows = []
    for key in order:
        known = sorted(size for size in groups[key] if size is not None)
        sizes = (_median(known), known[0], known[-1]) if known else (None, None, None)
        rows.append((*key, len(groups[key]), *sizes))
    return Table(
        "cases_described", "Cases",
        "Size: diameter of the lesion as the table or trial gives it.",
        columns, tuple(rows), "cases",
    )  # fmt: skip


def _median(values: list[float]) -> float:
    middle = len(values) // 2
    if len(values) % 2:
        return float(values[middle])
    return float((values[middle - 1] + values[middle]) / 2)


def flow(results: Results) -> Table:
    """T3: from what was to be read to what was analysed."""
    columns = (Column("step", "Step", text), Column("n", "Number", count))
    rows = tuple((label, number) for label, number in flow_steps(results) if number is not None)
    return Table(
        "flow", "Flow of readings",
        "The analysis set holds the first reading of each reader and case. Practice never enters; "
        "repeats enter the agreement of a reader with herself and nothing else.",
        columns, rows, "data",
    )  # fmt: skip


def flow_steps(results: Results) -> list[tuple[str, int | None]]:
    """(step, count) of the flow, for the table and the diagram."""
    data = results["data"]
    steps: list[tuple[str, int | None]] = [("Readers", data["n_readers"])]
    product = "readers × cases"
    if data.get("n_modalities", 1) > 1:
        steps.append(("Modalities", data["n_modalities"]))
        product += " × modalities"
    steps += [
        (f"{capital(results['positive'])} cases", data["n_positive"]),
        (f"{capital(results['negative'])} cases", data["n_negative"]),
        (f"Possible first readings ({product})", data["n_possible"]),
        ("Missing first readings", data["n_missing"]),
        ("First readings analysed", data["n_readings"]),
        ("Repeat readings, for agreement only", data["n_repeats"]),
    ]
    own = results.get("flow")
    if own:
        steps += [
            ("Readings assigned by the protocol", own["assigned"]),
            ("Readings answered", own["answered"]),
            ("Practice readings, not analysed", own["practice"]),
        ]
    return steps


def missing(results: Results) -> Table:
    """T14: missing readings by reader."""
    columns = (
        Column("reader", "Reader", text), Column("n_read", "Cases read", count),
        Column("n_missing", "Cases missing", count),
    )  # fmt: skip
    rows = tuple(
        (r["reader"], r["n_positive"] + r["n_negative"], r["n_missing"])
        for r in results["data"]["by_reader"]
        if r["n_missing"]
    )
    absent = Counter(bool(r["n_missing"]) for r in results["data"]["by_reader"])[True]
    return Table(
        "missing", "Missing readings",
        f"{absent} of {results['data']['n_readers']} readers have gaps; each reader's values rest "
        "on the cases that reader answered, and readers count alike.",
        columns, rows, "data.by_reader",
    )  # fmt: skip
