"""Find tumors in one CT or in many, and write masks, tables and pictures."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from readerstudy.command import Command as BaseCommand

from ._queue import add_ways, handed_in

EPILOG = """
  recognize --ct ct.nii.gz --out found
  recognize --ct ct.nii.gz --organ liver --organ-mask liver.nii.gz --out found
  recognize --ct scans --checkpoint network.safetensors --out found --workers 2

Without --checkpoint the small network that ships is taken, a demonstration. list_checkpoints shows
the names of the registry. Research only: the result is not a diagnosis. A killed run goes on where
it was.
"""


class Command(BaseCommand):
    help = "Find tumors in a CT (NIfTI, DICOM folder, zip, or a folder of such)."

    def create_parser(self, *args: Any, **options: Any) -> Any:
        options["epilog"] = EPILOG
        options["formatter_class"] = argparse.RawDescriptionHelpFormatter
        return super().create_parser(*args, **options)

    def add_arguments(self, parser: Any) -> None:
        add = parser.add_argument
        add("--ct", required=True, metavar="PATH", help="one CT, or a folder of several")
        add(
            "--checkpoint",
            metavar="FILE_OR_NAME",
            help="weights: a file, or a name of the registry (the network that ships)",
        )
        add("--out", required=True, metavar="DIR", help="a folder of each CT is made there")
        add("--organ", default="", metavar="NAME", help="only its tumors (all the network knows)")
        add(
            "--organ-mask",
            metavar="FILE[#PART]",
            help="drop what lies more than 5 mm outside this mask of the organ; for one CT",
        )
        add("--threshold", type=float, default=0.5, help="probability of a tumor voxel (0.5)")
        add("--smallest-mm", type=float, default=3.0, help="drop smaller lesions (3)")
        add("--overlap", type=float, default=0.25, help="of neighboring windows (0.25)")
        add("--window", type=int, default=96, help="side of a window in voxels (96)")
        add("--precision", choices=["auto", "fp32", "bf16"], default="auto")
        add(
            "--hide-source-uids",
            action="store_true",
            help="the SEG names a DICOM series by made-up UIDs: its own lead to the patient",
        )
        add_ways(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        from readerstudy.batch import Batch, sweep
        from readerstudy.cases.batches import check_free, submit_recognition
        from readerstudy.cases.errors import CasesError
        from readerstudy.cases.recognition.finding import (
            Settings,
            Wanted,
            find_scans,
            is_done,
            look,
        )
        from readerstudy.cases.recognition.weights import DEFAULT, chosen, load

        organ, mask = _organ(options)
        settings = Settings(
            threshold=options["threshold"],
            smallest_mm=options["smallest_mm"],
            overlap=options["overlap"],
            window=options["window"],
            precision=options["precision"],
            source_uids=not options["hide_source_uids"],
            organ=organ,
            inside=_sha256(mask) if mask else "",
        )
        if not (0 < settings.threshold < 1 and 0 <= settings.overlap < 1):
            raise CasesError("--threshold lies between 0 and 1, --overlap from 0 to below 1.")
        out = Path(options["out"])
        wanted = find_scans(Path(options["ct"]), out)
        if mask and len(wanted) > 1:
            raise CasesError("--organ-mask belongs to one CT; give the CTs one by one with it.")
        wanted = [replace(one, organ_mask=mask) for one in wanted]
        weights = chosen(options["checkpoint"] or DEFAULT)
        loaded = load(weights)
        self.stderr.write(
            f"Network {loaded.name}: tumors of the {', '.join(loaded.config.tumors.values())}"
        )
        if organ and organ not in loaded.config.tumors.values():
            raise CasesError(
                f"The network {loaded.name} knows no tumor of the {organ}; choose one of those "
                "above, or another network."
            )
        multiple = loaded.config.multiple
        if settings.window < multiple or settings.window % multiple:
            raise CasesError(f"--window must be a multiple of {multiple} for this network.")
        alone = len(wanted) == 1
        tell = self._progress() if alone else None
        batch: Batch[Wanted] = Batch(
            name=lambda item: item.name,
            done=lambda item: is_done(item, settings, loaded.sha256),
            work=partial(look, weights=weights, settings=settings, tell=tell),
        )
        check_free(out)
        sweep(out)
        if queue := options["queue"]:
            batch_row = submit_recognition(wanted, weights, loaded.sha256, settings, out, queue)
            self.stdout.write(handed_in(batch_row))
            return
        outcome = batch.run(wanted, workers=options["workers"], tell=self.stderr.write)
        if alone and outcome.failed:
            raise CasesError(next(iter(outcome.failed.values())))
        self.stdout.write(f"{outcome} Written to {out}.")
        outcome.close(out)

    def _progress(self) -> Any:
        begun = said = time.monotonic()

        def tell(done: int, total: int) -> None:
            nonlocal said
            now = time.monotonic()
            if now - said >= 2.0:
                said = now
                left = (now - begun) / done * (total - done)
                self.stderr.write(f"window {done} of {total}, about {left:.0f} s left")

        return tell


def _organ(options: dict[str, Any]) -> tuple[str, str]:
    """The organ asked for, and the mask its findings must lie in. Raises CasesError."""
    from readerstudy.cases.errors import CasesError
    from readerstudy.library.services import organ_label

    organ = organ_label(options["organ"]) if options["organ"] else ""
    mask = options["organ_mask"] or ""
    if mask and not organ:
        raise CasesError("Say with --organ what --organ-mask shows.")
    # whole, because with --queue it is read elsewhere
    return organ, str(Path(mask).absolute()) if mask else ""


def _sha256(spec: str) -> str:
    """What stands for a mask in the record of a result: the hash of its file, and the part."""
    from readerstudy.cases.delivery.hosts import file_sha256
    from readerstudy.cases.errors import CasesError
    from readerstudy.library.importing import parse_spec

    name, part = parse_spec(spec)
    try:
        digest = file_sha256([Path(name)])
    except OSError:
        raise CasesError(
            f"There is no mask file {name}; give a NIfTI, SEG or RTSTRUCT file."
        ) from None
    return f"{digest}#{part}" if part else digest
