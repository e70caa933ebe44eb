"""What is synthesis worth? Train with and without it, test on the same real lesions, report."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings

from readerstudy.command import Command as BaseCommand

if TYPE_CHECKING:
    from collections.abc import Callable

    from recognition.engine.utility.config import StudyConfig

EPILOG = """
  utility_study --preset phantom --out study
  utility_study --config mine.yaml --out study
  torchrun --nproc-per-node 4 manage.py utility_study --config mine.yaml --out study
  utility_study --config mine.yaml --out study --share 1/3     (on each of three machines)

A killed study goes on where it was; trainings that are done are not repeated. The report is
written when all are done, or have failed. Every key is explained in docs/reference-recognition.md.
"""


class Command(BaseCommand):
    help = "Measure what synthetic lesions add to the training of a recognition network."

    def create_parser(self, *args: Any, **options: Any) -> Any:
        options["epilog"] = EPILOG
        options["formatter_class"] = argparse.RawDescriptionHelpFormatter
        return super().create_parser(*args, **options)

    def add_arguments(self, parser: Any) -> None:
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument("--config", type=Path, metavar="FILE.yaml", help="the configuration")
        source.add_argument("--preset", metavar="NAME", help="one that ships: phantom, smoke")
        parser.add_argument("--out", metavar="DIR", help="folder of the study and its report")
        parser.add_argument(
            "--set",
            dest="changes",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="change one key, e.g. --set seeds=[0,1] (may be repeated)",
        )
        parser.add_argument(
            "--share",
            default="1/1",
            metavar="I/N",
            help="train every N-th arm only, from the I-th on (1/1)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        from readerstudy.cases.errors import CasesError
        from readerstudy.cases.recognition.utility.prepare import read_study
        from recognition.engine.errors import RecognitionError

        share = _share(options["share"])
        source = options["config"] or options["preset"]
        name = source.stem if isinstance(source, Path) else source
        out = options["out"] or str(Path(settings.DATA_DIR) / "utility" / name)
        try:
            config = read_study(source, options["changes"], out)
            self._run(config, share)
        except RecognitionError as error:
            raise CasesError(str(error)) from None
        except KeyboardInterrupt:
            self._say("Stopped; the same command goes on from here.")
            raise

    def _run(self, config: StudyConfig, share: tuple[int, int]) -> None:
        from readerstudy.cases.errors import CasesError
        from readerstudy.cases.recognition.synthesizer import open_synthesizer
        from readerstudy.cases.recognition.utility.prepare import prepare
        from readerstudy.cases.recognition.utility.report import write_report
        from readerstudy.cases.recognition.utility.results import build, compare
        from recognition.engine.training.team import open_team
        from recognition.engine.utility.plan import check_apart, parts_of, training_of
        from recognition.engine.utility.study import read_part, run_parts

        def make(source: Any, gated: bool) -> Any:
            return open_synthesizer(source.kind, source.checkpoint, gated=gated)

        with open_team(config.training.device) as team:
            say = self._say if team.leads else _nothing
            if team.leads:
                prepare(config, self._progress("phantom"))
            team.wait()
            config = prepare(config, _nothing)
            check_apart(config)
            for part in parts_of(config):
                training_of(config, part)  # what an arm lacks is told before the first step, too
            for source in config.sources:
                if source.kind != "volumes":
                    make(source, True)  # weights that cannot be used are told before the first step
            progress = run_parts(config, team, make, share=share, say=say)
            if not team.leads:
                return
        done = [one for part in parts_of(config) if (one := read_part(config, part)) is not None]
        missing = len(parts_of(config)) - len(done) - len(progress.failed)
        if missing:
            self._say(
                f"{len(done)} of {len(parts_of(config))} trainings are done; the report is "
                "written when all are."
            )
            return
        compared = compare(config, make, self._progress("synthetic lesion"))
        results = build(config, done, progress.failed, compared)
        page = write_report(config, results, done, compared)
        self._tell(results)
        self._say(f"Written: {page}")
        if progress.failed:
            raise CasesError(
                f"{len(progress.failed)} of {len(parts_of(config))} trainings failed "
                f"({'; '.join(progress.failed)}); run the command again to try them anew."
            )

    def _tell(self, results: dict[str, Any]) -> None:
        from readerstudy.cases.recognition.utility.report import answer

        for arm in results["arms"]:
            one = arm["sensitivity"]
            if one["value"] is not None:
                span = f"95 % {one['low']:.2f} to {one['high']:.2f}"
                self._say(f"  {arm['name']}: sensitivity {one['value']:.2f} ({span})")
        for one in results["copies"]:
            self._say(f"  {one['source']}: {one['copies']} copies in {one['lesions']} lesions")
        self._say(answer(results))

    def _progress(self, what: str) -> Callable[[int, int], None]:
        begun = said = time.monotonic()

        def tell(done: int, total: int) -> None:
            nonlocal said
            now = time.monotonic()
            if now - said >= 2.0:
                said = now
                left = (now - begun) / max(done, 1) * (total - done)
                self._say(f"{what} {done} of {total}, about {left:.0f} s left")

        return tell

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def _nothing(*_: Any) -> None:
    """Another process tells."""


def _share(text: str) -> tuple[int, int]:
    from readerstudy.cases.errors import CasesError

    first, slash, second = text.partition("/")
    if slash and first.isdigit() and second.isdigit() and 1 <= int(first) <= int(second):
        return int(first), int(second)
    raise CasesError(f"--share is I/N with I from 1 to N, such as 1/3, not {text!r}.")
