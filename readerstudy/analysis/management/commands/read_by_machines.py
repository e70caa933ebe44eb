"""`read_by_machines TRIAL`: machines sit a trial's test beside its readers."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from readerstudy.analysis.management.commands.analyze import Lines
from readerstudy.command import Command as BaseCommand
from readerstudy.errors import UserError
from readerstudy.trials.models import Trial


class Command(BaseCommand):
    help = "Let machines read the cases of a trial; what they say stays sealed until unblinding."

    def add_arguments(self, parser: ArgumentParser) -> None:
        from recognition.engine.readers.registry import machine_names

        parser.add_argument("trial", help="short name of the trial")
        parser.add_argument(
            "--machines",
            metavar="NAME,NAME",
            help=f"which of them ({', '.join(machine_names())}); all where it is left out",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        from readerstudy.analysis.machines.reading import read_by_machines
        from recognition.engine.readers.registry import title_of

        slug, asked = options["trial"], options["machines"]
        trial = Trial.objects.select_related("active_protocol").filter(slug=slug).first()
        if trial is None:
            known = ", ".join(Trial.objects.values_list("slug", flat=True)) or "none yet"
            raise UserError(f"There is no trial {slug!r}; there are: {known}.")
        names = None if asked is None else [n.strip() for n in asked.split(",") if n.strip()]
        lines = Lines(self.stderr.write)
        done = read_by_machines(
            trial, names, progress=lambda n, total, words: lines.say(n / max(1, total), words)
        )
        for name in done.read:
            self.stdout.write(f"{title_of(name)}: has read {trial.slug}.")
        for name in done.kept:
            self.stdout.write(f"{title_of(name)}: had read {trial.slug} before; nothing changed.")
        for name, reason in done.left_out.items():
            self.stdout.write(f"{title_of(name)}: left out: {reason}")
        if trial.state != Trial.State.UNBLINDED:
            self.stdout.write("What they said is sealed until the trial is unblinded.")
