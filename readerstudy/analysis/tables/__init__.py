"""Tables of a results document: one definition for the page, the CSV, the bundle and the report."""

from __future__ import annotations

from . import accuracy, compare, course, groups, machines, study
from .cells import (
    MISSING,
    Cell,
    Column,
    Results,
    Table,
    balanced,
    bounds,
    count,
    degrees,
    millimetres,
    open_bounds,
    p_value,
    seconds,
    share,
    text,
)

__all__ = [
    "MISSING",
    "Cell",
    "Column",
    "Results",
    "Table",
    "all_tables",
    "balanced",
    "bounds",
    "count",
    "degrees",
    "millimetres",
    "open_bounds",
    "p_value",
    "seconds",
    "share",
    "text",
]


def all_tables(results: Results) -> dict[str, Table]:
    """Every table that the data allow, by name, in the order of the page."""
    made = _of_modalities(results) if results["layout"] == "mrmc" else _of_verdicts(results)
    return {table.name: table for table in made if table.rows}


def _of_verdicts(results: Results) -> list[Table]:
    found = [
        accuracy.endpoints(results),
        accuracy.detection(results),
        accuracy.readers(results),
        accuracy.pooled(results),
        groups.fool_rate(results),
        groups.subgroups(results),
        groups.heterogeneity(results),
        accuracy.methods(results),
        accuracy.sensitivity(results),
        compare.components(results),
        study.readers_described(results),
        study.cases_described(results),
        study.flow(results),
        study.missing(results),
        course.agreement(results),
        course.pairwise(results),
        course.confidence(results),
        course.trends(results),
        compare.precision(results),
        groups.cases(results),
    ]
    for key, make in (
        ("generators", (compare.means, compare.comparison)),
        ("intra_reader", (course.intra_reader,)),
        ("order", (course.order,)),
        ("response_time", (course.response_time,)),
        ("calibration", (course.calibration,)),
    ):
        if results[key]:
            found += [one(results) for one in make]
    if results.get("machine_cards"):
        found.append(machines.trained(results))
    if results.get("machines"):
        found += [machines.machines(results), machines.versus(results)]
    return found


def _of_modalities(results: Results) -> list[Table]:
    found = [
        compare.condition_readers(results),
        compare.condition_methods(results),
        compare.components(results),
        study.flow(results),
    ]
    if results["comparison"]:
        found += [compare.means(results), compare.comparison(results)]
    if results["precision"]:
        found.append(compare.precision(results))
    return found
