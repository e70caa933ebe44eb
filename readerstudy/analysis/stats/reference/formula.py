"""The few R formulas of the reference files, as columns of a trial's table."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from readerstudy.analysis.stats.types import FloatArray

_RANDOM = re.compile(r"\(1\|\w+\)")
_CENTRED = re.compile(r"\((\w+)-mean(?:\(\1\))?\)/(\d+)")
_SHORT = {"order_index": "ord"}
#: Parts of a model that are named after what they are, not after a column.
_OUTCOMES = ("correct", "verdict_synthetic", "say_synthetic", "verdict_real")


def subset(rows: pd.DataFrame, rule: str) -> pd.DataFrame:
    """Rows for which ``column==value`` holds; all rows for an empty rule."""
    column, _, value = rule.partition("==")
    return rows[rows[column.strip()] == value.strip()] if value else rows


def outcome(rows: pd.DataFrame, name: str) -> FloatArray | None:
    """Left side of a formula: a 0/1 fact about the reading, a column, or its logarithm."""
    name = name.replace(" ", "")
    facts = {
        "correct": rows["verdict"] == rows["truth"],
        "verdict_synthetic": rows["verdict"] == "synthetic",
        "say_synthetic": rows["verdict"] == "synthetic",
        "verdict_real": rows["verdict"] == "real",
    }
    if name in facts:
        return np.asarray(facts[name], dtype=np.float64)
    inside = re.fullmatch(r"log\((\w+)\)", name)
    column = inside.group(1) if inside else name
    if column not in rows or not pd.api.types.is_numeric_dtype(rows[column]):
        return None
    values = rows[column].to_numpy(dtype=np.float64)
    return np.asarray(np.log(values) if inside else values, dtype=np.float64)


def design(rows: pd.DataFrame, right: str) -> dict[str, FloatArray] | None:
    """Columns of the right side besides the intercept; None for a term not known here.

    Random effects ``(1|name)`` are passed over; a text column becomes indicators of all its
    values but the first, named as R does.
    """
    columns: dict[str, FloatArray] = {}
    for term in right.replace(" ", "").split("+"):
        if term == "1" or _RANDOM.fullmatch(term):
            continue
        centred = _CENTRED.fullmatch(term)
        if centred and centred.group(1) in rows:
            name = centred.group(1)
            x = rows[name].to_numpy(dtype=np.float64)
            columns[_SHORT.get(name, name)] = (x - x.mean()) / float(centred.group(2))
        elif term in _OUTCOMES:
            found = outcome(rows, term)
            if found is not None:
                columns["ok" if term == "correct" else term] = found
        elif term == "truth_synthetic":
            columns[term] = (rows["truth"] == "synthetic").to_numpy(dtype=np.float64)
        elif term in rows and pd.api.types.is_numeric_dtype(rows[term]):
            columns[term] = rows[term].to_numpy(dtype=np.float64)
        elif term in rows:
            for level in sorted(rows[term].unique())[1:]:
                columns[f"{term}{level}"] = (rows[term] == level).to_numpy(dtype=np.float64)
        else:
            return None
    return columns
