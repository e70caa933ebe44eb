"""What changes while readers read: accuracy along the order, and response times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .style import Theme, clipped, figure, plain_rows, side_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_order(results: dict[str, Any], theme: Theme) -> Figure | None:
    bins = [b for b in (results["order"] or {"bins": []})["bins"] if b["mean"] is not None]
    if len(bins) < 2:
        return None
    fig = figure(2.7)
    axes = fig.subplots()
    axes.axhline(0.5, color=theme.muted, lw=1, ls=(0, (4, 3)))
    middle = [(b["low"] + b["high"]) / 2 for b in bins]
    for x, b in zip(middle, bins, strict=True):
        if b["ci95"] is not None:
            axes.plot((x, x), clipped(b["ci95"]), color=theme.main, lw=1.6)
        axes.plot((b["low"] - 0.5, b["high"] + 0.5), (b["mean"], b["mean"]), color=theme.soft, lw=5)
    axes.plot(middle, [b["mean"] for b in bins], "o", color=theme.main, ms=5.5)
    curve = [(x, min(max(y, 0.0), 1.0)) for x, y in results["order"]["smooth"]["curve"]]
    if curve:
        axes.plot(*zip(*curve, strict=True), color=theme.second, lw=1.4)
    low = min([0.45, *[clipped(b["ci95"])[0] for b in bins if b["ci95"]], *[y for _, y in curve]])
    axes.set_ylim(max(0.0, low - 0.05), 1.0)
    axes.set_xlim(bins[0]["low"] - 1, bins[-1]["high"] + 1)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.set_xlabel("Position in the reader's order")
    axes.set_ylabel("Accuracy, mean of readers")
    return fig


def describe_order(results: dict[str, Any]) -> str:
    parts = [
        f"positions {b['low']} to {b['high']}: {b['mean']:.2f}"
        for b in results["order"]["bins"]
        if b["mean"] is not None
    ]
    own = results["order"]["smooth"]
    smooth = (
        f" A smooth curve through all readings runs from {own['curve'][0][1]:.2f} to "
        f"{own['curve'][-1][1]:.2f}."
        if own["curve"] else ""
    )  # fmt: skip
    return f"Mean accuracy of readers along the order of reading; {'; '.join(parts)}.{smooth}"


def draw_times(results: dict[str, Any], theme: Theme) -> Figure | None:
    own = results["response_time"]
    rows = _time_rows(results)
    if not own or not rows:
        return None
    fig = figure(0.95 + 0.22 * (len(rows) + 1))
    axes = fig.subplots()
    gap = len(own["by_outcome"])
    heights = [-(i + (0.8 if i >= gap else 0.0)) for i in range(len(rows))]
    for y, row in zip(heights, rows, strict=True):
        outcome = y > -gap
        axes.plot((row["q1_s"], row["q3_s"]), (y, y), lw=6 if outcome else 4, alpha=0.55,
                  color=theme.second if outcome else theme.main)  # fmt: skip
        axes.plot(row["median_s"], y, "D" if outcome else "o", ms=5,
                  color=theme.second if outcome else theme.main)  # fmt: skip
        side_text(axes, y, f"{row['median_s']:.1f} s", theme, right_edge=40)
        side_text(axes, y, f"{row['n']} readings", theme, right_edge=112)
    axes.set_xscale("log")
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(heights, [row["group"] for row in rows])
    axes.set_ylim(heights[-1] - 0.6, 0.6)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    plain_rows(axes)
    axes.set_xlabel("Response time, s (log scale). Mark: median. Bar: middle half of the readings.")
    return fig


def _time_rows(results: dict[str, Any]) -> list[dict[str, Any]]:
    own = results["response_time"]
    if not own:
        return []
    found = [*own["by_outcome"], *own["per_reader"][:30]]
    return [row for row in found if row["median_s"] is not None and row["q1_s"] > 0]


def describe_times(results: dict[str, Any]) -> str:
    parts = [f"{row['group']} {row['median_s']:.1f} s" for row in _time_rows(results)]
    return f"Median response times with the middle half of the readings: {'; '.join(parts)}."
