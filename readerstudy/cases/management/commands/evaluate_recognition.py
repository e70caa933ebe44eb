"""Measure predicted tumor masks against reference masks: files in, tables and a figure out."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from readerstudy.command import Command as BaseCommand

from ._queue import add_ways, handed_in

EPILOG = """
A prediction CASE.nii.gz, CASE_mask.nii.gz or CASE_pred.nii.gz belongs to the reference CASE.nii.gz;
CASE_prob.nii.gz beside it, if there is one, gives each found lesion its probability (else 1).
Several methods are compared with one another:

  evaluate_recognition --pred real=runs/a --pred real+synthetic=runs/b --ref labels --out results

A killed run goes on where it was: a scan whose result is there is not measured again.
"""


class Command(BaseCommand):
    help = "Dice, surface distance, lesion-wise detection and FROC of predicted tumor masks."

    def create_parser(self, *args: Any, **options: Any) -> Any:
        options["epilog"] = EPILOG
        options["formatter_class"] = argparse.RawDescriptionHelpFormatter
        return super().create_parser(*args, **options)

    def add_arguments(self, parser: Any) -> None:
        add = parser.add_argument
        add("--pred", required=True, action="append", metavar="[NAME=]DIR", help="predictions")
        add("--ref", required=True, metavar="DIR", help="reference masks")
        add("--out", required=True, metavar="DIR", help="where the results go")
        add("--label", type=int, action="append", default=[], help="tumor value (default: all)")
        add("--patients", metavar="CSV", help="columns scan, patient (default: a scan each)")
        add("--tolerance-mm", type=float, default=2.0, help="of the surface distance (2)")
        add(
            "--empty-reference",
            choices=["exclude", "score"],
            default="exclude",
            help="a scan without a tumor: leave it out of Dice (default), or score it 1 or 0",
        )
        add("--smallest-mm", type=float, default=0.0, help="drop smaller predictions (0)")
        add("--replicates", type=int, default=2000, help="draws of the bootstrap (2000)")
        add("--seed", type=int, default=1, help="of the draws (1)")
        add_ways(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        import numpy as np

        from readerstudy.batch import Batch
        from readerstudy.cases.batches import submit_evaluation
        from readerstudy.cases.errors import CasesError
        from readerstudy.cases.evaluation.pairs import Pair, find_pairs, read_patients
        from readerstudy.cases.evaluation.scans import Rules, evaluate, is_done, load
        from readerstudy.cases.evaluation.tables import write_all
        from recognition.engine.detection import HIT_RULES
        from recognition.engine.evaluation import compare, summarize
        from recognition.engine.froc import froc

        out = Path(options["out"])
        rules = Rules(
            labels=tuple(options["label"]),
            tolerance_mm=options["tolerance_mm"],
            empty=options["empty_reference"],
            smallest_mm=options["smallest_mm"],
        )
        if not rules.tolerance_mm > 0 or rules.smallest_mm < 0 or options["replicates"] < 100:
            raise CasesError(
                "--tolerance-mm must be above 0, --smallest-mm not below 0, --replicates at "
                "least 100."
            )
        methods = _methods(options["pred"])
        patients = read_patients(Path(options["patients"])) if options["patients"] else None
        pairs = find_pairs(methods, Path(options["ref"]), out, patients)
        batch: Batch[Pair] = Batch(
            name=lambda pair: f"{pair.method}/{pair.name}",
            done=lambda pair: is_done(pair, rules),
            work=partial(evaluate, rules=rules),
        )
        if options["queue"] and (handed := submit_evaluation(pairs, rules, out, options["queue"])):
            self.stdout.write(handed_in(handed))
            self.stdout.write("When it is done, the same command writes the tables.")
            return
        outcome = batch.run(pairs, workers=options["workers"], tell=self.stderr.write)
        # a scan that failed for one method is left out for all: methods are compared on the same
        lost = {pair.name for pair in pairs if f"{pair.method}/{pair.name}" in outcome.failed}
        kept = [pair for pair in pairs if pair.name not in lost]
        if not kept:
            raise CasesError(f"No scan could be measured: {next(iter(outcome.failed.values()))}")
        scans = {m: [load(p) for p in kept if p.method == m] for m, _ in methods}
        rng = np.random.default_rng(options["seed"])
        replicates = options["replicates"]
        estimates = {m: summarize(rows, rng, replicates=replicates) for m, rows in scans.items()}
        comparisons = compare(scans, rng, replicates=replicates)
        curves = {
            (m, rule): froc([scan.detections[rule] for scan in rows])
            for m, rows in scans.items()
            for rule in HIT_RULES
        }
        about = {
            "rules": vars(rules)
            | {"hit": {"iou": "IoU >= 0.1", "center": "predicted center inside"}},
            "seed": options["seed"],
            "replicates": replicates,
            "scans": len(kept) // len(methods),
            "left_out": outcome.failed,
        }
        write_all(out, scans, estimates, comparisons, curves, about)
        for method, rows in estimates.items():
            self.stdout.write(f"{method}:")
            for row in rows:
                self.stdout.write(f"  {_line(row)}")
        self.stdout.write(f"{outcome} Written to {out}.")
        outcome.close(out, "scans")


def _methods(given: list[str]) -> list[tuple[str, Path]]:
    from readerstudy.cases.errors import CasesError

    methods = []
    for text in given:
        name, equals, folder = text.partition("=")
        path = Path(folder if equals else text)
        methods.append((name if equals else path.resolve().name, path))
    names = [name for name, _ in methods]
    for name in names:
        if not name or "/" in name or names.count(name) > 1:
            raise CasesError(
                f"The method name {name!r} cannot be used; name each method once, as NAME=DIR."
            )
    return methods


def _line(row: Any) -> str:
    if row.value is None:
        return f"{row.measure}: not defined. {row.reason}"
    return (
        f"{row.measure}: {row.value:.3f} (95 % {row.low:.3f} to {row.high:.3f}; {row.n} {row.unit})"
    )
