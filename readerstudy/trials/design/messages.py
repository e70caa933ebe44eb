"""Validation errors as sentences: what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

Path = tuple[str | int, ...]


def sentences(error: ValidationError, model: type[BaseModel], data: Any) -> dict[Path, str]:
    """One sentence for each bad value, by its path, in the order of the document."""
    found: dict[Path, str] = {}
    for item in error.errors(include_url=False):
        path = tuple(item["loc"])
        found.setdefault(path, _sentence(item, path, model))
    # A misspelt key often leaves the right one missing: say the misspelling first.
    return dict(sorted(found.items(), key=lambda pair: "is not a key" not in pair[1]))


def dotted(path: Path) -> str:
    """`design.strata[2].real`: list items counted from 1, as people do."""
    text = ""
    for part in path:
        text += f"[{part + 1}]" if isinstance(part, int) else f"{'.' if text else ''}{part}"
    return text


def _sentence(item: Any, path: Path, model: type[BaseModel]) -> str:
    kind, context = item["type"], item.get("ctx") or {}
    where = f"`{dotted(path)}`" if path else "The protocol"
    shown = _shown(item.get("input"))
    if kind == "extra_forbidden":
        return _unknown_key(path, model)
    if kind == "missing":
        return f"{where} is missing; add it."
    if kind == "value_error":
        reason = str(context["error"])
        return f"{where}: {reason}." if path else f"{reason[0].upper()}{reason[1:]}."
    if kind in ("literal_error", "bool_type", "bool_parsing"):
        expected = (
            str(context.get("expected", "true or false")).replace("'", "").replace("False", "false")
        )
        return f"{where} is {shown}; use {expected}."
    limits = {
        "greater_than": ("gt", "more than"),
        "greater_than_equal": ("ge", "at least"),
        "less_than": ("lt", "less than"),
        "less_than_equal": ("le", "at most"),
    }
    if kind in limits:
        key, words = limits[kind]
        return f"{where} is {shown}; it must be {words} {context[key]:g}."
    if kind in ("too_short", "too_long"):
        limit = context.get("min_length", context.get("max_length"))
        words = "at least" if kind == "too_short" else "at most"
        return f"{where} has {context['actual_length']} entries; give {words} {limit}."
    fixed = {
        "string_too_short": "is empty; write something.",
        "string_too_long": f"is too long; keep it to {context.get('max_length')} characters.",
        "string_pattern_mismatch": f"is {shown}; use one line of plain text"
        + (" (letters, digits, space, - or _)." if path and path[-1] == "organ" else "."),
        "string_type": f"is {shown}; write it as text.",
        "finite_number": "is not a finite number; give one.",
        "int_from_float": f"is {shown}; give a whole number.",
        "tuple_type": f"is {shown}; write it as a list.",
        "model_type": f"is {shown}; write it as `key: value` pairs.",
        "model_attributes_type": f"is {shown}; write it as `key: value` pairs.",
    }
    if kind in fixed:
        return f"{where} {fixed[kind]}"
    if kind.startswith(("int_", "float_")):
        return f"{where} is {shown}; give a {'whole ' if kind.startswith('int') else ''}number."
    return f"{where} is {shown}; {item['msg'][0].lower()}{item['msg'][1:]}."


def _shown(value: Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, dict):
        return "a group of keys"
    if isinstance(value, list | tuple):
        return "a list"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"“{text if len(text) <= 40 else text[:39] + '…'}”"


def _unknown_key(path: Path, model: type[BaseModel]) -> str:
    valid = _keys_at(path[:-1], model)
    name = str(path[-1])
    near = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    advice = f"did you mean `{near[0]}`?" if near else f"valid here: {', '.join(valid)}."
    return f"`{dotted(path)}` is not a key of the protocol; {advice}"


def _keys_at(path: Path, model: type[BaseModel]) -> list[str]:
    """The keys allowed in the group at `path`."""
    current = model
    for part in path:
        if isinstance(part, int):
            continue
        field = current.model_fields.get(part)
        if field is None:
            return []
        inner = _model_in(field.annotation)
        if inner is None:
            return []
        current = inner
    return list(current.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        found = _model_in(argument)
        if found is not None:
            return found
    return None
