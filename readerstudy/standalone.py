"""Pages that are one file: everything they show is inside them."""

from __future__ import annotations

from pathlib import Path

from django.utils.html import format_html
from django.utils.safestring import SafeString


class _Css(str):
    """Text of our own style sheet, which holds neither input nor markup."""

    __slots__ = ()

    def __html__(self) -> str:
        return str(self)


def style_element(path: Path) -> SafeString:
    """A style sheet of ours as an element; as its content the text must not be escaped."""
    return format_html("<style>{}</style>", _Css(path.read_text(encoding="utf-8")))
