"""Measure the platform on this machine and write the numbers down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from readerstudy.command import Command as Base
from readerstudy.ops.benchmarks import SUITES, as_json, as_markdown, load, machine, run_suite
from readerstudy.storage import atomic_write_bytes


class Command(Base):
    help = "Run a benchmark suite; results go to docs/benchmarks/."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("suite", help=f"one of: {', '.join(SUITES)}")
        parser.add_argument("--only", default="", help="only the parts with this in their title")
        parser.add_argument(
            "--out", type=Path, default=Path(settings.BASE_DIR) / "docs" / "benchmarks"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        suite, where = options["suite"], machine()
        sections = run_suite(suite, options["only"], self.stdout.write)
        where["load_after"] = load()
        text = as_markdown(suite, where, sections)
        self.stdout.write(text)
        if options["only"]:
            return
        atomic_write_bytes(options["out"] / f"{suite}.md", text.encode())
        atomic_write_bytes(
            options["out"] / f"{suite}.json", as_json(suite, where, sections).encode()
        )
        self.stdout.write(f"Written to {options['out']}.")
