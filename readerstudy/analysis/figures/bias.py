"""d' against criterion, one point per reader: who tells the arms apart, and who leans where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .style import Theme, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _points(results: dict[str, Any]) -> list[tuple[str, float, float]]:
    return [
        (r["reader"], r["sdt"]["criterion"], r["sdt"]["dprime"])
        for r in results["readers"]
        if r["sdt"]["dprime"] is not None
    ]


def draw(results: dict[str, Any], theme: Theme) -> Figure | None:
    points = _points(results)
    if not points:
        return None
    fig = figure(4.0, 4.9)
    axes = fig.subplots()
    axes.axhline(0, color=theme.muted, lw=1, ls=(0, (4, 3)))
    axes.axvline(0, color=theme.muted, lw=1, ls=(0, (4, 3)))
    together: dict[tuple[float, float], list[str]] = {}
    for name, criterion, dprime in points:
        together.setdefault((criterion, dprime), []).append(name)
    for (criterion, dprime), names in together.items():
        axes.plot(criterion, dprime, "o", color=theme.main, ms=5.5)
        crowded = any(0 < c - criterion < 0.12 and abs(d - dprime) < 0.05 for c, d in together)
        axes.annotate(
            ", ".join(names), (criterion, dprime), xytext=(-5 if crowded else 5, 3),
            textcoords="offset points", fontsize=7.5, color=theme.muted,
            ha="right" if crowded else "left",
        )  # fmt: skip
    reach = max(0.6, *(abs(p[1]) for p in points)) * 1.2
    axes.set_xlim(-reach, reach)
    low, high = min(p[2] for p in points), max(p[2] for p in points)
    axes.set_ylim(min(-0.3, low - 0.2), max(1.0, high + 0.25))
    axes.grid(True)
    axes.set_axisbelow(True)
    positive, negative = results["positive"], results["negative"]
    axes.set_xlabel(f"Criterion c   (← leans “{positive}”      leans “{negative}” →)")
    axes.set_ylabel("d′   (0 = guessing)")
    return fig


def describe(results: dict[str, Any]) -> str:
    points = _points(results)
    leaning = sum(p[1] > 0 for p in points)
    return (
        f"Each reader's d' against criterion; {leaning} of {len(points)} readers lean towards "
        f"calling a case {results['negative']}."
    )
