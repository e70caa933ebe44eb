"""What one process of the statistics benchmark does: `python -m ... whole|growth|peers`.

Prints one line of JSON. The data are simulated (Roe-Metz, seeded), with the columns of a trial.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

STARTED = time.perf_counter()

import numpy as np  # noqa: E402 - the start of the libraries is measured
import pandas as pd  # noqa: E402, TID253

from readerstudy.analysis.stats import agreement  # noqa: E402
from readerstudy.analysis.stats.analyze import analyze  # noqa: E402
from readerstudy.analysis.stats.bootstrap import bootstrap_2way  # noqa: E402
from readerstudy.analysis.stats.covariance import error_cov  # noqa: E402
from readerstudy.analysis.stats.plan import Plan  # noqa: E402
from readerstudy.analysis.stats.readings import Readings  # noqa: E402
from readerstudy.analysis.stats.roc import delong  # noqa: E402
from readerstudy.analysis.stats.simulation import RoeMetz, simulate_roe_metz  # noqa: E402

IMPORTING = time.perf_counter() - STARTED
ORGANS = ("liver", "kidney", "lung", "pancreas", "colon")
GENERATORS = ("textural", "learned")
#: Peers are compared on 100 x 500 readings, the plain code on fewer: it would take minutes.
LARGE, SMALL = (100, 500), (25, 200)
R_DELONG = """
suppressMessages(library(pROC))
d <- read.csv(commandArgs(TRUE)[1])
t <- proc.time()[["elapsed"]]
out <- sapply(split(d, d$reader), function(r) {
  curve <- roc(r$truth, r$score, levels = c(0, 1), direction = "<", quiet = TRUE)
  c(auc(curve), var(curve, method = "delong"))
})
cat(proc.time()[["elapsed"]] - t, as.vector(out), sep = "\\n")
cat("\\n", as.character(packageVersion("pROC")))
"""


#: Growth is the mean of several simulated studies: how many steps a mixed model takes to its
#: maximum hangs on the data more than on their size.
STUDIES = 3


def readings_of(readers: int, cases: int, seed: int = 1) -> Readings:
    model = RoeMetz.of("HL", 0.62)
    return simulate_roe_metz(
        model, readers, cases // 2, cases - cases // 2, np.random.default_rng(seed)
    )


def table_of(readings: Readings) -> pd.DataFrame:
    """The judgments as a trial exports them, every cell text."""
    rng = np.random.default_rng(2)
    many, cases = readings.n_readers, readings.n_cases
    synthetic = readings.is_positive
    facts = {
        "case_id": np.asarray(readings.cases),
        "organ": np.asarray(ORGANS)[rng.integers(0, len(ORGANS), cases)],
        "size_mm": rng.uniform(6, 45, cases).round(1).astype(str),
        "truth": np.where(synthetic, "synthetic", "real"),
        "generator": np.where(synthetic, np.asarray(GENERATORS)[rng.integers(0, 2, cases)], "none"),
    }
    each = {name: np.tile(values, many) for name, values in facts.items()}
    score = readings.score.ravel().astype(int)
    order = np.concatenate([rng.permutation(cases) + 1 for _ in range(many)])
    seconds = rng.lognormal(4, 0.5, many * cases).round(1)
    return pd.DataFrame(
        {
            "reader_id": np.repeat(readings.readers, cases),
            "experience_years": np.repeat(rng.integers(1, 31, many), cases).astype(str),
            **each,
            "repeat": "1",
            "order_index": order.astype(str),
            "verdict": np.where(score > 0, "synthetic", "real"),
            "confidence": np.abs(score).astype(str),
            "score": score.astype(str),
            "response_time_s": seconds.astype(str),
        }
    )


def timed(
    work: Callable[[], Any], times: int = 1, clock: Callable[[], float] = time.perf_counter
) -> tuple[float, Any]:
    """Shortest of `times` runs, and the result."""
    best, result = float("inf"), None
    for _ in range(times):
        start = clock()
        result = work()
        best = min(best, clock() - start)
    return best, result


def analysed(
    table: pd.DataFrame, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Seconds of each step of the analysis, by the words of its progress line."""
    marks: list[tuple[float, str]] = [(clock(), "Checking the table")]

    def progress(done: int, total: int, words: str) -> None:
        marks.append((clock(), words))

    analyze(table, Plan(), progress=progress)
    marks.append((clock(), ""))
    steps: dict[str, float] = {}
    for (start, words), (end, _) in pairwise(marks):
        steps[words] = steps.get(words, 0.0) + end - start
    return steps


def whole(readers: int, cases: int) -> dict[str, Any]:
    table = table_of(readings_of(readers, cases))
    cpu = time.process_time()
    wall, steps = timed(lambda: analysed(table))
    return {
        "wall": wall,
        "cpu": time.process_time() - cpu,
        "megabytes": _peak_megabytes(),
        "steps": steps,
        "readings": len(table),
        "replicates": Plan().replicates,
        "importing": IMPORTING,
    }


def growth(readers: int, cases: int) -> dict[str, Any]:
    readings = readings_of(readers, cases)
    steps: dict[str, float] = {}
    for seed in range(1, STUDIES + 1):
        table = table_of(readings_of(readers, cases, seed))
        # Processor time: what else the machine does must not look like growth.
        runs = [analysed(table, time.process_time) for _ in range(2)]
        for words in runs[0]:
            best = min(run[words] for run in runs)
            steps[words] = steps.get(words, 0.0) + best / STUDIES

    def jackknife() -> None:
        for metric in ("auc", "dprime"):
            error_cov(readings, metric, "jackknife")

    return {"steps": steps, "jackknife": timed(jackknife, 3, time.process_time)[0]}


def _peak_megabytes() -> float:
    """Peak resident memory of this process (Linux counts in KiB, macOS in bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024


# ------------------------------------------------------------------------------------------ others


def peers() -> dict[str, Any]:
    """Comparisons with what is installed, with plain code, and what is missing."""
    large, small = readings_of(*LARGE), readings_of(*SMALL)
    rows = [plain_jackknife(small), plain_bootstrap(small), fleiss(large)]
    absent = []
    for compare in (krippendorff, proc):
        found = compare(large)
        if isinstance(found, str):
            absent.append(found)
        else:
            rows.append(found)
    notes = [
        f"Plain code, {SMALL[0]} x {SMALL[1]} readings: the textbook formula in NumPy, each "
        "left-out case or replicate counted anew; it is the floor that the engine has to beat. "
        f"Peers: {LARGE[0]} x {LARGE[1]} readings, their own default settings. Fleiss' kappa of "
        "this engine brings its interval, Conger's kappa and the kappa of every two readers.",
        "No other Python package has an analysis with readers and cases random; R's MRMCaov and "
        "iMRMC are not on Debian. The engine's numbers are checked against both by "
        "`manage.py check_statistics`.",
    ]
    return {"rows": rows, "absent": absent, "notes": notes}


def _row(
    what: str, peer: str, ours: float, theirs: float, difference: float, tolerance: float = 1e-9
) -> dict[str, Any]:
    return {
        "what": what,
        "peer": peer,
        "ours": ours,
        "theirs": theirs,
        "difference": float(difference),
        "tolerance": tolerance,
    }


def _plain_auc(positives: np.ndarray, negatives: np.ndarray) -> float:
    """Share of pairs in order, ties one half: every pair looked at."""
    gap = np.subtract.outer(positives, negatives)
    return float(np.mean((gap > 0) + 0.5 * (gap == 0)))


def plain_jackknife(readings: Readings) -> dict[str, Any]:
    def plain() -> np.ndarray:
        left = []
        for gone in range(readings.n_cases):
            keep = np.arange(readings.n_cases) != gone
            positive, negative = keep & readings.is_positive, keep & ~readings.is_positive
            left.append([_plain_auc(row[positive], row[negative]) for row in readings.score])
        apart = np.asarray(left) - np.mean(left, axis=0)
        return (readings.n_cases - 1) / readings.n_cases * apart.T @ apart

    theirs, wanted = timed(plain)
    ours, found = timed(lambda: error_cov(readings, "auc", "jackknife"), 3)
    difference = np.abs(found.matrix - wanted).max()
    return _row("Jackknife covariance of AUCs", "plain code", ours, theirs, difference)


def plain_bootstrap(readings: Readings) -> dict[str, Any]:
    """Two random streams never agree; 2,000 replicates give the SE to about 2 % each."""

    def plain() -> float:
        rng = np.random.default_rng(3)
        positive = np.flatnonzero(readings.is_positive)
        negative = np.flatnonzero(~readings.is_positive)
        means = []
        for _ in range(2000):
            who = rng.integers(0, readings.n_readers, readings.n_readers)
            high, low = rng.choice(positive, len(positive)), rng.choice(negative, len(negative))
            means.append(
                np.mean([_plain_auc(readings.score[j, high], readings.score[j, low]) for j in who])
            )
        return float(np.std(means, ddof=1))

    theirs, wanted = timed(plain)
    rng = np.random.default_rng(4)
    ours, found = timed(lambda: bootstrap_2way(readings, "auc", 2000, rng=rng))
    return _row(
        "Two-way bootstrap of the mean AUC, 2,000 replicates", "plain code", ours, theirs,
        abs((found.se or 0.0) - wanted), 0.2 * wanted,
    )  # fmt: skip


def fleiss(readings: Readings) -> dict[str, Any]:
    from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa

    calls = readings.call.T
    theirs, wanted = timed(lambda: fleiss_kappa(aggregate_raters(calls.astype(int))[0]), 3)
    ours, found = timed(lambda: agreement.fleiss(calls), 3)
    return _row("Fleiss' kappa", "statsmodels", ours, theirs, abs((found.estimate or 0.0) - wanted))


def krippendorff(readings: Readings) -> dict[str, Any] | str:
    try:
        from krippendorff import alpha
    except ImportError:
        return "Left out: krippendorff is not installed (`pip install krippendorff`)."
    theirs, wanted = timed(
        lambda: alpha(reliability_data=readings.score, level_of_measurement="ordinal"), 3
    )
    scores = readings.score.T
    ours, found = timed(lambda: agreement.kripp_alpha(scores, "ordinal"), 3)
    return _row(
        "Krippendorff's alpha, ordinal", "krippendorff", ours, theirs,
        abs((found.estimate or 0.0) - wanted),
    )  # fmt: skip


def proc(readings: Readings) -> dict[str, Any] | str:
    """R times itself, so that its start does not count."""
    script = shutil.which("Rscript")
    if script is None:
        return "Left out: R with pROC is not installed (Debian: `apt install r-cran-proc`)."
    table = pd.DataFrame(
        {
            "reader": np.repeat(np.arange(readings.n_readers), readings.n_cases),
            "truth": np.tile(readings.is_positive.astype(int), readings.n_readers),
            "score": readings.score.ravel(),
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        data, program = Path(folder) / "readings.csv", Path(folder) / "delong.R"
        table.to_csv(data, index=False)
        program.write_text(R_DELONG)
        done = subprocess.run(
            [script, "--vanilla", str(program), str(data)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    if done.returncode != 0:
        return "Left out: R is installed, but not its package pROC (Debian: r-cran-proc)."
    *numbers, version = done.stdout.split()
    theirs, *wanted = (float(value) for value in numbers)

    def engine() -> list[float]:
        values: list[float] = []
        for row in readings.score:
            found = delong(row[readings.is_positive], row[~readings.is_positive])
            values += [found.estimate or 0.0, (found.se or 0.0) ** 2]
        return values

    ours, values = timed(engine, 3)
    difference = np.abs(np.subtract(values, wanted)).max()
    return _row(
        f"AUC and DeLong variance of {readings.n_readers} readers", f"pROC {version} (R)",
        ours, theirs, difference, 1e-6,
    )  # fmt: skip


def main(arguments: list[str]) -> None:
    what, *sizes = arguments
    work: dict[str, Callable[..., dict[str, Any]]] = {
        "whole": whole, "growth": growth, "peers": peers,
    }  # fmt: skip
    json.dump(work[what](*(int(size) for size in sizes)), sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
