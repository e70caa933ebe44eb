"""The report as one HTML file that needs nothing else: style and figures are inside."""

from __future__ import annotations

import base64
from pathlib import Path

from readerstudy.standalone import style_element

from .document import Document, FigureBlock
from .tree import plain


def to_html(document: Document) -> bytes:
    """UTF-8; no script, no address of another file."""
    from django.template.loader import render_to_string

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
    style = style_element(Path(__file__).with_name("report.css"))
    return render_to_string("report/report.html", {"report": tree, "style": style}).encode()
