"""How long the statistics take: whole analyses, how the time grows, and others beside it.

Each measurement runs in a process of its own (`benchwork`), so that memory is that of one analysis
and nothing is warm. No number here comes from a stored file.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from typing import Any

from readerstudy.measure import Measure, Section

#: (readers, cases, seconds allowed, megabytes allowed)
WHOLE = ((13, 120, 5.0, None), (100, 500, 30.0, 2000.0))
#: Growth: cases are doubled with the readers fixed, then readers with the cases fixed.
FIXED = 50
BY_CASES = (125, 250, 500, 1000)
BY_READERS = (13, 25, 50, 100)
READERS_CASES = 250
JACKKNIFE = "The jackknife alone, AUC and d′"
#: A step shorter than this at its largest is left out of the growth table, seconds.
SHORTEST = 0.02


#: The matrices are small: threads of linear algebra would mostly wait for each other, which counts
#: as processor time.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _child(*arguments: object) -> dict[str, Any]:
    """What `benchwork` measured in a fresh process."""
    command = [sys.executable, "-m", "readerstudy.analysis.benchwork", *map(str, arguments)]
    done = subprocess.run(
        command, env=os.environ | ONE_THREAD, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def whole_benchmark(title: str = "A whole analysis") -> Section:
    """Every number of a report, from the table of judgments to the results document."""
    measures, notes = [], []
    for readers, cases, seconds, megabytes in WHOLE:
        found = _child("whole", readers, cases)
        name = f"{readers} readers x {cases} cases"
        measures += [
            Measure(
                f"{name}: time", round(found["wall"], 2), "s", f"< {seconds:g}",
                found["wall"] < seconds,
            ),
            Measure(f"{name}: processor time", round(found["cpu"], 2), "s"),
            Measure(
                f"{name}: largest memory of the process", round(found["megabytes"]), "MB",
                f"< {megabytes:g}" if megabytes else "",
                found["megabytes"] < megabytes if megabytes else None,
            ),
        ]  # fmt: skip
        longest = sorted(found["steps"].items(), key=lambda item: -item[1])[:4]
        said = ", ".join(f"{words.lower()} {value:.1f} s" for words, value in longest)
        notes.append(
            f"{name}: {found['readings']:,} readings, {found['replicates']:,} bootstrap replicates "
            f"and as many permutations; longest: {said}. Starting Python and its libraries took "
            f"{found['importing']:.1f} s more."
        )
    notes.append(
        "Each in a process of its own with one thread. From the table of judgments to results.json "
        "with every section: endpoints, all methods, bootstrap, permutation, agreement, mixed "
        "models, groups, order, times. Figures and pages are not in it."
    )
    return Section(title, measures, notes)


def growth_benchmark(title: str = "How the time grows") -> Section:
    """The steps of the analysis at doubled sizes; time proportional to readings is exponent 1."""
    measures, notes = [], []
    series = (
        ("cases", [(FIXED, cases) for cases in BY_CASES], f"{FIXED} readers"),
        ("readers", [(readers, READERS_CASES) for readers in BY_READERS], f"{READERS_CASES} cases"),
    )
    for what, sizes, fixed in series:
        rows = [_child("growth", *size) for size in sizes]
        readings = [readers * cases for readers, cases in sizes]
        whole = [sum(row["steps"].values()) for row in rows]
        slope = _exponent(readings[-2:], whole[-2:])
        alone = _exponent(readings[-2:], [row["jackknife"] for row in rows[-2:]])
        name = f"More {what}, {fixed}: exponent of"
        measures += [
            Measure(f"{name} the whole analysis", round(slope, 2), "", "≤ 1.15", slope <= 1.15),
            Measure(f"{name} the jackknife alone", round(alone, 2), ""),
        ]
        notes.append(_table(f"Processor seconds with {fixed}", sizes, rows, whole))
    notes.append(
        "Exponent 1: time proportional to the number of readings; 2: to its square. It is taken "
        "from the last doubling, where fixed costs weigh least. Mean of three simulated studies "
        "(how many steps a mixed model takes hangs on the data), the better of two runs of each. "
        "Steps too short to measure are left out of the tables, not out of the sum. What is "
        "written down holds the kappa of every two readers, whose number grows with the square of "
        "the readers."
    )
    return Section(title, measures, notes)


def _exponent(sizes: list[int], seconds: list[float]) -> float:
    return math.log(seconds[1] / seconds[0]) / math.log(sizes[1] / sizes[0])


def _table(
    title: str, sizes: list[tuple[int, int]], rows: list[dict[str, Any]], whole: list[float]
) -> str:
    """A table in Markdown: a row per step, a column per size, the exponent at the end."""
    readings = [readers * cases for readers, cases in sizes]
    heads = [f"{readers} x {cases}" for readers, cases in sizes]
    lines = [
        f"| {title}, readers x cases | {' | '.join(heads)} | exponent |",
        f"|---|{'---|' * (len(sizes) + 1)}",
    ]

    def line(name: str, values: list[float]) -> str:
        slope = _exponent(readings[-2:], values[-2:])
        shown = " | ".join(f"{value:.3g}" for value in values)
        return f"| {name} | {shown} | {slope:.2f} |"

    for words in rows[-1]["steps"]:
        values = [row["steps"].get(words, 0.0) for row in rows]
        if values[-1] >= SHORTEST and values[-2] > 0:
            lines.append(line(words, values))
    lines.append(line("**Everything**", whole))
    lines.append(line(JACKKNIFE, [row["jackknife"] for row in rows]))
    return "\n".join(["", *lines, ""])


def peer_benchmark(title: str = "Beside others") -> Section:
    """The same numbers by installed peers, and by plain code written from the formula."""
    found = _child("peers")
    measures = []
    for row in found["rows"]:
        measures += [
            Measure(f"{row['what']}: this engine", _three(row["ours"]), "ms"),
            Measure(f"{row['what']}: {row['peer']}", _three(row["theirs"]), "ms"),
            Measure(f"{row['what']}: largest difference of the results", row["difference"], "",
                    f"< {row['tolerance']:g}", row["difference"] < row["tolerance"]),
        ]  # fmt: skip
    notes = [*found["notes"], *found["absent"]]
    return Section(title, measures, notes)


def _three(seconds: float) -> float:
    """Milliseconds with three figures."""
    return float(f"{1000 * seconds:.3g}")
