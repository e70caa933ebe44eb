"""`export_bundle TRIAL [--unblinded] --out FILE.zip`"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from readerstudy.analysis.models import Bundle
from readerstudy.analysis.services import make_bundle
from readerstudy.command import Command as BaseCommand
from readerstudy.errors import UserError
from readerstudy.storage import atomic_write_bytes
from readerstudy.trials.models import Trial


class Command(BaseCommand):
    help = "Export a trial as one zip: judgments, codebook, protocol, allocation, and with --unblinded the truth, results and figures."  # noqa: E501

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("trial", help="address (slug) of the trial")
        parser.add_argument(
            "--unblinded",
            action="store_true",
            help="with truth, results and figures; the trial must be unblinded",
        )
        parser.add_argument("--out", type=Path, required=True, help="file to write, FILE.zip")

    def handle(self, *args: Any, **options: Any) -> None:
        slug, out = options["trial"], options["out"]
        trial = Trial.objects.select_related("active_protocol").filter(slug=slug).first()
        if trial is None:
            known = ", ".join(Trial.objects.order_by("slug").values_list("slug", flat=True)[:10])
            raise UserError(f"There is no trial {slug!r}; known are: {known or 'none'}.")
        if not out.parent.is_dir():
            raise UserError(f"The folder {out.parent} does not exist: make it, or write elsewhere.")
        if out.is_dir():
            raise UserError(f"{out} is a folder: give --out the name of a file.")
        level = Bundle.Level.UNBLINDED if options["unblinded"] else Bundle.Level.BLINDED
        bundle = make_bundle(trial, level)
        atomic_write_bytes(out, bundle.path.read_bytes())
        self.stdout.write(f"{bundle.sha256}  {out}")
