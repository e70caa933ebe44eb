"""Studies of several modalities: ROC curves side by side, means and differences."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

from .style import Theme, clipped, figure, interval_text, plain_rows, side_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_COLUMNS = 3


def shown(name: str) -> str:
    """``Modality 1`` where the file calls it 1."""
    return f"Modality {name}" if name.isdigit() else name


def draw_roc(results: dict[str, Any], theme: Theme) -> Figure | None:
    conditions = [c for c in results["conditions"] if c["roc_average"] is not None]
    if not conditions:
        return None
    columns = min(len(conditions), MOST_COLUMNS)
    rows = ceil(len(conditions) / columns)
    side = 4.2 if columns == 1 else 7.2 / columns
    fig = figure(rows * side + 0.25, columns * side)
    panels = fig.subplots(rows, columns, squeeze=False)
    for axes in panels.flat[len(conditions) :]:
        axes.axis("off")
    for axes, condition in zip(panels.flat, conditions):
        axes.plot((0, 1), (0, 1), color=theme.muted, lw=1, ls=(0, (4, 3)))
        for reader in condition["readers"]:
            if reader["roc"] is not None:
                axes.plot(reader["roc"]["fpr"], reader["roc"]["tpr"], color=theme.soft, lw=0.9)
        mean = condition["roc_average"]
        axes.plot(mean["fpr"], mean["tpr"], color=theme.second, lw=2.4)
        auc = condition["endpoint"]["rrrc"]["estimate"]
        axes.set_title(shown(condition["name"]) + ("" if auc is None else f"   AUC {auc:.3f}"))
        axes.set(xlim=(-0.015, 1.015), ylim=(-0.015, 1.015), aspect="equal")
        axes.grid(True)
        axes.set_axisbelow(True)
        axes.set_xlabel("False-positive rate")
    for axes in panels[:, 0]:
        axes.set_ylabel("True-positive rate")
    return fig


def describe_roc(results: dict[str, Any]) -> str:
    parts = [
        f"{c['name']} AUC {c['endpoint']['rrrc']['estimate']:.3f}"
        for c in results["conditions"]
        if c["endpoint"]["rrrc"]["estimate"] is not None
    ]
    return (
        f"ROC curves of the readers (thin) and their average (thick), one panel per modality: "
        f"{'; '.join(parts)}; positive class: {results['positive']}."
    )


def draw_means(results: dict[str, Any], theme: Theme) -> Figure | None:
    rows = [
        (shown(c["name"]), c["endpoint"]["rrrc"]["estimate"], c["endpoint"]["rrrc"]["ci95"])
        for c in results["conditions"]
    ]
    return _rows(rows, "Mean AUC of the readers (0.5 = guessing)", 0.5, None, theme)


def describe_means(results: dict[str, Any]) -> str:
    parts = [
        f"{c['name']} "
        + interval_text(c["endpoint"]["rrrc"]["estimate"], c["endpoint"]["rrrc"]["ci95"])
        for c in results["conditions"]
    ]
    return f"Mean AUC with 95 % intervals: {'; '.join(parts)}."


def _pairs(results: dict[str, Any]) -> list[tuple[str, float | None, list[float] | None]]:
    own = results["comparison"]
    found = own["rrrc"]["differences"] if own else []
    return [
        (f"{d['first']} − {d['second']}", d["result"]["estimate"], d["result"]["ci95"])
        for d in found
    ]


def draw_differences(results: dict[str, Any], theme: Theme) -> Figure | None:
    rows = _pairs(results)
    label = "Difference in AUC, readers and cases random (shaded: equivalence range)"
    return _rows(rows, label, 0.0, results["plan"]["margin"], theme) if rows else None


def describe_differences(results: dict[str, Any]) -> str:
    parts = []
    for name, estimate, interval in _pairs(results):
        bounds = "" if interval is None else f" ({interval[0]:.3f} to {interval[1]:.3f})"
        value = "not estimable" if estimate is None else f"{estimate:.3f}"
        parts.append(f"{name} {value}{bounds}")
    return f"Differences in AUC with 95 % intervals against zero: {'; '.join(parts)}."


def _rows(
    rows: list[tuple[str, float | None, list[float] | None]], label: str, null: float,
    margin: float | None, theme: Theme,
) -> Figure:  # fmt: skip
    fig = figure(0.85 + 0.3 * len(rows))
    axes = fig.subplots()
    if margin is not None:
        axes.axvspan(null - margin, null + margin, color=theme.band, lw=0)
    axes.axvline(null, color=theme.muted, lw=1, ls=(0, (4, 3)))
    for y, (_, estimate, interval) in zip(range(len(rows))[::-1], rows, strict=True):
        if interval is not None:
            span = clipped(interval) if null else tuple(interval)
            axes.plot(span, (y, y), color=theme.main, lw=1.6)
        if estimate is not None:
            axes.plot(estimate, y, "s", color=theme.main, ms=6)
        side_text(axes, y, _text(estimate, interval, signed=not null), theme)
    axes.set_yticks(range(len(rows)), [row[0] for row in rows][::-1])
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.margins(x=0.08)
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    plain_rows(axes)
    axes.set_xlabel(label)
    return fig


def _text(estimate: float | None, interval: list[float] | None, *, signed: bool) -> str:
    if not signed or estimate is None:
        return interval_text(estimate, interval)
    low, high = interval if interval is not None else (None, None)
    text = f"{estimate:+.3f}" + ("" if low is None else f"  ({low:+.3f} to {high:+.3f})")
    return text.replace("-", "−")
