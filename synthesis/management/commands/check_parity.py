"""Hold the published FreeTumor formulas to recorded numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from synthesis.command import Command as BaseCommand
from synthesis.engine.errors import SynthesisError


class Command(BaseCommand):
    help = (
        "Recompute every *.npz parity file in a folder with the published architecture and "
        "formulas and compare: logits within 1e-4, images within 1e-5, labels and gate exactly."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, metavar="DIR", help="folder with *.npz files")

    def handle(self, *, folder: Path, **options: Any) -> None:
        from synthesis.engine.interop.parity import check_record, read_record

        if not folder.is_dir():
            raise SynthesisError(f"There is no folder {folder}; give the folder of *.npz files.")
        files = sorted(folder.glob("*.npz"))
        if not files:
            raise SynthesisError(f"There is no *.npz file in {folder}; give another folder.")
        # All files are read before the first is computed: bad input costs no waiting.
        records = [(path, read_record(path)) for path in files]
        networks: dict[int, Any] = {}
        failed = 0
        for path, record in records:
            found = check_record(record, networks)
            passed = all(comparison.passed for comparison in found)
            failed += not passed
            self.stdout.write(f"{path.name}: {'passed' if passed else 'FAILED'}")
            for one in found:
                mark = "" if one.passed else "   <- too large"
                self.stdout.write(
                    f"  {one.array:28s} largest error {one.error:.2e}"
                    f"  (allowed {one.tolerance:.0e}){mark}"
                )
            self.stdout.flush()
        self.stdout.write(f"{len(records) - failed} passed, {failed} failed")
        if failed:
            raise CommandError("The numbers differ from the recorded ones.", returncode=1)
