"""Figures of a utility study, as SVG: gain, curves, sizes, nearest neighbors, and look-alikes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from recognition.engine.utility.memorization import Nearest

_TEXT, _MUTED, _LINE, _MAIN, _SECOND = "#1c232b", "#5c6773", "#d5dbe1", "#1f5f8b", "#c2571a"
_COLORS = ("#5c6773", "#1f5f8b", "#c2571a", "#2e7d5b", "#8a4fa3", "#a08a1f", "#b23a48", "#3c8d93")
_RC: dict[str, Any] = {
    "svg.hashsalt": "readerstudy",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _MUTED,
    "axes.labelcolor": _TEXT,
    "text.color": _TEXT,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "xtick.labelcolor": _TEXT,
    "ytick.labelcolor": _TEXT,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}
_WIDTH = 7.2


def draw_all(results: dict[str, Any]) -> dict[str, bytes]:
    """Every figure the results allow, by name."""
    import matplotlib as mpl

    out: dict[str, bytes] = {}
    with mpl.rc_context(_RC):
        if results["contrasts"]:
            out["gain"] = _svg(_gain(results))
        if results["arms"]:
            out["froc"] = _svg(_froc(results))
            out["sizes"] = _svg(_sizes(results))
        if any(one["pairs"] for one in results["copies"]):
            out["nearest"] = _svg(_nearest(results["copies"]))
    return out


def _new(height: float, columns: int = 1, **how: Any) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    return figure, figure.subplots(1, columns, **how)


def _svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _gain(results: dict[str, Any]) -> Figure:
    """One row a comparison: the difference and its interval, zero marked."""
    rows = [row for row in results["contrasts"] if row["gain"]["value"] is not None]
    figure, axes = _new(0.9 + 0.42 * max(len(rows), 1))
    axes.axvline(0, color=_MUTED, linewidth=0.9)
    for k, row in enumerate(rows):
        gain, y = row["gain"], len(rows) - 1 - k
        color = _MAIN if gain["low"] > 0 else _SECOND if gain["high"] < 0 else _MUTED
        axes.plot([gain["low"], gain["high"]], [y, y], color=color, linewidth=1.8)
        axes.plot(gain["value"], y, "o", color=color, markersize=5.5)
        words = f"{gain['value']:+.2f} ({gain['low']:+.2f} to {gain['high']:+.2f})"
        axes.annotate(
            words,
            (1.01, y),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=8.5,
        )
    labels = [f"{row['arm']}\nminus {row['reference']}" for row in rows]
    axes.set_yticks(range(len(rows) - 1, -1, -1), labels)
    axes.tick_params(axis="y", length=0, labelsize=8)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=_LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel(f"Difference in {measure_of(results)}")
    return figure


def _froc(results: dict[str, Any]) -> Figure:
    figure, axes = _new(4.2)
    rate = results["config"]["evaluation"]["false_positives"]
    for k, arm in enumerate(results["arms"]):
        points = [p for p in arm["curve"] if p["value"] is not None]
        x = [p["false_positives"] for p in points]
        color = _COLORS[k % len(_COLORS)]
        style = "-" if arm["gate"] else "--"
        axes.plot(x, [p["value"] for p in points], style, color=color, label=arm["name"], lw=1.7)
        if len(results["arms"]) <= 4:
            low, high = ([p[side] for p in points] for side in ("low", "high"))
            axes.fill_between(x, low, high, color=color, alpha=0.10, linewidth=0)
    axes.axvline(rate, color=_MUTED, linewidth=0.8, linestyle=":")
    axes.set_xscale("symlog", linthresh=0.25)
    ticks = [0, 0.125, 0.25, 0.5, 1, 2, 4, 8]
    axes.set_xticks(ticks, ["0", "⅛", "¼", "½", "1", "2", "4", "8"])
    axes.minorticks_off()
    axes.set(ylim=(0, 1.02), xlim=(0, 8.2), xlabel="False positives per scan")
    axes.set_ylabel("Lesion sensitivity (mean over seeds)")
    axes.grid(color=_LINE, linewidth=0.6)
    figure.legend(loc="outside right upper")
    return figure


def _sizes(results: dict[str, Any]) -> Figure:
    """Sensitivity by size at the operating point; bands without a lesion are left out."""
    arms = results["arms"]
    bands = [b["band"] for b in arms[0]["bands"] if b["lesions"]]
    counts = {b["band"]: b["lesions"] for b in arms[0]["bands"]}
    figure, axes = _new(3.6)
    wide = 0.8 / max(len(arms), 1)
    for k, arm in enumerate(arms):
        by = {b["band"]: b for b in arm["bands"]}
        for i, band in enumerate(bands):
            one = by[band]
            x = i - 0.4 + (k + 0.5) * wide
            color = _COLORS[k % len(_COLORS)]
            axes.plot([x, x], [one["low"], one["high"]], color=color, linewidth=1.6)
            label = arm["name"] if i == 0 else None
            face = color if arm["gate"] else "white"
            axes.plot(x, one["value"], "o", color=color, mfc=face, markersize=5, label=label)
    axes.set_xticks(range(len(bands)), [f"{b}\n{counts[b]} lesions" for b in bands])
    axes.tick_params(axis="x", length=0)
    axes.set(ylim=(-0.02, 1.04), xlim=(-0.5, len(bands) - 0.5))
    axes.set_ylabel("Lesion sensitivity")
    axes.grid(axis="y", color=_LINE, linewidth=0.6)
    for edge in range(len(bands) - 1):
        axes.axvline(edge + 0.5, color=_LINE, linewidth=0.6)
    figure.legend(loc="outside right upper")
    return figure


def _nearest(copies: Sequence[dict[str, Any]]) -> Figure:
    """One column a source: distances of synthetic lesions over those among real ones."""
    import numpy as np

    shown = [one for one in copies if one["pairs"]]
    figure, all_axes = _new(3.0, len(shown), squeeze=False, sharey=True, sharex=True)
    every = [p["distance"] for one in shown for p in one["pairs"]] + list(shown[0]["real"])
    edges = np.linspace(0, max(0.05, 1.05 * max(every)), 25)
    for axes, one in zip(all_axes[0], shown, strict=True):
        made = [p["distance"] for p in one["pairs"]]
        for values, color, label in (
            (one["real"], _MUTED, "real to real"),
            (made, _MAIN, f"{one['source']} to real"),
        ):
            if len(values):
                weights = np.full(len(values), 1 / len(values))
                filled = color == _MAIN
                axes.hist(
                    values,
                    edges,
                    weights=weights,
                    color=color,
                    alpha=0.55 if filled else 1.0,
                    histtype="stepfilled" if filled else "step",
                    linewidth=1.4,
                    label=f"{label} ({len(values)})",
                )
        if one["limit"] is not None:
            axes.axvline(one["limit"], color=_SECOND, linewidth=1.2, label="copy below")
        axes.set_xlabel("Distance to the nearest training lesion")
        axes.set_title(one["source"], loc="left", fontsize=9.5, fontweight="bold")
        axes.legend(loc="upper left", fontsize=7.5)
        axes.margins(y=0.35)
    all_axes[0][0].set_ylabel("Share of lesions")
    return figure


def side_by_side(pairs: Sequence[Nearest], window: tuple[float, float]) -> bytes:
    """PNG: each synthetic lesion (left) beside the training lesion nearest to it (right)."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    columns = 3
    rows = -(-len(pairs) // columns)
    with mpl.rc_context(_RC):
        figure = Figure(figsize=(10.0, 0.2 + 2.0 * rows), layout="constrained", dpi=110)
        axes = figure.subplots(rows, 2 * columns, squeeze=False)
        for one in axes.ravel():
            one.axis("off")
        for k, pair in enumerate(pairs):
            row, column = divmod(k, columns)
            for i, (sample, word) in enumerate(
                ((pair.lesion, "synthetic"), (pair.training, "nearest real"))
            ):
                panel = axes[row][2 * column + i]
                panel.imshow(
                    sample.picture,
                    cmap="gray",
                    vmin=window[0],
                    vmax=window[1],
                    interpolation="nearest",
                )
                panel.contour(sample.outline, [0.5], colors=["#ffc440"], linewidths=0.9)
                first = f"{word}, {sample.diameter_mm:.0f} mm"
                second = f"{sample.name[:24]}" if i else f"distance {pair.distance:.2f}"
                color = _SECOND if pair.copy else _TEXT
                panel.set_title(f"{first}\n{second}", fontsize=7.5, color=color, loc="left")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def measure_of(results: dict[str, Any]) -> str:
    rate = results["config"]["evaluation"]["false_positives"]
    positive = "false positive" if rate == 1 else "false positives"
    return f"lesion sensitivity at {rate:g} {positive} per scan"
