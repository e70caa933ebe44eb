"""Put lesions into CTs and write what came of it as files; the library is not touched."""

from __future__ import annotations

import argparse
import json
import secrets
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from readerstudy.command import Command as BaseCommand

from ._queue import add_ways, handed_in
from ._ranges import USUAL, diameter_range

if TYPE_CHECKING:
    from readerstudy.cases.delivery.variants import Wish
    from readerstudy.cases.priors import Appearance

EPILOG = """
A mask file may mark several things. Say which with #: a number, a name, 1+2, or all.

  synthesize --ct ct.nii.gz --organ liver --organ-mask liver.nii.gz --seed 7 --n 4 --out made
  synthesize --ct study.zip --organ lung --organ-mask organs.nii.gz#10+11 --out made

The folder is written whole or not at all. Every voxel outside the soft edge of a lesion keeps its
value; every file says that it is synthetic.

Many CTs: {case} stands for the name of each, in --ct and in the masks. --ct may also be a folder of
CTs, or a list of the Medical Decathlon, which names the masks itself.

  synthesize --ct 'scans/{case}/ct.nii.gz' --organ liver --organ-mask 'scans/{case}/liver.nii.gz' \\
      --tumor-mask 'scans/{case}/tumor.nii.gz' --seed 7 --out made --workers 4
  synthesize --ct imagesTr --organ liver --organ-mask 'labelsTr/{case}.nii.gz#1' --seed 7 --out made
  synthesize --ct dataset.json --organ liver --seed 7 --out made --workers 4

Each CT gets a folder in --out. The same command goes on after a kill; a CT whose files and settings
are those of its folder is left as it is. What fails is listed in failed.csv, and the exit status is
3. A CT without a tumor mask counts as one without tumors.
"""


class Command(BaseCommand):
    #: Checking pages takes a second, and nothing here has one.
    requires_system_checks: list[str] = []
    help = "Make synthetic lesions in a CT (NIfTI, DICOM folder, zip) and write them as files."

    def create_parser(self, *args: Any, **options: Any) -> Any:
        options["epilog"] = EPILOG
        options["formatter_class"] = argparse.RawDescriptionHelpFormatter
        return super().create_parser(*args, **options)

    def add_arguments(self, parser: Any) -> None:
        add = parser.add_argument
        add(
            "--ct",
            required=True,
            metavar="PATH",
            help="NIfTI file, DICOM folder or zip; or many, see below",
        )
        add("--organ", required=True, metavar="NAME", help="organ the lesions grow in")
        add("--organ-mask", metavar="FILE[#PART]", help="NIfTI, SEG or RTSTRUCT")
        add("--tumor-mask", metavar="FILE[#PART]", help="real tumors, which are left alone")
        add("--generator", metavar="NAME", help="default: the first of the registry")
        add(
            "--checkpoint",
            metavar="FILE_OR_NAME",
            help="weights of a learned generator: a file, or a name of the registry",
        )
        add(
            "--segmentor",
            metavar="FILE_OR_NAME",
            help="weights of a segmentor that judges each lesion as well",
        )
        add("--policy", choices=["default", "paper"], default="default", help="of the segmentor")
        add(
            "--priors",
            default="library",
            metavar="library|table|FILE.json",
            help="what lesions look like: fitted to the library's real lesions where it has three "
            "of the organ (default), the table, or a file of lesion_priors or of a manifest",
        )
        add(
            "--precision",
            choices=["auto", "fp32", "bf16"],
            default="auto",
            help="of our networks; auto: bf16 where the processor has it and the answer bears it",
        )
        add("--diameter-mm", default=USUAL, metavar="LOW-HIGH", help=f"range in mm ({USUAL})")
        add("--count", type=int, default=1, help="lesions in each CT, 1 to 3")
        add("--n", type=int, default=1, dest="variants", help="variants, each from the same CT")
        add("--mass-effect", type=float, default=0.5, help="0 to 1")
        add("--attempts", type=int, default=12, help="tries for each lesion until one passes (12)")
        add("--seed", type=int, help="drawn and printed when left out")
        add("--out", required=True, metavar="DIR", help="a new folder")
        add(
            "--keep-source-uids",
            action="store_true",
            help="name the source images by their own UIDs, which lead to the patient",
        )
        add_ways(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        # heavy: nothing of it is needed for --help
        from readerstudy.cases.delivery.orders import is_many

        if is_many(options["ct"], options["organ_mask"]):
            self._many(options)
        else:
            self._one(options)

    def _one(self, options: dict[str, Any]) -> None:
        from readerstudy.cases.delivery.files import check_folder, deliver
        from readerstudy.cases.delivery.hosts import read_host, read_mask
        from readerstudy.cases.delivery.variants import known_generator, known_judge
        from readerstudy.cases.errors import CasesError

        if options["organ_mask"] is None:
            raise CasesError("--organ-mask is missing; give the file that says where the organ is.")
        out = Path(options["out"])
        drawn = options["seed"] is None
        wish = _wish(options, secrets.randbelow(10**9) if drawn else options["seed"])
        check_folder(out)
        precision = options["precision"]
        generator = known_generator(wish.generator, options["checkpoint"], precision)
        judge = known_judge(options["policy"], options["segmentor"], precision)
        host = read_host(Path(options["ct"]))
        grid, frame = host.data.geometry, host.frame_uid
        organ = read_mask(options["organ_mask"], grid, frame)
        tumor_mask = options["tumor_mask"]
        tumor = read_mask(tumor_mask, grid, frame) if tumor_mask else None
        if drawn:
            self.stdout.write(f"Seed {wish.seed}")
        manifest = deliver(
            host,
            organ,
            tumor,
            wish,
            generator,
            judge,
            out,
            appearance=self._appearance(wish.organ, options["priors"]),
            name_sources=options["keep_source_uids"],
            tell=self.stdout.write,
        )
        self.stdout.write(
            f"{manifest['made']} of {manifest['asked']} variants made; the checks rejected "
            f"{manifest['rejected']} attempts. Written to {out}."
        )

    def _many(self, options: dict[str, Any]) -> None:
        from readerstudy.batch import Batch, sweep
        from readerstudy.cases.batches import check_free, submit_synthesis
        from readerstudy.cases.delivery.many import Recipe, is_done, make
        from readerstudy.cases.delivery.orders import Order, find_orders
        from readerstudy.cases.errors import CasesError

        if options["seed"] is None:
            raise CasesError("Many CTs need --seed, so that the same command can go on with them.")
        wish = _wish(options, options["seed"])
        out = Path(options["out"])
        orders = find_orders(
            options["ct"], options["organ_mask"], options["tumor_mask"], wish.organ, out
        )
        recipe = Recipe(
            wish=wish,
            checkpoint=options["checkpoint"],
            policy=options["policy"],
            segmentor=options["segmentor"],
            precision=options["precision"],
            priors=json.dumps(self._appearance(wish.organ, options["priors"]).as_json()),
            keep_source_uids=options["keep_source_uids"],
        ).checked()
        batch: Batch[Order] = Batch(
            name=lambda order: order.name,
            done=lambda order: is_done(order, recipe),
            work=partial(make, recipe=recipe),
        )
        with_tumors = sum(order.tumor_mask is not None for order in orders)
        self.stdout.write(f"{len(orders)} CTs, {with_tumors} of them with a tumor mask")
        check_free(out)
        sweep(out)
        if options["queue"]:
            self.stdout.write(handed_in(submit_synthesis(orders, recipe, out, options["queue"])))
            return
        outcome = batch.run(orders, workers=options["workers"], tell=self.stderr.write)
        self.stdout.write(f"{outcome} Written to {out}.")
        outcome.close(out)

    def _appearance(self, organ: str, priors: str) -> Appearance:
        from readerstudy.cases.priors import chosen_prior

        appearance = chosen_prior(organ, priors)
        if appearance.source != "table":
            self.stdout.write(
                f"Appearance of lesions: {appearance.source}, from {appearance.lesions} real ones"
            )
        return appearance


def _wish(options: dict[str, Any], seed: int) -> Wish:
    from readerstudy.cases.delivery.variants import Wish, known_organ
    from synthesis.engine.generators import generator_names

    return Wish(
        organ=known_organ(options["organ"]),
        generator=options["generator"] or generator_names()[0],
        diameter_mm=diameter_range(options["diameter_mm"]),
        count=options["count"],
        variants=options["variants"],
        seed=seed,
        mass_effect=options["mass_effect"],
        attempts=options["attempts"],
    )
