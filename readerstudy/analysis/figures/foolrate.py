"""How often synthetic tumors were called real, by organ and size, beside the real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .style import Theme, clipped, figure, plain_rows, side_text, unit_axis

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = tuple[str, dict[str, Any], "float | None"]


def sections(results: dict[str, Any]) -> list[tuple[str, list[Row]]]:
    """(heading, rows): each row is a group with the share of real cases called real beside it."""
    own = results["fool_rate"]
    real = {
        family: {g["group"]: _real_called_real(results, g) for g in groups}
        for family, groups in results["subgroups"].items()
    }
    pooled = results["pooled"]["rates"]
    synthetic_positive = own["overall"]["truth"] == results["positive"]
    rate = pooled["specificity" if synthetic_positive else "sensitivity"]["wilson"]["estimate"]
    out: list[tuple[str, list[Row]]] = [("", [("All", own["overall"], rate)])]
    for heading, key, family in (("Organ", "by_organ", "organ"), ("Size", "by_size", "size")):
        rows = [(g["group"], g, real[family].get(g["group"])) for g in own[key]]
        if rows:
            out.append((heading, rows))
    generators = [(g["group"], g, None) for g in own["by_generator"]]
    if len(generators) > 1:
        out.append(("Generator", generators))
    return out


def _real_called_real(results: dict[str, Any], group: dict[str, Any]) -> float | None:
    key = "specificity" if results["positive"] == "synthetic" else "sensitivity"
    value: float | None = group[key]
    return value


def draw(results: dict[str, Any], theme: Theme) -> Figure | None:
    if not results["fool_rate"]["overall"]["n_readings"]:
        return None
    parts = sections(results)
    lines = sum(len(rows) for _, rows in parts) + 0.9 * (len(parts) - 1)
    fig = figure(1.25 + 0.27 * lines)
    axes = fig.subplots()
    ticks, names, y = [], [], 0.0
    for heading, rows in parts:
        if heading:
            y += 0.9
            axes.annotate(heading, (0, y - 0.75), xycoords=("axes fraction", "data"),
                          xytext=(-6, 0), textcoords="offset points", ha="right", va="center",
                          fontsize=8.5, fontweight="bold", annotation_clip=False)  # fmt: skip
        for name, group, real in rows:
            _row(axes, y, group, real, theme)
            ticks.append(y)
            names.append(name)
            y += 1
    axes.set_yticks(ticks, names)
    axes.set_ylim(y - 0.4, -0.6)
    unit_axis(axes, 0.0, 1.0)
    plain_rows(axes)
    axes.set_xlabel("Share of readings called real")
    axes.plot([], [], "o", color=theme.main, label="synthetic tumors (95 % interval)")
    axes.plot([], [], "D", mfc="none", mec=theme.second, mew=1.3, ls="none",
              label="real tumors, for comparison")  # fmt: skip
    fig.legend(loc="outside upper left", ncols=2, handletextpad=0.4, columnspacing=1.6)
    return fig


def _row(axes: Any, y: float, group: dict[str, Any], real: float | None, theme: Theme) -> None:
    interval, rate = group["mrmc"]["ci95"], group["naive"]["estimate"]
    if interval is not None:
        axes.plot(clipped(interval), (y, y), color=theme.main, lw=1.6)
    axes.plot(rate, y, "o", color=theme.main, ms=5.5, zorder=3, clip_on=False)
    if real is not None:
        axes.plot(real, y, "D", mfc="none", mec=theme.second, mew=1.3, ms=5, zorder=4,
                  clip_on=False)  # fmt: skip
    cases = "1 case" if group["n_cases"] == 1 else f"{group['n_cases']} cases"
    counts = f"{group['fooled']} of {group['n_readings']}"
    for text, right_edge in ((f"{rate:.2f}", 34), (counts, 96), (cases, 146)):
        side_text(axes, y, text, theme, right_edge=right_edge)


def describe(results: dict[str, Any]) -> str:
    parts = [
        f"{name} {group['naive']['estimate']:.2f} ({group['fooled']} of {group['n_readings']})"
        for _, rows in sections(results)
        for name, group, _ in rows
    ]
    return f"Share of synthetic tumors called real: {'; '.join(parts)}."
