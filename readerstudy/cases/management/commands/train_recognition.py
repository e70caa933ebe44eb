"""Train a network that finds tumors, on real lesions and on synthetic ones made on the fly."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from django.conf import settings

from readerstudy.command import Command as BaseCommand

EPILOG = """
  train_recognition --preset liver --set data.labelled=lits.json --set synthesizer=none
  train_recognition --config mine.yaml --resume
  torchrun --nproc-per-node 4 manage.py train_recognition --config mine.yaml

With synthesizer=none the network sees labelled volumes only and no generator is needed.
Every key is explained in docs/reference-recognition.md.
"""


class Command(BaseCommand):
    help = "Train a tumor recognition network."

    def create_parser(self, *args: Any, **options: Any) -> Any:
        options["epilog"] = EPILOG
        options["formatter_class"] = argparse.RawDescriptionHelpFormatter
        return super().create_parser(*args, **options)

    def add_arguments(self, parser: Any) -> None:
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument("--config", type=Path, metavar="FILE.yaml", help="the configuration")
        source.add_argument(
            "--preset",
            metavar="NAME",
            help="one that ships: liver, pancreas, kidney, abdomen, lung, covid, smoke",
        )
        parser.add_argument(
            "--set",
            dest="changes",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="change one key, e.g. --set data.labelled=lits.json (may be repeated)",
        )
        parser.add_argument("--resume", action="store_true", help="go on after a kill")

    def handle(self, *args: Any, **options: Any) -> None:
        from readerstudy.cases.errors import CasesError
        from readerstudy.cases.recognition.synthesizer import open_synthesizer
        from readerstudy.cases.recognition.weights import start_of
        from recognition.engine.errors import RecognitionError
        from recognition.engine.training.reading import read_config

        source = options["config"] or options["preset"]
        name = source.stem if isinstance(source, Path) else source
        out = Path(settings.DATA_DIR) / "recognition" / name
        try:
            config = read_config(source, options["changes"], out=str(out))
            if config.network.start:
                start = start_of(config.network.start, config.network.axes)
                network = config.network.model_copy(update={"start": str(start)})
                config = config.model_copy(update={"network": network})
            synthesizer = open_synthesizer(config.synthesizer, config.synthesizer_checkpoint)
            from recognition.engine.training.loop import train
            from recognition.engine.training.team import open_team

            with open_team(config.device) as team:
                report = train(
                    config,
                    team,
                    synthesizer=synthesizer,
                    resume=options["resume"],
                    say=self._say if team.leads else lambda _: None,
                )
        except RecognitionError as error:
            raise CasesError(str(error)) from None
        except KeyboardInterrupt:
            self._say("Stopped; --resume goes on from the last checkpoint.")
            raise
        if team.leads:
            self._say(f"Trained {report.steps} steps: {report.checkpoint}")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
