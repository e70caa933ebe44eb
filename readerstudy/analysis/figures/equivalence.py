"""The endpoints with 90 % and 95 % intervals against the range that counts as guessing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .style import Theme, clipped, figure, interval_text, plain_rows, side_text, unit_axis

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = ("auc", "balanced_accuracy", "accuracy")


def _rows(results: dict[str, Any]) -> list[tuple[str, dict[str, Any], bool]]:
    primary = results["primary"]["metric"]
    data = results["data"]
    # Guessing gives an accuracy of one half only when the classes have as many cases.
    shown = SHOWN if data["n_positive"] == data["n_negative"] else SHOWN[:2]
    keys = sorted(shown, key=lambda key: key != primary)
    return [
        (results["endpoints"][key]["label"], results["endpoints"][key]["rrrc"], key == primary)
        for key in keys
    ]


def draw(results: dict[str, Any], theme: Theme) -> Figure | None:
    rows = _rows(results)
    fig = figure(2.15)
    axes = fig.subplots()
    margin = results["primary"]["margin"]
    axes.axvspan(0.5 - margin, 0.5 + margin, color=theme.band, lw=0)
    axes.axvline(0.5, color=theme.muted, lw=1, ls=(0, (4, 3)))
    bounds = [0.5 - margin, 0.5 + margin]
    names = []
    for y, (label, result, is_primary) in zip(range(len(rows))[::-1], rows, strict=True):
        color = theme.second if is_primary else theme.main
        names.append(f"{label[:1].upper()}{label[1:]}{' (primary)' if is_primary else ''}")
        side_text(axes, y, interval_text(result["estimate"], result["ci95"]), theme,
                  bold=is_primary)  # fmt: skip
        if result["ci95"] is not None:
            bounds += result["ci95"]
            axes.plot(clipped(result["ci95"]), (y, y), color=color, lw=1.6)
            axes.plot(clipped(result["ci90"]), (y, y), color=color, lw=5, alpha=0.55)
        if result["estimate"] is not None:
            bounds.append(result["estimate"])
            axes.plot(result["estimate"], y, "D" if is_primary else "s", color=color, ms=6)
    axes.set_yticks(range(len(rows)), names[::-1])
    axes.set_ylim(-0.7, len(rows) - 0.4)
    spread = max(0.5 - min(bounds), max(bounds) - 0.5) + 0.05
    unit_axis(axes, max(0.0, 0.5 - spread), min(1.0, 0.5 + spread))
    plain_rows(axes)
    axes.set_xlabel("0.5 = guessing. Thin line: 95 % interval. Thick line: 90 % interval.")
    axes.annotate(
        f"counts as guessing: ±{margin:g}", (0.5, 1.0), xycoords=("data", "axes fraction"),
        xytext=(0, 3), textcoords="offset points", ha="center", va="bottom", fontsize=8,
        color=theme.muted, annotation_clip=False,
    )  # fmt: skip
    return fig


def describe(results: dict[str, Any]) -> str:
    parts = [
        f"{label} {interval_text(result['estimate'], result['ci95'])}"
        for label, result, _ in _rows(results)
    ]
    margin = results["primary"]["margin"]
    return (
        f"Estimates with 95 % intervals against the equivalence range {0.5 - margin:.2f} to "
        f"{0.5 + margin:.2f}: {'; '.join(parts)}."
    )
