"""Forest plot: every reader with her interval, and all readers with readers and cases random."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from readerstudy.analysis.tables.machines import titles

from .style import Theme, clipped, figure, interval_text, plain_rows, side_text, unit_axis

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = tuple[str, "float | None", "list[float] | None"]


def reader_rows(results: dict[str, Any]) -> list[Row]:
    """(reader, estimate, 95 % interval) of the primary endpoint, best reader first."""
    metric = results["primary"]["metric"]
    if metric == "auc":
        rows = [(r["reader"], r["auc"]["estimate"], r["auc"]["ci"]) for r in results["readers"]]
    else:
        rows = [
            (r["reader"], r["value"], _normal(r["value"], r["se"]))
            for r in results["endpoints"][metric]["readers"]
        ]
    return sorted(rows, key=lambda r: (-(r[1] if r[1] is not None else -1.0), r[0]))


def machine_rows(results: dict[str, Any]) -> list[Row]:
    """The same of the machines, in their order."""
    metric, names = results["primary"]["metric"], titles(results)
    rows: list[Row] = []
    for own in results.get("machines", []):
        if metric == "auc":
            value, interval = own["row"]["auc"]["estimate"], own["row"]["auc"]["ci"]
        else:
            one = next(v for v in own["versus"] if v["metric"] == metric)
            value, interval = one["machine"], one["machine_ci95"]
        rows.append((names[own["name"]], value, interval))
    return rows


def _normal(value: float | None, se: float | None) -> list[float] | None:
    if value is None or not se:
        return None
    return [value - 1.959964 * se, value + 1.959964 * se]


def draw(results: dict[str, Any], theme: Theme) -> Figure | None:
    rows = reader_rows(results)
    primary = results["primary"]
    if not rows:
        return None
    n, machines = len(rows), machine_rows(results)
    fig = figure(1.35 + 0.235 * (n + 1.6 + (len(machines) + 0.8 if machines else 0)))
    axes = fig.subplots()
    null, margin = 0.5, primary["margin"]
    axes.axvspan(null - margin, null + margin, color=theme.band, lw=0, zorder=0)
    axes.axvline(null, color=theme.muted, lw=1, ls=(0, (4, 3)), zorder=1)
    for y, (_, estimate, interval) in enumerate(reversed(rows)):
        side_text(axes, y, interval_text(estimate, interval), theme)
        if interval is not None:
            axes.plot(clipped(interval), (y, y), color=theme.main, lw=1.6, zorder=2)
        if estimate is not None:
            axes.plot(estimate, y, "s", color=theme.main, ms=5, zorder=3)
    _diamond(axes, -1.6, primary["result"], theme)
    axes.axhline(-0.8, color=theme.line, lw=1)
    places = [-3.2 - k for k in range(len(machines))]
    _machines(axes, places, machines, theme)
    axes.set_yticks(
        [-1.6, *range(n), *places],
        ["All readers", *(r[0] for r in reversed(rows)), *(r[0] for r in machines)],
    )
    axes.get_yticklabels()[0].set_fontweight("bold")
    axes.set_ylim(min([-2.4, *(y - 0.8 for y in places)]), n - 0.3)
    lows = [clipped(r[2])[0] for r in [*rows, *machines] if r[2] is not None]
    unit_axis(axes, min([null - margin - 0.05, *[low - 0.03 for low in lows]]), 1.0)
    plain_rows(axes)
    axes.set_xlabel(
        f"{_capital(primary['label'])}   (0.5 = guessing; positive class: {results['positive']})"
    )
    axes.annotate(
        f"equivalence range ±{margin:g}", (null, 1.0), xycoords=("data", "axes fraction"),
        xytext=(0, 3), textcoords="offset points", ha="center", va="bottom", fontsize=8,
        color=theme.muted, annotation_clip=False,
    )  # fmt: skip
    axes.annotate(
        "Estimate (95 % interval)", (1.0, 1.0), xycoords="axes fraction", xytext=(8, 3),
        textcoords="offset points", ha="left", va="bottom", fontsize=8, color=theme.muted,
        annotation_clip=False,
    )  # fmt: skip
    return fig


def _machines(axes: Any, places: list[float], rows: list[Row], theme: Theme) -> None:
    """Below the readers and apart from them: open triangles with dashed intervals."""
    if not rows:
        return
    axes.axhline(-2.4, color=theme.line, lw=1)
    for y, (_, estimate, interval) in zip(places, rows, strict=True):
        side_text(axes, y, interval_text(estimate, interval), theme)
        if interval is not None:
            axes.plot(clipped(interval), (y, y), color=theme.text, lw=1.2, ls=(0, (3, 2)), zorder=2)
        if estimate is not None:
            axes.plot(estimate, y, "^", mfc=theme.ground, mec=theme.text, mew=1.3, ms=6, zorder=3)


def _diamond(axes: Any, y: float, result: dict[str, Any], theme: Theme) -> None:
    estimate, interval = result["estimate"], result["ci95"]
    side_text(axes, y, interval_text(estimate, interval), theme, bold=True)
    if estimate is None:
        return
    if interval is None:
        axes.plot(estimate, y, "D", color=theme.second, ms=7)
        return
    low, high = clipped(interval)
    axes.fill([low, estimate, high, estimate], [y, y + 0.38, y, y - 0.38], color=theme.second)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def describe(results: dict[str, Any]) -> str:
    rows = [r for r in reader_rows(results) if r[1] is not None]
    primary = results["primary"]
    if not rows:
        return "No reader has an estimate."
    best, worst = rows[0], rows[-1]
    return (
        f"Forest plot of {primary['label']} for {len(rows)} readers, from {worst[1]:.2f} "
        f"({worst[0]}) to {best[1]:.2f} ({best[0]}), with all readers together: "
        f"{interval_text(primary['result']['estimate'], primary['result']['ci95'])}. "
        f"Guessing is 0.5; the equivalence range is shaded.{_said(machine_rows(results))}"
    )


def _said(machines: list[Row]) -> str:
    if not machines:
        return ""
    words = ", ".join(f"{name} {interval_text(value, ci)}" for name, value, ci in machines)
    return f" Machines below, apart from the readers: {words}."
