"""Verdict against truth: all readings pooled, and a small table for each reader."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

from .style import WIDTH, Theme, figure, on_shade

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_READERS = 24
MOST_COLUMNS = 6


def draw(results: dict[str, Any], theme: Theme) -> Figure | None:
    from matplotlib.gridspec import GridSpecFromSubplotSpec

    table = results["pooled"]["table"]
    readers = results["readers"] if len(results["readers"]) <= MOST_READERS else []
    rows = ceil(len(readers) / MOST_COLUMNS)
    columns = max(4, ceil(len(readers) / rows)) if rows else 1
    # With three rows of small tables the words under the big one stand beside them, not below.
    below = 0.55 if rows < 3 else 0.1
    height = max(2.9, below + 0.25 + 1.1 * rows)
    fig = figure(height, WIDTH if readers else 3.2)
    fig.set_layout_engine("none")
    grid = fig.add_gridspec(
        1, 2 if readers else 1, width_ratios=[2.1, 4.9] if readers else None,
        left=0.135 if readers else 0.3, right=0.985, top=1 - 0.42 / height,
        bottom=below / height, wspace=0.09,
    )  # fmt: skip
    # The big table keeps its shape however many rows of small ones stand beside it.
    inner = GridSpecFromSubplotSpec(
        2, 1, grid[0, 0], height_ratios=[1.9, max(0.01, height - 0.42 - below - 1.9)], hspace=0
    )
    _matrix(fig.add_subplot(inner[0, 0]), table, results, theme, small=False)
    if readers:
        small = GridSpecFromSubplotSpec(rows, columns, grid[0, 1], wspace=0.12, hspace=0.42)
        for i, reader in enumerate(readers):
            axes = fig.add_subplot(small[i // columns, i % columns])
            axes.set_box_aspect(1)
            axes.set_anchor("NW")
            _matrix(axes, reader["table"], results, theme, small=True)
            axes.set_title(reader["reader"], fontsize=8, pad=2)
    return fig


def _matrix(
    axes: Axes, table: dict[str, Any], results: dict[str, Any], theme: Theme, *, small: bool
) -> None:
    """Rows: truth. Columns: verdict. Shade: share of the row."""
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Rectangle

    counts = [[table["tp"], table["fn"]], [table["fp"], table["tn"]]]
    ground, ink = to_rgb(theme.ground), to_rgb(theme.main)
    axes.set(xlim=(0, 2), ylim=(2, 0))
    for y, row in enumerate(counts):
        total = sum(row)
        for x, count in enumerate(row):
            share = count / total if total else 0.0
            depth = 0.06 + 0.62 * share
            shade = tuple(g + (i - g) * depth for g, i in zip(ground, ink, strict=True))
            axes.add_patch(Rectangle((x, y), 1, 1, facecolor=shade, edgecolor=theme.ground, lw=1.5))
            axes.text(
                x + 0.5, y + (0.5 if small else 0.42), str(count), ha="center", va="center",
                fontsize=7.5 if small else 12, color=on_shade(shade),
                fontweight="normal" if small else "bold",
            )  # fmt: skip
            if not small and total:
                axes.text(x + 0.5, y + 0.72, f"{share:.1%}".replace("%", " %"), ha="center",
                          va="center", fontsize=8, color=on_shade(shade))  # fmt: skip
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    if small:
        axes.set_xticks([])
        axes.set_yticks([])
        return
    names = [results["positive"], results["negative"]]
    axes.set_xticks([0.5, 1.5], [f"“{name}”" for name in names])
    axes.set_yticks([0.5, 1.5], names)
    axes.set_ylabel("Truth")
    axes.set_xlabel("Verdict")
    axes.set_title(f"All {sum(map(sum, counts))} readings", pad=4)


def describe(results: dict[str, Any]) -> str:
    t = results["pooled"]["table"]
    positive, negative = results["positive"], results["negative"]
    return (
        f"Verdict against truth over all readings: {positive} called {positive} {t['tp']}, "
        f"{positive} called {negative} {t['fn']}, {negative} called {positive} {t['fp']}, "
        f"{negative} called {negative} {t['tn']}; and the same table for each reader."
    )
