"""Tables of a results document: one definition for the page, the CSV, the bundle and the report."""

from __future__ import annotations

from . import accuracy, groups
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
    made = (
        accuracy.endpoints(results),
        accuracy.detection(results),
        accuracy.readers(results),
        accuracy.pooled(results),
        groups.fool_rate(results),
        groups.subgroups(results),
        accuracy.methods(results),
        groups.cases(results),
    )
    return {table.name: table for table in made}
