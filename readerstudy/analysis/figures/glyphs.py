"""Characters that the fonts at hand can show.

A name may hold any character. One without a glyph would be an empty box in a figure, and a page of
PDF/UA refuses to be written with it; it is written as its number (``U+674E``) instead, so that two
names stay two names.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any


def wide_font() -> Path:
    """DejaVu Sans, which comes with Matplotlib: Greek, Cyrillic, Arabic, Hebrew, symbols."""
    from matplotlib import get_data_path

    return Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


@cache
def _known() -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(str(wide_font())).get_charmap())


def showable(text: str) -> str:
    """The text with every character that no font has written as its number."""
    if text.isascii():
        return text
    known = _known()
    return "".join(c if c.isascii() or ord(c) in known else f"U+{ord(c):04X}" for c in text)


def showable_values(value: Any) -> Any:
    """The same for every text in a JSON value; keys, which are the engine's own, stay."""
    if isinstance(value, str):
        return showable(value)
    if isinstance(value, dict):
        return {key: showable_values(own) for key, own in value.items()}
    if isinstance(value, list):
        return [showable_values(own) for own in value]
    return value
