"""Make the mask of an organ for a CT that comes without."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from readerstudy.command import Command as BaseCommand

from ._volumes import chosen_volumes

EPILOG = """
  segment_organs "Chest 1" --organ lung
  segment_organs --ct ct.nii.gz --organ liver --out liver.nii.gz

Lungs are found by thresholding. Other organs need TotalSegmentator (the extra 'organs'), which
downloads its weights when it runs for the first time; only its open task 'total' is used.
"""


class Command(BaseCommand):
    help = "Make an organ mask: stored with a volume of the library, or written as NIfTI."

    def create_parser(self, *args: Any, **options: Any) -> Any:
        options["epilog"] = EPILOG
        options["formatter_class"] = argparse.RawDescriptionHelpFormatter
        return super().create_parser(*args, **options)

    def add_arguments(self, parser: Any) -> None:
        add = parser.add_argument
        add("volume", nargs="?", metavar="VOLUME", help="id or name of a volume of the library")
        add("--ct", metavar="PATH", help="NIfTI file, DICOM folder or zip instead")
        add("--organ", required=True, metavar="NAME", help="such as lung or liver")
        add(
            "--method",
            default="auto",
            choices=["auto", "threshold", "totalsegmentator"],
            help="auto: threshold for lungs, totalsegmentator for others",
        )
        add("--out", metavar="FILE", help="write NIfTI there; needed with --ct")

    def handle(self, *args: Any, **options: Any) -> None:
        from readerstudy.cases.errors import CasesError
        from readerstudy.library import organs, selectors
        from readerstudy.library.imaging.geometry import VolumeData
        from readerstudy.library.services import organ_label

        name, ct, out = options["volume"], options["ct"], options["out"]
        if (name is None) == (ct is None):
            raise CasesError("Give either a VOLUME of the library or --ct PATH, one of them.")
        if ct is not None and out is None:
            raise CasesError("Say with --out where the mask of this CT goes.")
        path = Path(out) if out else None
        if path is not None and not path.name.endswith(".nii.gz"):
            raise CasesError(f"{path} must end in .nii.gz.")
        organ = organ_label(options["organ"])
        method = organs.method_for(organ, options["method"])
        if ct is not None:
            from readerstudy.cases.delivery.hosts import read_host

            data = read_host(Path(ct)).data
        else:
            (volume,) = chosen_volumes([name])
            if path is None:
                mask = organs.add_organ(volume, organ, method)
                self.stdout.write(
                    f"{volume.name}: {organ}, {mask.volume_ml:.0f} ml, by {method}; stored."
                )
                return
            data = VolumeData(selectors.load_ct(volume), selectors.geometry(volume))
        assert path is not None  # noqa: S101 - for the type checker
        self._write(path, organs.organ_mask(data, organ, method), data, f"{organ}, by {method}")

    def _write(self, path: Path, mask: Any, data: Any, words: str) -> None:
        import numpy as np

        from readerstudy.cases.errors import CasesError
        from readerstudy.library.imaging.writing.nifti import pack, write_nifti
        from readerstudy.storage import atomic_file

        try:
            with atomic_file(path) as beside:
                write_nifti(beside, pack(mask.view(np.uint8)), data.geometry, f"mask of {words}")
        except OSError as error:
            raise CasesError(f"{path} cannot be written ({error.strerror}).") from None
        ml = float(mask.sum()) * float(np.prod(data.geometry.spacing)) / 1000
        self.stdout.write(f"{words}: {ml:.0f} ml. Written to {path}.")
