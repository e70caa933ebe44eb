"""The report as plain values, for the templates of HTML and Typst."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from readerstudy.analysis.tables import Cell, Table

from .document import (
    Absent,
    Block,
    Checklist,
    Document,
    Facts,
    FigureBlock,
    Section,
    TableBlock,
    Terms,
    Text,
)
from .inline import Inline, Number


class Plainer:
    """Turns a document into dictionaries and numbers its numbers from 1."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.numbers: list[dict[str, Any]] = []
        self.labels = self._labels()

    def plain(self) -> dict[str, Any]:
        document = self.document
        header = [{"label": label, "content": self._inline(c)} for label, c in document.header.rows]
        sections = [self._section(section) for section in document.sections]
        return {
            "title": document.title,
            "subtitle": document.subtitle,
            "language": document.language,
            "answer": document.answer,
            "meaning": _kept(document.meaning),
            "sentence": _kept(document.sentence),
            "header": header,
            "sections": sections,
            "numbers": self.numbers,
        }

    def _labels(self) -> dict[str, str]:
        """Every label that can be pointed to, and how it is written."""
        found = {"S-numbers": "the last section"}
        for section in self.document.sections:
            found[section.label] = f"section “{section.title}”"
            for block in section.blocks:
                if isinstance(block, TableBlock | FigureBlock | Absent):
                    found[block.label] = block.label
        return found

    def _section(self, section: Section) -> dict[str, Any]:
        return {
            "label": section.label,
            "title": section.title,
            "level": section.level,
            "blocks": [self._block(block) for block in section.blocks],
        }

    def _inline(self, content: Inline) -> list[dict[str, Any]]:
        out: list[dict[str, Any]] = []
        for part in content:
            if isinstance(part, str):
                out.append({"text": _kept(part)})
            elif isinstance(part, Number):
                index = len(self.numbers) + 1
                exact = json.dumps(part.value, ensure_ascii=False)
                self.numbers.append(
                    {"index": index, "text": part.text, "path": part.path, "value": exact}
                )
                out.append({"text": part.text, "number": index, "path": part.path})
            elif part.label in self.labels:
                out.append({"text": self.labels[part.label], "ref": part.label})
            else:
                out.append({"text": part.label})
        return out

    def _block(self, block: Block) -> dict[str, Any]:
        if isinstance(block, Text):
            return {"kind": "text", "style": block.style, "content": self._inline(block.content)}
        if isinstance(block, Facts):
            rows = [{"label": label, "content": self._inline(c)} for label, c in block.rows]
            return {"kind": "facts", "rows": rows}
        if isinstance(block, TableBlock):
            return self._table(block)
        if isinstance(block, FigureBlock):
            drawn = block.drawn
            return {
                "kind": "figure", "label": block.label, "title": drawn.title, "alt": drawn.alt,
                "name": drawn.name, "note": _kept(block.note), "width": drawn.width,
                "height": drawn.height,
            }  # fmt: skip
        if isinstance(block, Absent):
            return {"kind": "absent", "label": block.label, "title": block.title, "why": block.why}
        if isinstance(block, Checklist):
            rows = [
                {"item": c.item, "topic": c.topic, "where": self._inline(c.where)}
                for c in block.rows
            ]
            return {"kind": "checklist", "name": block.name, "source": block.source, "rows": rows}
        assert isinstance(block, Terms)  # noqa: S101  the last of the union
        terms = [{"term": term, "meaning": _kept(meaning)} for term, meaning in block.rows]
        return {"kind": "terms", "rows": terms}

    def _table(self, block: TableBlock) -> dict[str, Any]:
        table = _without(block.table, block.without)
        head = [_cell(cell) for cell in table.head()]
        body = [[_cell(cell) for cell in row] for row in table.body()[: block.shown]]
        # A column where no row says anything (no remark, no size) only takes room.
        used = [i == 0 or any(row[i]["text"] not in _NOTHING for row in body)
                for i in range(len(head))]  # fmt: skip
        note = table.note
        if block.cut:
            note += (
                f" The first {len(body)} of {len(table.rows)} rows; all of them, with every "
                f"column, stand in tables/{table.name}.csv."
            )
        return {
            "kind": "table",
            "label": block.label,
            "title": _kept(table.title),
            "note": _kept(note),
            "source": table.source,
            "head": [cell for cell, keep in zip(head, used, strict=True) if keep],
            "body": [[c for c, keep in zip(row, used, strict=True) if keep] for row in body],
        }


_NOTHING = frozenset({"–", ""})


def _cell(cell: Cell) -> dict[str, Any]:
    under = "" if cell.under in _NOTHING else cell.under
    text = "" if cell.text == "–" and not cell.is_number else cell.text
    return {"text": _kept(text), "under": _kept(under), "number": cell.is_number}


def _without(table: Table, names: tuple[str, ...]) -> Table:
    keep = [i for i, column in enumerate(table.columns) if column.key not in names]
    return replace(
        table,
        columns=tuple(table.columns[i] for i in keep),
        rows=tuple(tuple(row[i] for i in keep) for row in table.rows),
    )


def _kept(text: str) -> str:
    """A percent sign stays with its number at the end of a line."""
    return text.replace(" %", "\N{NARROW NO-BREAK SPACE}%")


def plain(document: Document) -> dict[str, Any]:
    """The document as dictionaries, lists and text."""
    return Plainer(document).plain()
