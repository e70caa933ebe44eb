"""`analyze FILE --out DIR`: the whole analysis and its report from one table of readings."""

from __future__ import annotations

import time
from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any

from readerstudy.analysis.stats.names import SCHEMAS
from readerstudy.command import Command as BaseCommand
from readerstudy.errors import UserError
from readerstudy.storage import atomic_dir

#: Nothing is said before this; then at most one line in that time.
QUIET_S, EVERY_S = 2.0, 1.0
#: The analysis and the writing are given half of the bar each.
_HALVES = 2


def margin(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 < value < 0.5:
        raise ArgumentTypeError("the margin lies between 0 and 0.5, for example 0.10")
    return value


class Command(BaseCommand):
    help = "Analyse a table of readings (CSV, Parquet or iMRMC input) and write numbers, tables, figures and a report."  # noqa: E501
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="FILE.csv, FILE.parquet or an iMRMC file")
        parser.add_argument("--out", type=Path, required=True, help="folder to make")
        parser.add_argument(
            "--schema",
            choices=SCHEMAS,
            help="vtt: one judgment per row; mrmc: reader,modality,case,truth,rating; imrmc: "
            "input of the iMRMC program; told by the header where it is left out",
        )
        parser.add_argument(
            "--positive", help="class that sensitivity is about and ratings grow towards"
        )
        parser.add_argument(
            "--margin", type=margin, help="equivalence margin around guessing (0.10)"
        )
        parser.add_argument("--plan", type=Path, help="YAML file with the settings of the analysis")
        parser.add_argument(
            "--machines",
            type=Path,
            metavar="FILE.csv",
            help="what machines said of the same cases (reader_id, case_id, score, growing with "
            "belief in synthetic): set beside the readers, never among them",
        )
        parser.add_argument(
            "--machine-threshold",
            type=float,
            default=0.0,
            metavar="T",
            help="a machine's score above T is the verdict synthetic (0)",
        )
        parser.add_argument("--title", help="title of the report (the name of the file)")

    def handle(self, *args: Any, **options: Any) -> None:
        from readerstudy.analysis import outputs, rformats
        from readerstudy.analysis.tablefile import Wanted, analyze_file

        out: Path = options["out"]
        refuse_full(out)
        lines = Lines(self.stderr.write)
        wanted = Wanted(
            options["file"], options["schema"], options["positive"], options["margin"],
            options["plan"], options["title"], options["machines"],
            options["machine_threshold"],
        )  # fmt: skip
        done = analyze_file(wanted, lines.half(0))
        results = done.results
        again = rformats.exports(done.conditions, options["title"] or options["file"].name)
        with atomic_dir(out) as folder:
            files = outputs.write(folder, results, lines.half(1), extra=again)
        self.stdout.write(results["primary"]["sentence"])
        self.stdout.write(f"{len(files)} files in {out}; read {out / 'report.pdf'} first.")


def refuse_full(out: Path) -> None:
    """Raises UserError where the folder cannot be made, before any work is done."""
    if out.is_file():
        raise UserError(f"{out} is a file: give --out the name of a folder to make.")
    if out.is_dir() and any(out.iterdir()):
        raise UserError(f"{out} is not empty: give another folder, or remove this one first.")
    if not out.absolute().parent.is_dir():
        raise UserError(f"The folder {out.parent} does not exist: make it, or write elsewhere.")


class Lines:
    """Progress with the time left, on stderr, for work that takes long enough to wonder."""

    def __init__(self, write: Any) -> None:
        self.write = write
        self.started = self.said = time.monotonic()

    def half(self, index: int) -> Any:
        def report(done: int, total: int, words: str) -> None:
            self.say((index + done / max(1, total)) / _HALVES, words)

        return report

    def say(self, share: float, words: str) -> None:
        now = time.monotonic()
        if now - self.started < QUIET_S or now - self.said < EVERY_S:
            return
        self.said = now
        left = ""
        if 0 < share < 1:
            seconds = (now - self.started) * (1 - share) / share
            left = f", about {max(1, round(seconds))} s left"
        self.write(f"{round(100 * share):3d} %  {words}{left}")
