"""ROC curves of all readers, their operating points, and the average curve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from readerstudy.analysis.tables.machines import titles

from .style import Theme, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(results: dict[str, Any], theme: Theme) -> Figure | None:
    readers = [r for r in results["readers"] if r["roc"] is not None]
    if not readers:
        return None
    positive, negative = results["positive"], results["negative"]
    machines = any(m["row"]["roc"] is not None for m in results.get("machines", []))
    fig = figure(5.8 if machines else 4.9, 4.9)
    axes = fig.subplots()
    axes.plot((0, 1), (0, 1), color=theme.muted, lw=1, ls=(0, (4, 3)), label="Guessing")
    for i, reader in enumerate(readers):
        axes.plot(
            reader["roc"]["fpr"], reader["roc"]["tpr"], color=theme.soft, lw=0.9, zorder=2,
            label="One reader" if i == 0 else None,
        )  # fmt: skip
    points = [
        (1 - r["specificity"]["estimate"], r["sensitivity"]["estimate"])
        for r in readers
        if r["specificity"]["estimate"] is not None and r["sensitivity"]["estimate"] is not None
    ]
    if points:
        x, y = zip(*points, strict=True)
        axes.plot(
            x, y, "o", ms=5, mfc=theme.ground, mec=theme.main, mew=1.3, zorder=4,
            label="A reader's verdicts", ls="none",
        )  # fmt: skip
    average, mean = results["roc_average"], results["endpoints"]["auc"]["rrrc"]["estimate"]
    if average is not None and mean is not None:
        axes.plot(
            average["fpr"], average["tpr"], color=theme.second, lw=2.6, zorder=3,
            label=f"Average of readers (AUC {mean:.3f})",
        )  # fmt: skip
    _machines(axes, results, theme)
    axes.set(xlim=(-0.015, 1.015), ylim=(-0.015, 1.015), aspect="equal")
    ticks = [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    axes.set_xticks(ticks)
    axes.set_yticks(ticks)
    axes.grid(True)
    axes.set_axisbelow(True)
    axes.set_xlabel(f"False-positive rate: {negative} called {positive}")
    axes.set_ylabel(f"True-positive rate: {positive} called {positive}")
    if machines:  # too many lines to lie free of each other and of a legend
        fig.legend(loc="outside lower center", ncols=2, handlelength=2.2, fontsize=8)
    else:
        axes.legend(loc="lower right", handlelength=1.8)
    return fig


#: One line style per machine, so that they can be told apart in gray.
_STYLES = ((0, (1, 1.2)), (0, (4, 1.5)), (0, (6, 1.5, 1, 1.5)), (0, (2, 2)))


def _machines(axes: Any, results: dict[str, Any], theme: Theme) -> None:
    """Machines as broken lines in the color of text, their verdicts as open triangles."""
    names = titles(results)
    mark = {"ms": 6, "mfc": theme.ground, "mec": theme.text, "mew": 1.3, "zorder": 6}
    said = "A machine's verdicts"
    for k, own in enumerate(results.get("machines", [])):
        row = own["row"]
        if row["roc"] is None:
            continue
        label = f"{names[own['name']]} (AUC {row['auc']['estimate']:.3f})"
        axes.plot(
            1 - row["specificity"]["estimate"], row["sensitivity"]["estimate"], "^", ls="none",
            label=said, **mark,
        )  # fmt: skip
        axes.plot(
            row["roc"]["fpr"], row["roc"]["tpr"], color=theme.text, lw=1.3, zorder=5,
            ls=_STYLES[k % len(_STYLES)], label=label,
        )  # fmt: skip
        said = "_nolegend_"


def describe(results: dict[str, Any]) -> str:
    auc = results["endpoints"]["auc"]["rrrc"]["estimate"]
    drawn = sum(r["roc"] is not None for r in results["readers"])
    mean = "not computable" if auc is None else f"{auc:.3f}"
    return (
        f"ROC curves of {drawn} readers with the point of their verdicts; the average curve has "
        f"AUC {mean}; positive class: {results['positive']}.{_said(results)}"
    )


def _said(results: dict[str, Any]) -> str:
    names = titles(results)
    drawn = [names[m["name"]] for m in results.get("machines", []) if m["row"]["roc"] is not None]
    return f" Machines as broken lines: {', '.join(drawn)}." if drawn else ""
