"""One look for all figures, on white and on the dark ground of the site."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 7.2  # inches: the text width of a journal page
MISSING = "not estimable"


@dataclass(frozen=True)
class Theme:
    """Colors by role. ``main`` and ``second`` also differ in lightness, for grayscale print."""

    ground: str
    text: str
    muted: str
    line: str
    band: str
    main: str
    soft: str
    second: str

    def rc(self) -> dict[str, Any]:
        """Settings of matplotlib; the hash salt makes the ids in an SVG reproducible."""
        return {
            "svg.hashsalt": "readerstudy",
            "svg.fonttype": "path",
            "font.family": "DejaVu Sans",
            "font.size": 9.0,
            "axes.titlesize": 9.5,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.labelsize": 9.0,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": self.muted,
            "axes.labelcolor": self.text,
            "axes.titlecolor": self.text,
            "axes.facecolor": self.ground,
            "figure.facecolor": self.ground,
            "savefig.facecolor": self.ground,
            "text.color": self.text,
            "xtick.color": self.muted,
            "ytick.color": self.muted,
            "xtick.labelcolor": self.text,
            "ytick.labelcolor": self.text,
            "xtick.labelsize": 8.5,
            "ytick.labelsize": 8.5,
            "grid.color": self.line,
            "grid.linewidth": 0.6,
            "legend.frameon": False,
            "legend.fontsize": 8.5,
            "lines.solid_capstyle": "butt",
        }


LIGHT = Theme(
    ground="#ffffff", text="#16191d", muted="#5b6570", line="#dfe3e8", band="#e9edf2",
    main="#0b5c8f", soft="#8fb4cc", second="#b4540a",
)  # fmt: skip
DARK = Theme(
    ground="#161b22", text="#e6ebf1", muted="#9aa7b5", line="#2d3641", band="#252e39",
    main="#7fd0ea", soft="#4a7488", second="#e9b35c",
)  # fmt: skip


def figure(height: float, width: float = WIDTH) -> Figure:
    """A figure of ``width`` x ``height`` inches that no global state knows of."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def unit_axis(axes: Axes, low: float, high: float) -> None:
    """A horizontal axis of shares, ticked at tenths, or at fifths when it is long."""
    from matplotlib.ticker import FormatStrFormatter, MultipleLocator

    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(MultipleLocator(0.1 if high - low <= 0.85 else 0.2))
    axes.xaxis.set_major_formatter(FormatStrFormatter("%.1f"))
    axes.grid(axis="x")
    axes.set_axisbelow(True)


def clipped(interval: list[float]) -> tuple[float, float]:
    """An interval as drawn: shares end at 0 and 1."""
    return max(0.0, interval[0]), min(1.0, interval[1])


def interval_text(estimate: float | None, interval: list[float] | None) -> str:
    """``0.67  0.61 to 0.73``."""
    if estimate is None:
        return MISSING
    if interval is None:
        return f"{estimate:.2f}"
    low, high = clipped(interval)
    return f"{estimate:.2f}  ({low:.2f} to {high:.2f})"


def side_text(
    axes: Axes, y: float, text: str, theme: Theme, *, bold: bool = False, right_edge: float = 0.0
) -> None:
    """Text beside a row, right of the plotting area; ``right_edge`` in points aligns a column."""
    axes.annotate(
        text, (1.0, y), xycoords=("axes fraction", "data"), xytext=(right_edge or 8, 0),
        textcoords="offset points", va="center", ha="right" if right_edge else "left", fontsize=8.5,
        color=theme.text, fontweight="bold" if bold else "normal", annotation_clip=False,
    )  # fmt: skip


def plain_rows(axes: Axes) -> None:
    """No left spine and no ticks: rows of a table, not an axis."""
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def on_shade(shade: tuple[float, ...]) -> str:
    """Black or white, whichever reads better on ``shade`` (WCAG relative luminance)."""
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in shade]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if luminance > 0.179 else "#ffffff"
