"""The report as a tree that knows nothing of HTML or PDF."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from readerstudy.analysis.figures import Drawn
from readerstudy.analysis.tables import Table

from .inline import Inline, Number, Reference, Results, fill

#: Rows of a long table that are printed; the CSV has them all.
MOST_ROWS = 24


@dataclass(frozen=True)
class Text:
    """A paragraph; ``style`` is "" or "lead" or "note"."""

    content: Inline
    style: str = ""


@dataclass(frozen=True)
class Facts:
    """Label and value, line by line."""

    rows: tuple[tuple[str, Inline], ...]


@dataclass(frozen=True)
class TableBlock:
    """A numbered table; ``shown`` limits the printed rows, ``without`` names unprinted columns."""

    label: str
    table: Table
    shown: int | None = None
    without: tuple[str, ...] = ()

    @property
    def cut(self) -> int:
        """How many rows are left to the CSV."""
        return 0 if self.shown is None else max(0, len(self.table.rows) - self.shown)


@dataclass(frozen=True)
class FigureBlock:
    """A numbered figure; ``note`` says how to read it."""

    label: str
    drawn: Drawn
    note: str = ""


@dataclass(frozen=True)
class Absent:
    """A table or figure that these data do not give, and why."""

    label: str
    title: str
    why: str


@dataclass(frozen=True)
class Check:
    """One item of a reporting checklist: where the report answers it."""

    item: str
    topic: str
    where: Inline


@dataclass(frozen=True)
class Checklist:
    name: str
    source: str
    rows: tuple[Check, ...]


@dataclass(frozen=True)
class Terms:
    """A glossary."""

    rows: tuple[tuple[str, str], ...]


Block = Text | Facts | TableBlock | FigureBlock | Absent | Checklist | Terms


@dataclass(frozen=True)
class Section:
    """``label`` is what references point to; ``level`` 1 or 2."""

    label: str
    title: str
    blocks: tuple[Block, ...]
    level: int = 1


@dataclass(frozen=True)
class Document:
    """A whole report."""

    title: str
    subtitle: str
    answer: str
    meaning: str
    sentence: str
    header: Facts
    sections: tuple[Section, ...]
    language: str = "en"

    def numbers(self) -> list[Number]:
        """Every number of the running text, in order of appearance."""
        found: list[Number] = []
        for content in self._inlines():
            found += [part for part in content if isinstance(part, Number)]
        return found

    def references(self) -> list[Reference]:
        """Every pointer of the running text."""
        return [p for content in self._inlines() for p in content if isinstance(p, Reference)]

    def _inlines(self) -> list[Inline]:
        out = [content for _, content in self.header.rows]
        for section in self.sections:
            for block in section.blocks:
                if isinstance(block, Text):
                    out.append(block.content)
                elif isinstance(block, Facts):
                    out += [content for _, content in block.rows]
                elif isinstance(block, Checklist):
                    out += [row.where for row in block.rows]
        return out


@dataclass
class Builder:
    """Collects blocks with tables and figures found by name."""

    results: Results
    tables: dict[str, Table]
    figures: dict[str, Drawn]
    labels: set[str] = field(default_factory=set)

    def say(self, template: str, style: str = "") -> Text:
        return Text(fill(template, self.results), style)

    def table(
        self,
        label: str,
        name: str,
        title: str,
        why: str,
        shown: int | None = None,
        without: tuple[str, ...] = (),
    ) -> TableBlock | Absent:
        """Table ``name`` under ``label``, or the reason why there is none."""
        self.labels.add(label)
        found = self.tables.get(name)
        return (
            Absent(label, title, why)
            if found is None
            else (TableBlock(label, found, shown, without))
        )

    def figure(
        self, label: str, name: str, title: str, why: str, note: str = ""
    ) -> FigureBlock | Absent:
        """Figure ``name`` under ``label``, or the reason why there is none."""
        self.labels.add(label)
        found = self.figures.get(name)
        return Absent(label, title, why) if found is None else FigureBlock(label, found, note)


def plain(value: Any) -> Inline:
    """A value that is not computed: a name, a hash, a time."""
    return (str(value),)
