"""The report as one HTML file that needs nothing else: style and figures are inside."""

from __future__ import annotations

import base64
from pathlib import Path

from .document import Document, FigureBlock
from .tree import plain


def to_html(document: Document) -> bytes:
    """UTF-8; no script, no address of another file."""
    from django.template.loader import render_to_string
    from django.utils.html import format_html

    images = {
        block.drawn.name: "data:image/svg+xml;base64,"
        + base64.b64encode(block.drawn.files[f"{block.drawn.name}.svg"]).decode()
        for section in document.sections
        for block in section.blocks
        if isinstance(block, FigureBlock)
    }
    tree = plain(document)
    for section in tree["sections"]:
        for block in section["blocks"]:
            if block["kind"] == "figure":
                block["image"] = images[block["name"]]
    css = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    # Our own file; as an element's content a style sheet must not be escaped.
    style = format_html("<style>{}</style>", Css(css))
    return render_to_string("report/report.html", {"report": tree, "style": style}).encode()


class Css(str):
    """Text of our own style sheet, which holds neither input nor markup."""

    __slots__ = ()

    def __html__(self) -> str:
        return str(self)
