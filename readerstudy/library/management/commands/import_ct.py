"""Bring CT volumes and masks into the library from the command line."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from readerstudy.command import Command as BaseCommand
from readerstudy.library import importing, organs, services
from readerstudy.library.collect import collect, files_below
from readerstudy.library.errors import LibraryError
from readerstudy.library.imaging.scan import Findings, FoundMask, Source, scan
from readerstudy.library.importing import ImportResult, MaskUse, Outcome
from readerstudy.library.models import Mask, Volume
from readerstudy.storage import data_path

EPILOG = """
A mask file may mark several things. Say which with #: a number, a name, 1+2, or all.

  import_ct ct.nii.gz --organ liver --organ-mask liver.nii.gz --tumor-mask tumor.nii.gz
  import_ct study.zip --organ lung --tumor-mask RTSTRUCT.dcm#Tumor_c40
  import_ct ct.nii.gz --labels organs.nii.gz 5=liver 2+3=kidney 7=pancreas
  import_ct ct.nii.gz --organ lung --organ-mask auto

With --organ-mask auto the mask is made here: lungs by thresholding, other organs by
TotalSegmentator where it is installed. A mask is looked for on the disk first, then by name among
the files of PATH. Nothing identifying is stored; the report at the end names the DICOM attributes
that were left behind.
"""


#: Instead of a file: the mask is made here.
AUTO = "auto"


class Command(BaseCommand):
    help = "Import CT (DICOM series, NIfTI; folders, files, zips) with organ and tumor masks."

    def create_parser(self, *args: Any, **options: Any) -> Any:
        options["epilog"] = EPILOG
        options["formatter_class"] = argparse.RawDescriptionHelpFormatter
        return super().create_parser(*args, **options)

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("paths", nargs="+", metavar="PATH", help="folder, file or zip")
        parser.add_argument("--organ", action="append", default=[], metavar="NAME")
        parser.add_argument("--organ-mask", action="append", default=[], metavar="FILE[#PART]|auto")
        parser.add_argument("--tumor-mask", action="append", default=[], metavar="FILE[#PART]")
        parser.add_argument(
            "--labels",
            action="append",
            nargs="+",
            default=[],
            metavar=("FILE", "NUMBER=ORGAN"),
            help="organs of a label map, e.g. --labels organs.nii.gz 5=liver 2+3=kidney",
        )
        parser.add_argument("--source", default="", help="where the data come from, for the paper")
        parser.add_argument("--patient", default="", help="study code of the patient, never a name")
        parser.add_argument(
            "--synthetic",
            action="store_true",
            help="a generator made these volumes: no lesion in them counts as a real one",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        uploads = data_path("uploads", "x").parent
        with tempfile.TemporaryDirectory(dir=uploads, prefix=".import-") as scratch:
            wanted, made = _wanted(options), _made(options)
            findings = self._look([Path(path) for path in options["paths"]], Path(scratch), wanted)
            uses = _uses(wanted, findings)
            result = importing.run(
                findings,
                uses,
                source=options["source"],
                patient=options["patient"],
                synthetic=options["synthetic"],
                progress=self._progress if sys.stderr.isatty() else None,
            )
        faults = [fault for outcome in result.outcomes for fault in _make(outcome, made)]
        unused = importing.unused_masks(findings, uses)
        self._say(result, unused)
        if result.refused:
            count = sum(outcome.state != "refused" for outcome in result.outcomes)
            more = len(result.refused) - 1
            rest = f" ({more} more refused, see above)" if more else ""
            kept = f" {count} other volume{'s are' if count > 1 else ' is'} in the library." * bool(
                count
            )
            raise LibraryError(f"{result.refused[0]}{rest}{kept}")
        if faults:
            raise LibraryError(f"{faults[0]} The volume itself is in the library.")

    def _look(self, paths: Sequence[Path], scratch: Path, wanted: list[_Wanted]) -> Findings:
        masks = {Path(item.file).resolve() for item in wanted if Path(item.file).is_file()}
        sources = []
        for path in paths:
            prefix = f"{path.name}/" if len(paths) > 1 and path.is_dir() else ""
            sources += [
                Source(source.path, prefix + source.name)
                for source in files_below(path)
                if source.path.resolve() not in masks
            ]
        return scan(collect(sources, scratch))

    def _progress(self, done: int, total: int, words: str) -> None:
        end = "\n" if done == total else "\r"
        self.stderr.write(f"{words}: {done} of {total} slices", ending=end)

    def _say(self, result: ImportResult, unused: Sequence[FoundMask]) -> None:
        write = self.stdout.write
        for outcome in result.outcomes:
            if outcome.state == "refused":
                continue
            word = "Stored" if outcome.state == "stored" else "Known "
            write(f"{word}  {outcome.name}  {outcome.size}  ({outcome.found})")
            if outcome.sentence:
                write(f"        {outcome.sentence}")
            for mask in outcome.masks:
                write(f"        + {mask}")
            for warning in outcome.warnings:
                write(f"        ! {warning}")
        for item in result.left:
            if not item["serious"]:
                write(f"Left    {item['sentence']}")
        if len(result.refused) > 1:  # the only one is the error itself
            for sentence in result.refused:
                write(f"Refused {sentence}")
        if unused:
            names = ", ".join(mask.name for mask in unused[:6])
            more = f" and {len(unused) - 6} more" if len(unused) > 6 else ""
            write(f"Left    {names}{more}: masks nobody named; see --organ-mask, --tumor-mask.")
        self._say_report(result)

    def _say_report(self, result: ImportResult) -> None:
        stored = [item for item in result.outcomes if item.state == "stored" and item.report]
        if not stored:
            return
        totals: dict[str, dict[str, int]] = {"removed": {}, "replaced": {}, "left_out": {}}
        for outcome in stored:
            for kind, names in totals.items():
                for name, count in outcome.report.get(kind, {}).items():
                    names[name] = names.get(name, 0) + count
        files = sum(int(outcome.report.get("files", 0)) for outcome in stored)
        private = sum(int(outcome.report.get("private", 0)) for outcome in stored)
        self.stdout.write(f"\nDe-identification: {files} headers read, none stored.")
        words = {
            "removed": "Removed by the profile",
            "replaced": "Replaced by the profile",
            "left_out": "Left out by the allow-list",
        }
        for kind, names in totals.items():
            if names:
                self.stdout.write(f"  {words[kind]}: {', '.join(sorted(names))}")
        if private:
            self.stdout.write(f"  Private attributes left out: {private}")


class _Wanted:
    """One mask as it was asked for on the command line."""

    def __init__(self, kind: str, label: str, file: str, parts: str | None) -> None:
        self.kind, self.label, self.file, self.parts = kind, label, file, parts


def _wanted(options: dict[str, Any]) -> list[_Wanted]:
    organs = [services.organ_label(name) for name in options["organ"]]
    organ_masks, tumor_masks = options["organ_mask"], options["tumor_mask"]
    only_tumor = tumor_masks and not organ_masks and len(organs) == 1
    if len(organs) != len(organ_masks) and not only_tumor:
        raise LibraryError(
            f"{len(organs)} --organ and {len(organ_masks)} --organ-mask were given; "
            "give them in pairs."
        )
    found = [
        _Wanted("organ", label, *importing.parse_spec(text))
        for label, text in zip(organs, organ_masks, strict=False)
        if text != AUTO
    ]
    for file, *pairs in options["labels"]:
        if not pairs:
            raise LibraryError(f"--labels {file} needs at least one NUMBER=ORGAN, such as 5=liver.")
        for pair in pairs:
            number, mark, name = pair.partition("=")
            if not mark:
                raise LibraryError(f"--labels takes NUMBER=ORGAN, not {pair!r}.")
            found.append(_Wanted("organ", services.organ_label(name), file, number))
    # with one organ named, that is where the tumor is; with several, the mask alone does not say
    host = organs[0] if len(set(organs)) == 1 else "tumor"
    found += [_Wanted("tumor", host, *importing.parse_spec(text)) for text in tumor_masks]
    return found


def _made(options: dict[str, Any]) -> list[str]:
    """Organs whose masks are to be made. Raises LibraryError when one cannot be made here."""
    pairs = zip(options["organ"], options["organ_mask"], strict=False)
    labels = [services.organ_label(name) for name, text in pairs if text == AUTO]
    for label in labels:
        organs.method_for(label)
    return labels


def _make(outcome: Outcome, labels: Sequence[str]) -> list[str]:
    """Make masks for an imported volume; returns sentences about those that failed."""
    faults: list[str] = []
    if outcome.state == "refused":
        return faults
    volume = Volume.objects.get(pk=outcome.volume)
    known = set(volume.masks.filter(kind=Mask.Kind.ORGAN).values_list("label", flat=True))
    for label in labels:
        if label in known:
            continue  # imported before
        try:
            mask = organs.add_organ(volume, label)
        except LibraryError as error:
            faults.append(str(error))
        else:
            outcome.masks.append(f"{label} (organ), {mask.volume_ml:.0f} ml, made here")
    return faults


def _uses(wanted: Sequence[_Wanted], findings: Findings) -> list[MaskUse]:
    return [MaskUse(_find(item, findings), item.kind, item.label, item.parts) for item in wanted]


def _find(item: _Wanted, findings: Findings) -> FoundMask:
    path = Path(item.file)
    if path.is_file():
        seen = scan([Source(path, path.name)])
        if seen.masks:
            return seen.masks[0]
        # not recognized as a mask: opening it says why
        FoundMask(path, path.name, "", "", []).open()
        raise LibraryError(f"{path.name}: it is a CT volume, not a mask.")
    matching = [
        mask
        for mask in findings.masks
        if mask.name == item.file or mask.name.endswith(f"/{item.file}")
    ]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise LibraryError(f"{item.file} is found {len(matching)} times; give its folder as well.")
    names = ", ".join(mask.name for mask in findings.masks[:8]) or "none"
    raise LibraryError(f"The mask {item.file} does not exist; masks in the import: {names}.")
