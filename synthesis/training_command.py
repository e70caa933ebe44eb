"""What both training commands share: options, configuration, and the processes of torchrun."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import CommandParser

from synthesis.command import Command
from synthesis.engine.errors import SynthesisError

if TYPE_CHECKING:
    from synthesis.engine.training.config import TrainingConfig
    from synthesis.engine.training.run import Result
    from synthesis.engine.training.team import Team


class TrainingCommand(Command):
    """A stage of training; subclasses say which (``train``)."""

    def add_arguments(self, parser: CommandParser) -> None:
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument("--config", type=Path, metavar="FILE.yaml", help="the configuration")
        source.add_argument(
            "--preset",
            metavar="NAME",
            help="a configuration that ships: liver, pancreas, kidney, abdomen, lung, covid, "
            "freetumor-small, smoke",
        )
        parser.add_argument(
            "--set",
            dest="changes",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="change one key, e.g. --set data.labelled=lits.json (may be repeated)",
        )
        parser.add_argument(
            "--resume", action="store_true", help="go on from the run's last checkpoint"
        )
        parser.add_argument(
            "--register",
            metavar="NAME",
            default="",
            help="enter the result into the registry of checkpoints under this name",
        )
        parser.add_argument(
            "--replace", action="store_true", help="replace the registered checkpoint of that name"
        )

    def handle(self, **options: Any) -> None:
        config = self._config(options)
        from synthesis.engine.training.team import open_team

        with open_team(config.device) as team:
            result = self.train(config, team, resume=options["resume"])
            if not team.leads:
                return
            for name, value in result.scores.items():
                self.stdout.write(f"{name}: {value:.3f}")
            self.stdout.write(f"Wrote {result.checkpoint} after {result.steps} steps.")
            if options["register"]:
                self._register(result.checkpoint, options)

    def _config(self, options: dict[str, Any]) -> TrainingConfig:
        from synthesis.engine.training.reading import (
            parse_config,
            read_preset,
            read_yaml,
            with_settings,
        )

        file, preset = options["config"], options["preset"]
        document = read_yaml(file) if file is not None else read_preset(preset)
        document = with_settings(document, options["changes"])
        if not document.get("out"):
            name = re.sub(r"[^\w.-]+", "-", file.stem if file is not None else preset)
            document["out"] = str(Path(settings.DATA_DIR) / "training" / name)
        return parse_config(document, str(file) if file is not None else f"The preset {preset}")

    def _register(self, checkpoint: Path, options: dict[str, Any]) -> None:
        from synthesis.services import Origin, import_checkpoint

        origin = Origin(source=f"trained here: {checkpoint}")
        name = options["register"]
        for row in import_checkpoint(checkpoint, name, origin, replace=options["replace"]):
            self.stdout.write(f"Registered {row.name}, SHA-256 {row.sha256}.")

    def say(self, line: str) -> None:
        """One line of progress, at once."""
        self.stdout.write(line)
        self.stdout.flush()

    def train(self, config: TrainingConfig, team: Team, *, resume: bool) -> Result:
        """Run the stage."""
        raise SynthesisError("This command trains nothing.")
