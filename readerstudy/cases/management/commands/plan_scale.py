"""The plan for very many volumes, computed again from what `benchmark scale` measured."""

from __future__ import annotations

import argparse
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from django.conf import settings

from readerstudy.cases.scale.plan import WORDS, Assumed, Measured, as_markdown
from readerstudy.command import Command as BaseCommand
from readerstudy.errors import UserError

EPILOG = """
  plan_scale                                       the tables of docs/scale.md
  plan_scale --volumes 20000 --cores 32 --gpu-tflops 312 --gpu-share 0.15
"""


class Command(BaseCommand):
    requires_system_checks: list[str] = []
    help = "Storage, processor and GPU hours for many volumes, with the arithmetic shown."

    def create_parser(self, *args: Any, **options: Any) -> Any:
        options["epilog"] = EPILOG
        options["formatter_class"] = argparse.RawDescriptionHelpFormatter
        return super().create_parser(*args, **options)

    def add_arguments(self, parser: Any) -> None:
        default = Path(settings.BASE_DIR) / "docs" / "benchmarks" / "scale.json"
        parser.add_argument(
            "--measured", type=Path, default=default, metavar="FILE", help="of benchmark scale"
        )
        for field in fields(Assumed):
            name, unit, _ = WORDS[field.name]
            parser.add_argument(
                f"--{field.name.replace('_', '-')}",
                type=type(field.default),
                default=field.default,
                help=f"{name}{f' in {unit}' if unit else ''} ({field.default:g})",
            )

    def handle(self, *args: Any, **options: Any) -> None:
        values = {field.name: options[field.name] for field in fields(Assumed)}
        for name, value in values.items():
            if not value > 0:
                raise UserError(f"--{name.replace('_', '-')} must be above 0, not {value:g}.")
        path: Path = options["measured"]
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise UserError(f"{path} is no document of `benchmark scale`; run it first.") from None
        self.stdout.write(as_markdown(Measured(document), Assumed(**values)), ending="")
