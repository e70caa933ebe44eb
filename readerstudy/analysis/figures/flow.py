"""The way from readers and cases to the analysis set, as boxes and arrows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .style import Theme, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def _boxes(results: dict[str, Any]) -> list[tuple[str, str]]:
    """(text of a box on the main way, text of what branches off after it)."""
    data = results["data"]
    positive, negative = results["positive"], results["negative"]
    readers = _count(data["n_readers"], "reader")
    start = f"{readers} · {_count(data['n_cases'], 'case')}\n" + (
        f"{data['n_positive']} {positive}, {data['n_negative']} {negative}"
    )
    if data.get("n_modalities", 1) > 1:
        start += f" · {data['n_modalities']} modalities"
    boxes = [(start, "")]
    own = results.get("flow")
    if own:
        boxes.append((
            f"{own['answered']} of {own['assigned']} assigned readings answered",
            f"{own['practice']} practice readings\nnot analysed" if own["practice"] else "",
        ))  # fmt: skip
    gaps = f"{data['n_missing']} missing" if data["n_missing"] else "none missing"
    boxes.append((f"{data['n_possible']} possible first readings", gaps))
    boxes.append((
        f"{data['n_readings']} first readings analysed",
        f"{data['n_repeats']} repeat readings:\nagreement within readers only"
        if data["n_repeats"] else "",
    ))  # fmt: skip
    return boxes


def _count(n: int, word: str) -> str:
    return f"{n} {word}" if n == 1 else f"{n} {word}s"


def draw(results: dict[str, Any], theme: Theme) -> Figure | None:
    boxes = _boxes(results)
    fig = figure(0.95 * len(boxes))
    axes = fig.subplots()
    axes.set(xlim=(0, 10), ylim=(-len(boxes) + 0.42, 0.42))
    axes.axis("off")
    for i, (main, side) in enumerate(boxes):
        _box(axes, 3.2, -i, 5.6, main, theme, bold=i == len(boxes) - 1)
        if i:
            axes.annotate("", (3.2, -i + 0.32), (3.2, -i + 0.68), arrowprops=_arrow(theme))
        if side:
            axes.annotate("", (6.75, -i), (6.0, -i), arrowprops=_arrow(theme))
            _box(axes, 8.3, -i, 3.1, side, theme)
    return fig


def _box(
    axes: Axes, x: float, y: float, width: float, text: str, theme: Theme, *, bold: bool = False
) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(
        Rectangle((x - width / 2, y - 0.32), width, 0.64, facecolor=theme.band,
                  edgecolor=theme.main if bold else theme.muted, lw=1.6 if bold else 0.8)
    )  # fmt: skip
    axes.text(x, y, text, ha="center", va="center", fontsize=8.5, color=theme.text,
              fontweight="bold" if bold else "normal", linespacing=1.35)  # fmt: skip


def _arrow(theme: Theme) -> dict[str, Any]:
    return {"arrowstyle": "-|>", "color": theme.muted, "lw": 1.2, "shrinkA": 0, "shrinkB": 0}


def describe(results: dict[str, Any]) -> str:
    parts = [
        main.replace("\n", ", ") + (f" ({side})".replace("\n", " ") if side else "")
        for main, side in _boxes(results)
    ]
    return f"Flow of readings: {'; then '.join(parts)}."
