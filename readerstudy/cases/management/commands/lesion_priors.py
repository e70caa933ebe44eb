"""What made lesions will look like, organ by organ, and how many real lesions say so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from readerstudy.cases.errors import CasesError
from readerstudy.cases.priors import LEAST_LESIONS, Appearance, library_priors
from readerstudy.command import Command as BaseCommand
from readerstudy.storage import atomic_file


class Command(BaseCommand):
    help = "Show the appearance fitted to the library's real lesions; --out writes it as JSON."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument(
            "--organ",
            action="append",
            default=[],
            metavar="NAME",
            help="may be repeated (default: every organ of the table)",
        )
        parser.add_argument(
            "--out", metavar="FILE.json", help="for `synthesize --priors FILE.json`"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        from synthesis.engine.organs import PRIORS

        found = library_priors([name.lower() for name in options["organ"]] or sorted(PRIORS))
        for organ, appearance in found.items():
            self.stdout.write(_line(organ, appearance))
        if options["out"]:
            _write(Path(options["out"]), found)
            self.stdout.write(f"Written to {options['out']}.")


def _line(organ: str, found: Appearance) -> str:
    prior = found.prior
    what = "HU inside" if prior.absolute else "HU against the organ"
    if found.source == "library":
        why = f"fitted to {found.lesions} real lesions"
    else:
        why = f"table ({found.lesions} real lesions, {LEAST_LESIONS} are needed)"
    return (
        f"{organ:12} {found.value:7.1f} +- {found.spread:4.1f} {what}, "
        f"grain {prior.heterogeneity_sd:4.1f} HU: {why}"
    )


def _write(path: Path, found: dict[str, Appearance]) -> None:
    text = json.dumps({organ: item.as_json() for organ, item in found.items()}, indent=2)
    try:
        with atomic_file(path) as beside:
            beside.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise CasesError(f"{path} cannot be written ({error.strerror}).") from None
