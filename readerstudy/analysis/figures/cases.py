"""Every case with the share of readers it misled, hardest first, one panel per arm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .style import Theme, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_NAMES = 70


def _arms(results: dict[str, Any]) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """(truth, what readers wrongly called it, its cases)."""
    positive, negative = results["positive"], results["negative"]
    pairs = sorted(((positive, negative), (negative, positive)), key=lambda p: p[0] != "synthetic")
    return [
        (truth, other, [c for c in results["cases"] if c["truth"] == truth and c["n"]])
        for truth, other in pairs
    ]


def draw(results: dict[str, Any], theme: Theme) -> Figure | None:
    arms = [arm for arm in _arms(results) if arm[2]]
    if not arms:
        return None
    fig = figure(0.35 + 2.25 * len(arms))
    panels = fig.subplots(len(arms), 1, squeeze=False)[:, 0]
    for axes, (truth, other, rows) in zip(panels, arms, strict=True):
        x = range(len(rows))
        low, high = [r["wilson"][0] for r in rows], [r["wilson"][1] for r in rows]
        axes.vlines(x, low, high, color=theme.soft, lw=1.4 if len(rows) <= 100 else 0.8)
        axes.plot(x, [r["rate"] for r in rows], "o", color=theme.main,
                  ms=4.5 if len(rows) <= 100 else 2.5, label="share of readers")  # fmt: skip
        axes.plot(x, [r["shrunken"] for r in rows], "_", color=theme.second, ms=6, mew=1.6,
                  label="shrunken towards the mean")  # fmt: skip
        axes.set(ylim=(-0.03, 1.03), xlim=(-1, len(rows)))
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        axes.set_title(f"{truth[:1].upper()}{truth[1:]} tumors called {other}")
        if len(rows) <= MOST_NAMES:
            axes.set_xticks(list(x), [r["case"] for r in rows], rotation=90, fontsize=6)
        else:
            axes.set_xticks([])
            axes.set_xlabel(f"{len(rows)} cases, hardest first")
        axes.tick_params(axis="x", length=0)
    panels[0].legend(loc="upper right", ncols=2)
    return fig


def describe(results: dict[str, Any]) -> str:
    parts = []
    for truth, other, rows in _arms(results):
        if rows:
            top = rows[0]
            parts.append(
                f"{len(rows)} {truth} cases, led by {top['case']} ({top['wrong']} of {top['n']} "
                f"readers called it {other})"
            )
    return f"Share of wrong verdicts per case with 95 % intervals: {'; '.join(parts)}."
