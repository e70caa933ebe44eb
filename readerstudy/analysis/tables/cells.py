"""What every table is made of: columns, cells, and how a value is written.

A cell holds the raw value; how it is rounded on the page belongs to the column, so a printed
number is always the exported one, rounded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isinf
from typing import Any

from readerstudy.analysis import csvtext

Results = dict[str, Any]
MISSING = "–"


def count(value: Any) -> str:
    return MISSING if value is None else f"{value:g}"


def text(value: Any) -> str:
    return MISSING if value is None or value == "" else str(value)


def share(value: Any) -> str:
    """Three decimals with a true minus sign, which zero never has."""
    return MISSING if value is None else f"{value:z.3f}".replace("-", "−")


def seconds(value: Any) -> str:
    return MISSING if value is None else f"{value:.1f}"


def millimetres(value: Any) -> str:
    return MISSING if value is None else f"{value:.1f}"


def degrees(value: Any) -> str:
    """Degrees of freedom; infinite ones stand for the normal distribution."""
    if value is None:
        return MISSING
    return "∞" if isinf(value) else f"{value:.1f}"


def p_value(value: Any) -> str:
    if value is None:
        return MISSING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def bounds(value: Any) -> str:
    """An interval of a share, drawn within 0 and 1."""
    if value is None:
        return MISSING
    return f"{max(0.0, value[0]):.3f} to {min(1.0, value[1]):.3f}"


def open_bounds(value: Any) -> str:
    """An interval of a statistic without natural ends."""
    if value is None:
        return MISSING
    return f"{value[0]:z.3f} to {value[1]:z.3f}".replace("-", "−")


@dataclass(frozen=True)
class Column:
    """``key`` heads the column in the CSV, ``label`` on the page; intervals become two columns.

    ``under``: on the page the value stands in small print under the column before it.
    """

    key: str
    label: str
    show: Callable[[Any], str]
    under: bool = False

    @property
    def is_interval(self) -> bool:
        return self.show in (bounds, open_bounds)

    @property
    def is_number(self) -> bool:
        return self.show is not text


@dataclass
class Cell:
    """One cell of the page: the value and what stands under it."""

    text: str
    is_number: bool
    under: str = ""


@dataclass(frozen=True)
class Table:
    """One table: ``rows`` are raw values in the order of ``columns``.

    ``source``: where in results.json the values stand.
    """

    name: str
    title: str
    note: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    source: str = ""

    def head(self) -> list[Cell]:
        """Headings of the page."""
        return self._cells([column.label for column in self.columns])

    def body(self) -> list[list[Cell]]:
        """Formatted rows of the page."""
        return [
            self._cells([c.show(value) for c, value in zip(self.columns, row, strict=True)])
            for row in self.rows
        ]

    def _cells(self, texts: list[str]) -> list[Cell]:
        cells: list[Cell] = []
        for column, shown in zip(self.columns, texts, strict=True):
            if column.under:
                cells[-1].under = shown
            else:
                cells.append(Cell(shown, column.is_number))
        return cells

    def csv(self) -> bytes:
        """All columns, unrounded."""
        header: list[str] = []
        for column in self.columns:
            header += (
                [f"{column.key}_low", f"{column.key}_high"] if column.is_interval else [column.key]
            )
        lines = []
        for row in self.rows:
            line: list[Any] = []
            for column, value in zip(self.columns, row, strict=True):
                line += (value or [None, None]) if column.is_interval else [value]
            lines.append(line)
        return csvtext.table(header, lines)


# ---------------------------------------------------------------------------------------- words


def df_of(done: dict[str, Any]) -> float | None:
    """Degrees of freedom of an inference: infinite for the normal one, None where there is none."""
    if done["df"] is not None:
        return float(done["df"])
    return inf if done["ci95"] is not None else None


def balanced(results: Results) -> bool:
    """Whether both classes have as many cases, so that guessing gives an accuracy of 0.5."""
    same: bool = results["data"]["n_positive"] == results["data"]["n_negative"]
    return same


def positive_note(results: Results) -> str:
    return f"Positive class: {results['positive']}."


def capital(value: str) -> str:
    return value[:1].upper() + value[1:]


def endpoint_name(endpoint: dict[str, Any], key: str, results: Results) -> str:
    positive, negative = results["positive"], results["negative"]
    meaning = {
        "sensitivity": f" ({positive} called {positive})",
        "specificity": f" ({negative} called {negative})",
        "fool_rate": " (synthetic called real)",
        "auc": " (of the confidence ratings)",
        "balanced_accuracy": " (AUC of the verdicts)",
    }
    return capital(endpoint["label"]) + meaning.get(key, "")


def rate_name(key: str, results: Results) -> str:
    positive, negative = results["positive"], results["negative"]
    return {
        "sensitivity": f"Sensitivity ({positive} called {positive})",
        "specificity": f"Specificity ({negative} called {negative})",
        "accuracy": "Accuracy",
        "ppv": f"PPV (called {positive} and is)",
        "npv": f"NPV (called {negative} and is)",
        "fool_rate": "Fool rate (synthetic called real)",
        "said_positive": f"Said “{positive}”",
    }[key]
