"""How confidence was used and what it was worth: histogram, accuracy by level, reliability."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .style import Theme, clipped, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(results: dict[str, Any], theme: Theme) -> Figure | None:
    levels = results["confidence"]["levels"]
    bins = _bins(results)
    if not 2 <= len(levels) <= 20:
        return None
    fig = figure(3.1)
    panels = fig.subplots(1, 3 if bins else 2)
    _histogram(panels[0], levels, theme)
    _accuracy(panels[1], levels, theme)
    if bins:
        _reliability(panels[2], bins, results, theme)
    return fig


def _bins(results: dict[str, Any]) -> list[dict[str, Any]]:
    own = results["calibration"]
    return [b for b in own["bins"] if b["n"] and b["mean_p"] is not None] if own else []


def _histogram(axes: Axes, levels: list[dict[str, Any]], theme: Theme) -> None:
    x = range(len(levels))
    axes.bar(x, [row["n"] for row in levels], color=theme.soft, edgecolor=theme.main, width=0.8)
    axes.set_xticks(list(x), [f"{row['level']:g}" for row in levels])
    axes.set_title("Ratings given")
    axes.set_xlabel("Confidence")
    axes.set_ylabel("Readings")


def _accuracy(axes: Axes, levels: list[dict[str, Any]], theme: Theme) -> None:
    axes.axhline(0.5, color=theme.muted, lw=1, ls=(0, (4, 3)))
    for x, row in enumerate(levels):
        if row["ci95"] is not None:
            axes.plot((x, x), clipped(row["ci95"]), color=theme.main, lw=1.6)
        if row["mean"] is not None:
            axes.plot(x, row["mean"], "o", color=theme.main, ms=5.5)
    axes.set_xticks(range(len(levels)), [f"{row['level']:g}" for row in levels])
    axes.set(ylim=(0, 1.02), xlim=(-0.6, len(levels) - 0.4))
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.set_title("How often right")
    axes.set_xlabel("Confidence")
    axes.set_ylabel("Accuracy")


def _reliability(
    axes: Axes, bins: list[dict[str, Any]], results: dict[str, Any], theme: Theme
) -> None:
    axes.plot((0, 1), (0, 1), color=theme.muted, lw=1, ls=(0, (4, 3)))
    axes.plot([b["mean_p"] for b in bins], [b["rate"]["estimate"] for b in bins], "o-", lw=1.2,
              color=theme.second, ms=5)  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(True)
    axes.set_axisbelow(True)
    axes.set_title("Stated and found")
    axes.set_xlabel(f"Stated probability of {results['positive']}")
    axes.set_ylabel(f"Share that is {results['positive']}")


def describe(results: dict[str, Any]) -> str:
    parts = [
        f"confidence {row['level']:g}: {row['n']} readings, accuracy {row['mean']:.2f}"
        for row in results["confidence"]["levels"]
        if row["mean"] is not None
    ]
    text = f"How often each confidence was given and how often it was right; {'; '.join(parts)}."
    if _bins(results):
        slope = results["calibration"]["slope"]
        text += " Stated probability against what was found" + (
            f", calibration slope {slope:.2f}." if slope is not None else "."
        )
    return text
