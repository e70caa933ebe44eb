"""The tables and the figure of an evaluation."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from readerstudy.storage import atomic_write_bytes

if TYPE_CHECKING:
    from recognition.engine.detection import HitRule
    from recognition.engine.evaluation import Comparison, Estimate, Scan
    from recognition.engine.froc import Froc


def write_all(
    out: Path,
    scans: Mapping[str, Sequence[Scan]],
    estimates: Mapping[str, Sequence[Estimate]],
    comparisons: Sequence[Comparison],
    curves: Mapping[tuple[str, HitRule], Froc],
    about: dict[str, Any],
) -> None:
    """Write per_case.csv, lesions.csv, summary.csv, comparisons.csv, froc.csv/png, results.json."""
    write_rows(out / "per_case.csv", _per_case(scans))
    write_rows(out / "lesions.csv", _lesions(scans))
    summary = [{"method": m, **asdict(row)} for m, rows in estimates.items() for row in rows]
    write_rows(out / "summary.csv", summary)
    write_rows(out / "comparisons.csv", [asdict(row) for row in comparisons])
    write_rows(out / "froc.csv", _points(curves))
    _froc_figure(out / "froc.png", curves)
    document = {
        **about,
        "summary": summary,
        "comparisons": [asdict(row) for row in comparisons],
        "froc": [
            {
                "method": method,
                "rule": rule,
                **{f.name: getattr(c, f.name) for f in fields(c) if "sensitivity_at" in f.name},
                "score": c.score,
            }
            for (method, rule), c in curves.items()
        ],
    }
    atomic_write_bytes(out / "results.json", (json.dumps(document, indent=2) + "\n").encode())


def _per_case(scans: Mapping[str, Sequence[Scan]]) -> Iterable[dict[str, Any]]:
    for method, rows in scans.items():
        for scan in rows:
            row = {
                "method": method,
                "scan": scan.name,
                "patient": scan.patient,
                "dice": scan.dice,
                "surface_distance_score": scan.surface,
                "reference_lesions": scan.reference_lesions,
                "predicted_lesions": scan.predicted_lesions,
                "reference_ml": scan.reference_ml,
                "predicted_ml": scan.predicted_ml,
            }
            for rule, found in scan.detections.items():
                row[f"hits_{rule}"] = found.hits
                row[f"false_positives_{rule}"] = len(found.false_positives)
            row["rating"] = scan.detections["iou"].rating
            yield row


def _lesions(scans: Mapping[str, Sequence[Scan]]) -> Iterable[dict[str, Any]]:
    for method, rows in scans.items():
        for scan in rows:
            for number in range(scan.reference_lesions):
                targets = {r: d.targets[number] for r, d in scan.detections.items()}
                one = targets["iou"]
                yield {
                    "method": method,
                    "scan": scan.name,
                    "patient": scan.patient,
                    "lesion": number + 1,
                    "diameter_mm": one.diameter_mm,
                    "band": one.band,
                    "early": one.early,
                    **{f"probability_{rule}": target.found for rule, target in targets.items()},
                }


def _points(curves: Mapping[tuple[str, HitRule], Froc]) -> Iterable[dict[str, Any]]:
    for (method, rule), curve in curves.items():
        for i, threshold in enumerate(curve.thresholds):
            yield {
                "method": method,
                "rule": rule,
                "threshold": threshold,
                "false_positives_per_scan": curve.false_positives_per_scan[i],
                "sensitivity": curve.sensitivity[i] if curve.sensitivity else None,
            }


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """A CSV file with the keys of the first row as its header, whole or not at all."""
    rows = list(rows)
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({key: _cell(value) for key, value in row.items()})
    atomic_write_bytes(path, text.getvalue().encode())


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else value


def _froc_figure(path: Path, curves: Mapping[tuple[str, HitRule], Froc]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = {key: curve for key, curve in curves.items() if curve.sensitivity}
    figure = Figure(figsize=(7, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    styles = {"iou": "-", "center": "--"}
    colors: dict[str, str] = {}
    for (method, rule), curve in drawn.items():
        color = colors.setdefault(method, f"C{len(colors)}")
        x = [0.0, *curve.false_positives_per_scan]
        y = [0.0, *(curve.sensitivity or ())]
        label = f"{method}, hit by {'overlap' if rule == 'iou' else 'center'}"
        axes.step(x, y, where="post", color=color, linestyle=styles[rule], label=label)
        axes.plot(x[-1:], y[-1:], "o", color=color, markersize=4)
    if drawn:
        axes.legend(loc="lower right", frameon=False, fontsize=9)
    else:
        axes.text(0.5, 0.5, "No true lesion in these scans", ha="center", transform=axes.transAxes)
    axes.set(xlabel="False positives per scan", ylabel="Lesion sensitivity", ylim=(0, 1.02))
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=150)
    atomic_write_bytes(path, image.getvalue())
