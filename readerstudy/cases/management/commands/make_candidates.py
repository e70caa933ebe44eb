"""Make candidates of the real lesions in the tumor masks of the library."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from readerstudy.cases.services import make_candidates, scans_with_tumors
from readerstudy.command import Command as BaseCommand
from readerstudy.errors import UserError
from readerstudy.library.models import Mask

from ._volumes import add_volume_argument, chosen_volumes


class Command(BaseCommand):
    help = "Make a pending candidate of each lesion in the tumor masks of the library."

    def add_arguments(self, parser: CommandParser) -> None:
        add_volume_argument(parser)
        parser.add_argument(
            "--min-diameter-mm", type=float, default=3.0, help="leave smaller lesions out"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        volumes = chosen_volumes(options["volume"], masks__kind=Mask.Kind.TUMOR)
        if not volumes:
            raise UserError("No volume in the library has a tumor mask; import one first.")
        if not options["volume"]:
            scans = {volume.pk for volume in scans_with_tumors()}
            for volume in volumes:
                if volume.pk not in scans:
                    self.stdout.write(f"{volume.name}: left out, made by a generator")
            volumes = [volume for volume in volumes if volume.pk in scans]
        for volume in volumes:
            made = make_candidates(volume, min_diameter_mm=options["min_diameter_mm"])
            self.stdout.write(f"{volume.name}: {len(made)} new")
            for row in made:
                self.stdout.write(
                    f"  {row.organ} {row.diameter_mm:.1f} mm, contrast {row.contrast_hu:+.0f} HU"
                )
