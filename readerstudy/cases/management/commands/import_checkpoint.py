"""Register network weights: the authors' files, or what a training of either engine wrote."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from readerstudy.cases.recognition.registering import import_weights
from synthesis.command import Command as BaseCommand
from synthesis.engine.errors import SynthesisError
from synthesis.hub import PUBLISHED_FILE, fetch
from synthesis.models import Checkpoint
from synthesis.services import Origin


class Command(BaseCommand):
    help = (
        "Register network weights under a name. A published TGAN.pt, a published segmentor of "
        "FreeTumor or VoCo, or the encoder of VoCo is converted to safetensors without running "
        "any code in it; a .safetensors file of training is checked and copied."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, nargs="?", metavar="FILE", help="the weight file")
        parser.add_argument("--name", required=True, help="what to call it here")
        parser.add_argument(
            "--from-hub",
            metavar="OWNER/REPOSITORY",
            help="fetch from the Hugging Face hub instead, e.g. Luffy503/FreeTumor",
        )
        parser.add_argument(
            "--hub-file", default=PUBLISHED_FILE, help=f"file to fetch (default {PUBLISHED_FILE})"
        )
        parser.add_argument(
            "--revision", default="", help="commit, tag or branch the file is from (kept)"
        )
        parser.add_argument("--licence", default="", help="licence of the weights, e.g. Apache-2.0")
        parser.add_argument(
            "--classes",
            metavar="NAME,NAME,...",
            help="outputs of a segmentor that is no published one, such as 'background,liver,liver "
            "tumor'",
        )
        parser.add_argument(
            "--replace", action="store_true", help="replace the checkpoint of that name"
        )

    def handle(self, *, file: Path | None, name: str, from_hub: str | None, **options: Any) -> None:
        replace, revision, licence = (options[k] for k in ("replace", "revision", "licence"))
        classes = _classes(options["classes"])
        if file is not None and from_hub is None:
            origin = Origin(file.name, revision, licence)
            rows = import_weights(file, name, origin, replace=replace, classes=classes)
        elif from_hub is not None and file is None:
            with tempfile.TemporaryDirectory(prefix="checkpoint-") as folder:
                got = fetch(from_hub, options["hub_file"], revision or "main", Path(folder))
                origin = Origin(
                    f"https://huggingface.co/{from_hub}/blob/{got.revision}/{options['hub_file']}",
                    got.revision,
                    licence or got.licence,
                )
                rows = import_weights(got.path, name, origin, replace=replace, classes=classes)
        else:
            raise SynthesisError("Give either a FILE or --from-hub OWNER/REPOSITORY, one of them.")
        for row in rows:
            self.stdout.write(_line(row))


def _classes(text: str | None) -> tuple[str, ...] | None:
    """Raises SynthesisError when a name is missing or stands twice."""
    if text is None:
        return None
    names = tuple(" ".join(part.lower().split()) for part in text.split(","))
    if not all(names) or len(set(names)) < len(names) or names[0] != "background":
        raise SynthesisError(
            f"--classes {text!r} must name every output once, the background first, and each tumor "
            "by its organ, as in 'background,liver,liver tumor'."
        )
    return names


def _line(row: Checkpoint) -> str:
    size = f"{row.parameters / 1e6:.2f} M parameters"
    return f"{row.name}: {row.kind}, {row.architecture}, {size}, SHA-256 {row.sha256}"
