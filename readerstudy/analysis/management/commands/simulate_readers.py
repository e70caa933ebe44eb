"""Let simulated readers of known skill read a whole trial over HTTP."""

from __future__ import annotations

from contextlib import nullcontext
from statistics import mean, stdev
from typing import Any

from django.core.management.base import CommandParser

from readerstudy.analysis.simulation import Result, rating_model, simulate
from readerstudy.command import Command as BaseCommand
from readerstudy.errors import UserError
from readerstudy.reading.robot import check_address
from readerstudy.reading.server import answers, running
from readerstudy.trials.models import Trial


class Command(BaseCommand):
    help = (
        "Add simulated readers to an open trial and let them read it to the end over HTTP, with "
        "ratings of an equal-variance binormal model of the given AUC. Prints the AUC that their "
        "stored answers give back."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("trial", help="slug of the trial")
        parser.add_argument("--readers", type=int, default=5, metavar="N")
        parser.add_argument("--auc", type=float, default=0.75, metavar="X")
        parser.add_argument("--seed", type=int, default=1, metavar="S")
        parser.add_argument(
            "--url", help="a running server of this database; without it one is started"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        trial = Trial.objects.filter(slug=options["trial"]).first()
        if trial is None:
            known = ", ".join(Trial.objects.values_list("slug", flat=True)) or "none yet"
            raise UserError(f"There is no trial {options['trial']!r}; the trials are: {known}.")
        rating_model(options["auc"])  # says what is wrong before a server starts
        with nullcontext(reached(options["url"])) if options["url"] else running() as base:
            results = simulate(
                trial,
                readers=options["readers"],
                auc=options["auc"],
                seed=options["seed"],
                base=base,
                say=self.stdout.write,
            )
        self.report(results, options["auc"])

    def report(self, results: list[Result], auc: float) -> None:
        for result in results:
            found = "–" if result.auc is None else f"{result.auc:.3f}"
            self.stdout.write(f"{result.code}  {result.answers:4d} answers  AUC {found}")
        values = [result.auc for result in results if result.auc is not None]
        if values:
            spread = f" ± {stdev(values) / len(values) ** 0.5:.3f}" if len(values) > 1 else ""
            self.stdout.write(f"Mean AUC {mean(values):.3f}{spread}; asked for {auc:g}.")


def reached(url: str) -> str:
    """The address, if a server of this platform answers there. Raises UserError otherwise."""
    base = check_address(url)
    if not answers(base):
        raise UserError(f"{base} does not answer; start the server or leave --url out.")
    return base
