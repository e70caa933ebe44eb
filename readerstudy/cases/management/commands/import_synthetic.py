"""Bring in a CT with a lesion that another generator made, as a candidate for the trials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from readerstudy.cases.services import import_synthetic
from readerstudy.command import Command as BaseCommand


class Command(BaseCommand):
    help = "Import a synthetic volume made elsewhere, beside the CT it was made from."

    def add_arguments(self, parser: Any) -> None:
        add = parser.add_argument
        add("--original", required=True, metavar="PATH", help="CT: NIfTI, DICOM folder or zip")
        add("--synthetic", required=True, metavar="PATH", help="the same CT with the lesion")
        add("--mask", required=True, metavar="FILE[#PART]", help="mask of the lesion")
        add("--generator", required=True, metavar="NAME", help="what made it, for the results")
        add("--organ", default="", metavar="NAME", help="default: from the organ masks")
        add(
            "--clean-outside",
            action="store_true",
            help="keep only the change inside the mask and its soft edge of 2 mm",
        )
        add(
            "--original-synthetic",
            action="store_true",
            help="the original is no scan either: none of its lesions counts as a real one",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        done = import_synthetic(
            original=Path(options["original"]),
            synthetic=Path(options["synthetic"]),
            mask=options["mask"],
            generator=options["generator"],
            organ=options["organ"],
            clean_outside=options["clean_outside"],
            original_synthetic=options["original_synthetic"],
        )
        row = done.candidate
        self.stdout.write(done.change.sentence())
        if done.change.outside:
            word = "removed" if options["clean_outside"] else "kept (see --clean-outside)"
            self.stdout.write(f"The change outside the mask was {word}.")
        if done.lesions > 1:
            self.stdout.write(f"The mask has {done.lesions} pieces; they are one case.")
        self.stdout.write(
            f"Stored: {row.organ} lesion of {row.diameter_mm:.1f} mm in {row.volume.name}, "
            f"generator {row.provenance['generator']}, pending curation."
        )
