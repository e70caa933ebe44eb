"""The report of a results document, as one HTML file and as an accessible PDF (PDF/UA).

Both are written from the same tree, so that they cannot disagree, and depend on the results and
the figures alone: the same input gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from readerstudy.analysis.figures import Drawn

Format = Literal["html", "pdf"]
FORMATS: tuple[Format, ...] = ("html", "pdf")


def render(results: dict[str, Any], figures: Sequence[Drawn], form: Format) -> bytes:
    """The whole report.

    Args:
        results: a results document of this version of the engine.
        figures: its figures as drawn on white.
    """
    from .assemble import assemble

    document = assemble(results, figures)
    if form == "html":
        from .html import to_html

        return to_html(document)
    from .pdf import to_pdf

    return to_pdf(document)
