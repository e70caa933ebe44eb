"""Figures of a results document, as deterministic SVG and PNG.

Drawn from ``results.json`` alone, so that a file and a trial give the same figures. Each is drawn
twice: on white for paper and downloads, on the ground of the site for the screen. Meaning is
carried by position, shape and line style, never by color alone.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .style import DARK, LIGHT, Theme

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Results = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """One figure of the report: how to draw it and how to say it in words."""

    name: str
    title: str
    draw: Callable[[Results, Theme], Figure | None]
    describe: Callable[[Results], str]


@dataclass(frozen=True)
class Drawn:
    """The files of one figure: NAME.svg and NAME.png on white, NAME.screen.svg on dark."""

    name: str
    title: str
    alt: str
    files: dict[str, bytes]
    width: int
    height: int


def kinds() -> tuple[Kind, ...]:
    """All figures in the order of the report."""
    from . import (
        agreement,
        bias,
        cases,
        confidence,
        confusion,
        course,
        equivalence,
        flow,
        foolrate,
        forest,
        roc,
    )

    return (
        Kind("equivalence", "Estimate against the equivalence range", equivalence.draw,
             equivalence.describe),
        Kind("forest", "Each reader and all readers", forest.draw, forest.describe),
        Kind("roc", "ROC curves", roc.draw, roc.describe),
        Kind("confusion", "Verdict against truth", confusion.draw, confusion.describe),
        Kind("fool_rate", "Synthetic tumors called real", foolrate.draw, foolrate.describe),
        Kind("bias", "Sensitivity to the difference, and leaning", bias.draw, bias.describe),
        Kind("cases", "Cases by share of wrong verdicts", cases.draw, cases.describe),
        Kind("flow", "Flow of readings", flow.draw, flow.describe),
        Kind("order", "Accuracy over the order of reading", course.draw_order,
             course.describe_order),
        Kind("response_time", "Response times", course.draw_times, course.describe_times),
        Kind("agreement", "Agreement of every two readers", agreement.draw, agreement.describe),
        Kind("confidence", "Confidence: used, and justified", confidence.draw,
             confidence.describe),
    )  # fmt: skip


def modality_kinds() -> tuple[Kind, ...]:
    """The figures of a study of ratings without verdicts."""
    from . import flow, modalities

    return (
        Kind("differences", "Differences between modalities", modalities.draw_differences,
             modalities.describe_differences),
        Kind("means", "Each modality", modalities.draw_means, modalities.describe_means),
        Kind("roc", "ROC curves", modalities.draw_roc, modalities.describe_roc),
        Kind("flow", "Flow of readings", flow.draw, flow.describe),
    )  # fmt: skip


def kinds_of(results: Results) -> tuple[Kind, ...]:
    """The figures that a results document of this layout can have."""
    return modality_kinds() if results["layout"] == "mrmc" else kinds()


def draw_all(results: Results, *, screen: bool = True) -> Iterator[Drawn]:
    """Draw every figure that the data allow; ``screen`` adds the one on a dark ground."""
    for kind in kinds_of(results):
        drawn = draw(kind, results, screen=screen)
        if drawn is not None:
            yield drawn


def draw(kind: Kind, results: Results, *, screen: bool = True) -> Drawn | None:
    """One figure with its files, or None where the data do not allow it."""
    import matplotlib as mpl

    from .glyphs import showable_values

    drawable = showable_values(results)
    themes: list[tuple[Theme, tuple[str, ...]]] = [(LIGHT, (".svg", ".png"))]
    if screen:
        themes.append((DARK, (".screen.svg",)))
    files: dict[str, bytes] = {}
    size = (0, 0)
    for theme, suffixes in themes:
        with mpl.rc_context(theme.rc()):
            figure = kind.draw(drawable, theme)
            if figure is None:
                return None
            width, height = figure.get_size_inches()
            size = round(width * 96), round(height * 96)
            for suffix in suffixes:
                files[kind.name + suffix] = _saved(figure, suffix)
                # The layout stands after the first drawing; finding it is half the time.
                figure.set_layout_engine("none")
    return Drawn(kind.name, kind.title, kind.describe(results), files, *size)


def _saved(figure: Figure, suffix: str) -> bytes:
    """Bytes that depend on the drawing alone: no date, no software version, no random ids."""
    out = io.BytesIO()
    if suffix.endswith(".svg"):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    else:
        figure.savefig(out, format="png", dpi=200, metadata={"Software": None})
    return out.getvalue()
