"""The files of an analysis: numbers, tables, figures and the report, of a trial or of any table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import tables
from .stats.serialize import dumps

Progress = Callable[[int, int, str], None]
Results = dict[str, Any]
#: Tables and the two reports count as one step each.
_OTHER_STEPS = 3


def results_bytes(results: Results) -> bytes:
    """results.json: two spaces, keys in the order of the document, newline at the end."""
    return dumps(results).encode()


def steps(results: Results) -> int:
    """How many steps :func:`write` reports."""
    from . import figures

    return len(figures.kinds_of(results)) + _OTHER_STEPS


def write(
    folder: Path,
    results: Results,
    progress: Progress,
    *,
    screen: bool = False,
    extra: dict[str, bytes] | None = None,
) -> list[Path]:
    """Fill an empty folder; the same results give the same bytes.

    Args:
        extra: more files, by their path in the folder.
        progress: called with (steps done, all steps, words).
        screen: also draw each figure on the dark ground of the site.
    """
    from . import figures, report

    total = steps(results)
    done = 0

    def step(words: str) -> None:
        nonlocal done
        progress(done, total, words)
        done += 1

    step("Writing the tables")
    (folder / "results.json").write_bytes(results_bytes(results))
    (folder / "tables").mkdir()
    for name, table in tables.all_tables(results).items():
        (folder / "tables" / f"{name}.csv").write_bytes(table.csv())
    for name, content in (extra or {}).items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    (folder / "figures").mkdir()
    drawn = []
    for kind in figures.kinds_of(results):
        step("Drawing the figures")
        figure = figures.draw(kind, results, screen=screen)
        if figure is None:
            continue
        drawn.append(figure)
        for name, content in figure.files.items():
            (folder / "figures" / name).write_bytes(content)
    listed = [
        {"name": f.name, "title": f.title, "alt": f.alt, "width": f.width, "height": f.height}
        for f in drawn
    ]
    text = json.dumps(listed, ensure_ascii=False, indent=1) + "\n"
    (folder / "figures.json").write_text(text, encoding="utf-8")
    for form in report.FORMATS:
        step("Setting the report")
        (folder / f"report.{form}").write_bytes(report.render(results, drawn, form))
    return sorted(path for path in folder.rglob("*") if path.is_file())
