"""Cohen's kappa of every two readers as a heat map with its numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .style import Theme, figure, on_shade

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Above this many readers the numbers would not be legible.
MOST_READERS = 30


def _pairs(results: dict[str, Any]) -> dict[str, Any]:
    own: dict[str, Any] = results["agreement"]["groups"]["all"]["mean_cohen"]
    return own


def draw(results: dict[str, Any], theme: Theme) -> Figure | None:
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Rectangle

    own = _pairs(results)
    names = own["names"]
    n = len(names)
    if n < 2 or n > MOST_READERS or own["mean"] is None:
        return None
    side = max(3.2, min(7.0, 0.9 + 0.31 * n))
    fig = figure(side, side)
    axes = fig.subplots()
    ground, ink, other = to_rgb(theme.ground), to_rgb(theme.main), to_rgb(theme.second)
    for y in range(n):
        for x in range(y):
            value = own["kappa"][y][x]
            depth = 0.05 + 0.7 * min(1.0, abs(value)) if value is not None else 0.0
            hue = ink if value is None or value >= 0 else other
            shade = tuple(g + (i - g) * depth for g, i in zip(ground, hue, strict=True))
            axes.add_patch(Rectangle((x, y), 1, 1, facecolor=shade, edgecolor=theme.ground, lw=1))
            axes.text(x + 0.5, y + 0.5, _short(value), ha="center", va="center",
                      fontsize=7 if n <= 20 else 5, color=on_shade(shade))  # fmt: skip
    axes.set(xlim=(0, n - 1), ylim=(n, 1), aspect="equal")
    axes.set_xticks([i + 0.5 for i in range(n - 1)], names[:-1], rotation=90, fontsize=7.5)
    axes.set_yticks([i + 0.5 for i in range(1, n)], names[1:], fontsize=7.5)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return fig


def _short(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:z.2f}".replace("0.", ".").replace("-", "−")


def describe(results: dict[str, Any]) -> str:
    own = _pairs(results)
    return (
        f"Cohen's kappa of the verdicts of every two of {len(own['names'])} readers: mean "
        f"{own['mean']:z.2f}, from {own['minimum']:z.2f} to {own['maximum']:z.2f}."
    )
