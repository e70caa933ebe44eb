"""Results as plain JSON values; refuses NaN and infinity, which JSON has no word for."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

JSON = dict[str, Any] | list[Any] | str | int | float | bool | None


def to_json(value: Any) -> Any:
    """Dataclasses to objects, tuples and arrays to lists, numpy scalars to Python scalars.

    Raises:
        ValueError: a float is NaN or infinite (a statistic without a reason: a defect here).
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return [to_json(item) for item in value.tolist()]
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, np.generic):
        return to_json(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a result is NaN or infinite and carries no reason")
    return value


def dumps(value: Any) -> str:
    """Canonical text: two-space indent, keys in the order given, newline at the end."""
    return json.dumps(to_json(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def same(one: Any, other: Any, rtol: float = 1e-9) -> bool:
    """Whether two documents hold the same values, numbers up to ``rtol``.

    Linear algebra rounds differently on other processors, so the last digits of a document made
    elsewhere may differ.
    """
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[k], other[k], rtol) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(a, b, rtol) for a, b in zip(one, other))
    if type(one) is float and type(other) is float:
        return math.isclose(one, other, rel_tol=rtol, abs_tol=rtol)
    return bool(one == other)
