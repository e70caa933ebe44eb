"""Make synthetic lesions from the command line, with the same service as the page."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from readerstudy.cases.engines import POLICIES, Choice
from readerstudy.cases.models import SynthesisRun
from readerstudy.cases.services import start_run
from readerstudy.command import Command as BaseCommand
from readerstudy.errors import UserError
from readerstudy.jobs.models import Job
from readerstudy.jobs.services import execute
from readerstudy.library.models import Mask

from ._ranges import USUAL, diameter_range
from ._volumes import add_volume_argument, chosen_volumes


class Command(BaseCommand):
    help = "Make synthetic lesions in volumes of the library and wait until they are done."

    def add_arguments(self, parser: CommandParser) -> None:
        add_volume_argument(parser)
        parser.add_argument("--organ", action="append", required=True, help="may be repeated")
        parser.add_argument("--count", type=int, default=1, help="lesions per volume and organ")
        parser.add_argument(
            "--diameter-mm", default=USUAL, metavar="LOW-HIGH", help=f"range in mm ({USUAL})"
        )
        parser.add_argument("--mass-effect", type=float, default=0.5, help="0 to 1")
        parser.add_argument("--seed", type=int, required=True)
        parser.add_argument("--generator", default="textural", metavar="NAME")
        parser.add_argument(
            "--checkpoint", default="", metavar="NAME", help="weights of a learned generator"
        )
        parser.add_argument("--gate", choices=POLICIES, default=POLICIES[0])
        parser.add_argument(
            "--segmentor", default="", metavar="NAME", help="what the gate asks, by its name"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        run = start_run(
            volumes=chosen_volumes(options["volume"], masks__kind=Mask.Kind.ORGAN),
            organs=[organ.lower() for organ in options["organ"]],
            per_volume=options["count"],
            diameter_mm=diameter_range(options["diameter_mm"]),
            mass_effect=options["mass_effect"],
            seed=options["seed"],
            choice=Choice(
                options["generator"],
                options["checkpoint"],
                options["gate"],
                options["segmentor"],
            ),
        )
        execute(str(run.job_id))
        run = SynthesisRun.objects.select_related("job").get(pk=run.pk)
        if run.job is None or run.job.state != Job.State.DONE:
            raise UserError(run.job.error if run.job else "The job of this run is gone.")
        rejected = run.candidates.filter(by_gate=True).count()
        self.stdout.write(
            f"{run.made} of {run.requested} lesions passed the gate; {rejected} attempts were "
            "rejected and kept."
        )
        for note in run.notes:
            self.stdout.write(f"  {note['volume']}, {note['organ']}: {note['reason']}")
