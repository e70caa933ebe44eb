"""Running text whose every number knows where it comes from.

A template holds ``{path|format}``: the value at ``path`` in the results document, written in that
format. ``{@T4}`` points to a table or figure. What comes out is a tuple of plain strings, numbers
and references, which each output format writes in its own way.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from readerstudy.analysis import tables

Results = dict[str, Any]
NARROW = "\N{NARROW NO-BREAK SPACE}"
_FIELD = re.compile(r"\{(@?)([^{}|]+)(?:\|(\w+))?\}")


@dataclass(frozen=True)
class Number:
    """A number in the text, and the place of its unrounded value in results.json."""

    text: str
    path: str
    value: Any


@dataclass(frozen=True)
class Reference:
    """A pointer to a table, a figure or a section, by its label."""

    label: str


Inline = tuple["str | Number | Reference", ...]


def _plain(value: Any) -> str:
    return "not estimable" if value is None else f"{value}"


def _whole(value: Any) -> str:
    """Thousands apart from five digits up, as journals do."""
    if value is None:
        return "not known"
    return f"{value}" if value < 10_000 else f"{value:,}".replace(",", NARROW)


def _percent(value: Any) -> str:
    return "not estimable" if value is None else f"{100 * value:.1f}{NARROW}%"


def _p(value: Any) -> str:
    if value is None:
        return "p not estimable"
    text = "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def _or_words(show: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: "not estimable" if value is None else show(value)


FORMATS: dict[str, Callable[[Any], str]] = {
    "text": _plain,
    "n": _whole,
    "share": _or_words(tables.share),
    "percent": _percent,
    "p": _p,
    "range": _or_words(tables.bounds),
    "percents": _or_words(
        lambda value: f"{_percent(max(0.0, value[0]))[:-2]} to {_percent(min(1.0, value[1]))}"
    ),
    "open": _or_words(tables.open_bounds),
    "df": lambda value: "infinite" if value is None else f"{value:.1f}",
    "two": _or_words(lambda value: f"{value:z.2f}".replace("-", "−")),
    "g": _or_words(lambda value: f"{value:g}"),
    "seconds": _or_words(tables.seconds),
}


def lookup(results: Results, path: str) -> Any:
    """The value at a dotted path; list positions are numbers from 0.

    Raises:
        KeyError: nothing stands there (a defect of the template).
    """
    here: Any = results
    for part in path.split("."):
        try:
            here = here[int(part)] if isinstance(here, list) else here[part]
        except (KeyError, IndexError, TypeError, ValueError):
            raise KeyError(f"no value at {path!r} in the results") from None
    return here


def fill(template: str, results: Results) -> Inline:
    """Resolve every field of a template."""
    parts: list[str | Number | Reference] = []
    at = 0
    for field in _FIELD.finditer(template):
        if field.start() > at:
            parts.append(template[at : field.start()])
        pointer, path, form = field.groups()
        if pointer:
            parts.append(Reference(path))
        else:
            value = lookup(results, path)
            parts.append(Number(FORMATS[form or "text"](value), path, value))
        at = field.end()
    if at < len(template):
        parts.append(template[at:])
    return tuple(parts)


def to_text(inline: Inline) -> str:
    """The same without links."""
    return "".join(
        part if isinstance(part, str) else part.text if isinstance(part, Number) else part.label
        for part in inline
    )
