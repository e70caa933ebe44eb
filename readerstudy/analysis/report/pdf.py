"""The report as PDF/UA by Typst: tagged, with alternative texts, without a network."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from readerstudy.analysis.figures.glyphs import showable, wide_font

from .document import Document, FigureBlock
from .tree import plain

TEMPLATE = Path(__file__).with_name("report.typ")


def to_pdf(document: Document) -> bytes:
    """The same bytes for the same document: no date, no system fonts."""
    import typst

    with tempfile.TemporaryDirectory(prefix="readerstudy-report-") as name:
        folder = Path(name)
        for section in document.sections:
            for block in section.blocks:
                if isinstance(block, FigureBlock):
                    file = f"{block.drawn.name}.svg"
                    (folder / file).write_bytes(block.drawn.files[file])
        words = json.dumps(plain(document), ensure_ascii=False)
        (folder / "report.json").write_text(showable(words), encoding="utf-8")
        (folder / "report.typ").write_bytes(TEMPLATE.read_bytes())
        compiler = typst.Compiler(
            str(folder / "report.typ"), root=str(folder), ignore_system_fonts=True,
            font_paths=[str(wide_font().parent)],
        )  # fmt: skip
        made = compiler.compile(
            format="pdf", pdf_standards=["ua-1"], timestamp=datetime(1980, 1, 1, tzinfo=UTC)
        )
    assert isinstance(made, bytes)  # noqa: S101  one PDF, not pages
    return made
