"""Tables of a form whose rows can be added and removed in the browser.

Each column is a repeated input (`strata-organ` as often as there are rows), so that no row numbers
have to be kept in step; rows that are wholly empty are dropped.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Column:
    name: str
    label: str
    kind: str = "text"  # text, number (decimal) or count (whole)
    suggestions: str = ""  # id of a <datalist>

    def value(self, text: str) -> Any:
        """The typed value; text that is no number stays text, for the schema to name it."""
        text = text.strip()
        if self.kind == "text":
            return text
        try:
            return int(text) if self.kind == "count" else float(text)
        except ValueError:
            return text or None


@dataclass
class Cell:
    column: Column
    name: str
    text: str
    error: str = ""


@dataclass
class Rows:
    """The rows of one table: as typed, and with their errors once checked."""

    prefix: str
    columns: tuple[Column, ...]
    add: str
    title: str = ""
    cells: list[list[Cell]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @classmethod
    def posted(
        cls, prefix: str, columns: tuple[Column, ...], add: str, title: str, data: Any
    ) -> Rows:
        lists = [data.getlist(f"{prefix}-{column.name}") for column in columns]
        rows = cls(prefix, columns, add, title)
        for index in range(max(map(len, lists), default=0)):
            texts = [values[index].strip() if index < len(values) else "" for values in lists]
            if any(texts):
                rows.append(texts)
        return rows

    @classmethod
    def filled(
        cls,
        prefix: str,
        columns: tuple[Column, ...],
        add: str,
        title: str,
        values: list[dict[str, Any]],
    ) -> Rows:
        rows = cls(prefix, columns, add, title)
        for value in values:
            rows.append([_text(value.get(column.name)) for column in columns])
        return rows

    def append(self, texts: list[str]) -> None:
        self.cells.append(
            [
                Cell(column, f"{self.prefix}-{column.name}", text)
                for column, text in zip(self.columns, texts, strict=True)
            ]
        )

    @property
    def has_errors(self) -> bool:
        return bool(self.errors) or any(cell.error for row in self.cells for cell in row)

    @property
    def long(self) -> bool:
        """Whether the table would fill the screen and starts folded."""
        return len(self.cells) > 12 and self.title != ""

    @property
    def blank(self) -> list[Cell]:
        """The cells of a new row, for the browser to copy."""
        return [Cell(column, f"{self.prefix}-{column.name}", "") for column in self.columns]

    def values(self) -> list[dict[str, Any]]:
        return [
            {cell.column.name: cell.column.value(cell.text) for cell in row} for row in self.cells
        ]

    def add_error(self, row: int | None, column: str | None, sentence: str) -> None:
        if row is not None and row < len(self.cells):
            for cell in self.cells[row]:
                if cell.column.name == column:
                    cell.error = sentence
                    return
        self.errors.append(sentence)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)
