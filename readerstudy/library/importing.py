"""An import from beginning to end, for the command and for the upload page alike.

Look (scan) -> say what each mask shows (MaskUse) -> run: volume by volume, each stored whole or
not at all. The imaging libraries are imported inside, so that the web process never loads them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from readerstudy.library.imaging.errors import GridMismatch, ImagingError
from readerstudy.library.imaging.geometry import Geometry

from . import selectors, services
from .errors import LibraryError
from .models import Volume
from .services import MaskData

if TYPE_CHECKING:
    from readerstudy.library.imaging.masks import MaskReader, Segment
    from readerstudy.library.imaging.scan import Findings, FoundMask, FoundVolume

Progress = Callable[[int, int, str], None]

ORGAN_WORDS = {
    "liver": ("liver", "hepatic"),
    "lung": ("lung", "pulmon"),
    "pancreas": ("pancrea",),
    "kidney": ("kidney", "renal"),
    "spleen": ("spleen",),
    "colon": ("colon", "colorectal"),
    "stomach": ("stomach", "gastric"),
    "esophagus": ("esophag", "oesophag"),
    "uterus": ("uterus", "uterine"),
    "bladder": ("bladder",),
    "prostate": ("prostate",),
}
CALLED_SYNTHETIC = "It was imported as synthetic: no lesion in it counts as a real one."
TUMOR_WORDS = (
    "tumor",
    "tumour",
    "lesion",
    "gtv",
    "metast",
    "cancer",
    "nodule",
    "carcinoma",
    "mass",
)


@dataclass(frozen=True)
class MaskUse:
    """What a person says about a mask file: ``parts`` of it show ``label``.

    ``kind`` is "organ" or "tumor"; the label of a tumor is the organ it grows in, or "tumor"
    where nobody said. ``parts``: see `imaging.masks.choose`.
    """

    mask: FoundMask
    kind: str
    label: str
    parts: str | None = None


@dataclass
class Outcome:
    """What came of one volume: stored, known (its equal is here already) or refused."""

    found: str
    state: str
    sentence: str = ""
    volume: str = ""
    name: str = ""
    patient: str = ""
    size: str = ""
    masks: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    report: dict[str, Any] = field(default_factory=dict)


@dataclass
class ImportResult:
    outcomes: list[Outcome]
    left: list[dict[str, Any]]

    @property
    def refused(self) -> list[str]:
        """Sentences about what should have been imported and was not."""
        own = [outcome.sentence for outcome in self.outcomes if outcome.state == "refused"]
        return own + [item["sentence"] for item in self.left if item["serious"]]

    def as_json(self) -> dict[str, Any]:
        return {"outcomes": [asdict(outcome) for outcome in self.outcomes], "left": self.left}


def guess(name: str, segment: Segment, alone: bool) -> tuple[str, str]:
    """A first guess of (kind, organ) of one part of a mask file, from names; ("", "") for none."""
    words = segment.name.lower()
    if alone and words.startswith("label "):
        words = PurePosixPath(name).name.lower()
    kind = ""
    organ = next(
        (organ for organ, stems in ORGAN_WORDS.items() if any(stem in words for stem in stems)), ""
    )
    if any(word in words for word in TUMOR_WORDS):
        kind = "tumor"
    elif organ:
        kind = "organ"
    if kind == "tumor" and not organ:
        folder = str(PurePosixPath(name).parent).lower()
        organ = next(
            (key for key, stems in ORGAN_WORDS.items() if any(stem in folder for stem in stems)), ""
        )
    return kind, organ


def left_aside(findings: Findings) -> list[dict[str, Any]]:
    """Files not imported, by reason: names, count, one sentence, whether it is a failure."""
    groups: dict[tuple[str, bool], list[str]] = {}
    for aside in findings.asides:
        groups.setdefault((aside.reason, aside.serious), []).extend(aside.names)
    return [
        {
            "reason": plain(reason),
            "serious": serious,
            "names": names[:50],
            "count": len(names),
            "sentence": f"{_some(names)}: {plain(reason)}.",
        }
        for (reason, serious), names in sorted(groups.items(), key=lambda item: not item[0][1])
    ]


def run(
    findings: Findings,
    uses: Sequence[MaskUse],
    *,
    source: str = "",
    patient: str = "",
    synthetic: bool = False,
    target: Volume | None = None,
    actor: Any = None,
    progress: Progress | None = None,
    done: Sequence[Outcome] = (),
    after_each: Callable[[Sequence[Outcome]], None] | None = None,
) -> ImportResult:
    """Store what was found. Each volume is stored with all its masks, or not at all.

    Args:
        synthetic: a person says that a generator made all of it.
        target: add masks to this stored volume instead of importing new ones.
        done: outcomes of an earlier attempt that was killed; those volumes are not read again.

    Raises:
        LibraryError: nothing can be imported at all, or a mask belongs to no volume or to several;
            nothing was stored then.
    """
    code = services.patient_code(patient) if patient.strip() else ""
    if target is not None:
        return _add_to(target, findings, uses, actor)
    if not findings.volumes:
        raise LibraryError(nothing_found(findings))
    _check_one_patient(findings, code)
    plan = _assign(findings.volumes, uses)
    outcomes = list(done)
    total = sum(volume.geometry.shape[0] for volume in findings.volumes)
    before = 0
    for index, volume in enumerate(findings.volumes):
        slices = volume.geometry.shape[0]
        if index >= len(done):
            report = _progress_of(progress, before, total, index, len(findings.volumes))
            outcomes.append(
                _import_one(
                    volume,
                    plan[index],
                    code=code,
                    source=source,
                    synthetic=synthetic,
                    actor=actor,
                    tell=report,
                )
            )
            if after_each:
                after_each(outcomes)
        before += slices
    return ImportResult(outcomes, left_aside(findings))


def unused_masks(findings: Findings, uses: Sequence[MaskUse]) -> list[FoundMask]:
    named = {use.mask.path for use in uses}
    return [mask for mask in findings.masks if mask.path not in named]


def _import_one(
    found: FoundVolume,
    uses: Sequence[MaskUse],
    *,
    code: str,
    source: str,
    synthetic: bool,
    actor: Any,
    tell: Callable[[int, int], None] | None,
) -> Outcome:
    if synthetic and not found.synthetic:
        found.synthetic = services.BY_PERSON
        found.warnings.append(CALLED_SYNTHETIC)
    try:
        # masks first: they are small, and a wrong one should not cost the decoding of the CT
        masks = read_masks(uses, found.geometry, found.frame_uid)
        data, report = found.read(tell)
        stored = services.store_volume(
            data,
            masks,
            patient=code or services.pseudonym(found.patient_key, data),
            origin_format=found.format,
            source=source,
            frame=services.frame_code(found.frame_uid),
            report=report,
            warnings=found.warnings,
            synthetic=found.synthetic,
            actor=actor,
        )
    except (ImagingError, LibraryError) as error:
        return Outcome(found.name, "refused", _sentence(str(error)))
    outcome = _outcome(found.name, stored)
    outcome.warnings, outcome.report = found.warnings, report
    return outcome


def _outcome(found: str, stored: services.Stored) -> Outcome:
    volume = stored.volume
    masks = [f"{mask.kind} {mask.label} ({mask.volume_ml:,.1f} ml)" for mask in stored.masks]
    sentence = ""
    if not stored.created:
        sentence = f"It equals {volume.name}, which is in the library already"
        sentence += f"; {len(masks)} new masks were added to it." if masks else "."
        sentence = sentence.replace("; 1 new masks were", "; 1 new mask was")
    return Outcome(
        found=found,
        state="stored" if stored.created else "known",
        sentence=sentence,
        volume=str(volume.pk),
        name=volume.name,
        patient=volume.patient,
        size=selectors.geometry(volume).describe().split(", first")[0],
        masks=masks,
    )


def _add_to(
    target: Volume, findings: Findings, uses: Sequence[MaskUse], actor: Any
) -> ImportResult:
    if not uses:
        raise LibraryError("Say of at least one file what it shows; nothing was added.")
    grid = selectors.geometry(target)
    masks: list[MaskData] = []
    for use in uses:
        frame = services.frame_code(use.mask.frame_uid)
        if frame and target.frame_code and frame != target.frame_code:
            raise LibraryError(
                f"{use.mask.name}: it was drawn on another scan than {target.name} "
                "(another frame of reference)."
            )
        masks += read_masks([use], grid, "")
    added = services.add_masks(target, masks, actor=actor)
    outcome = _outcome(target.name, services.Stored(target, False, added))
    outcome.state = "stored" if added else "known"
    outcome.sentence = "" if added else f"{target.name} has these masks already."
    return ImportResult([outcome], left_aside(findings))


def read_masks(uses: Sequence[MaskUse], grid: Geometry, frame_uid: str) -> list[MaskData]:
    """Masks on the grid of a volume. Raises ImagingError naming the file."""
    from readerstudy.library.imaging.masks import choose

    masks = []
    for use in uses:
        try:
            if frame_uid and use.mask.frame_uid and use.mask.frame_uid != frame_uid:
                raise GridMismatch("it was drawn on another scan (another frame of reference)")
            keys = choose(use.mask.segments, use.parts)
            array = use.mask.open().read(keys, grid)
            if not array.any():
                raise ImagingError("it marks no voxel of the volume")
        except ImagingError as error:
            raise ImagingError(_prefixed(use.mask.name, str(error))) from None
        made = use.mask.synthetic
        masks.append(MaskData(use.kind, use.label, array, use.mask.format, made))
    return masks


def _assign(volumes: Sequence[FoundVolume], uses: Sequence[MaskUse]) -> list[list[MaskUse]]:
    """The masks of each volume: by frame of reference, then by grid, then by folder."""
    plan: list[list[MaskUse]] = [[] for _ in volumes]
    readers: dict[Path, MaskReader] = {}
    for use in uses:
        reader = readers.get(use.mask.path)
        if reader is None:
            reader = readers[use.mask.path] = use.mask.open()
        plan[_volume_of(use.mask, reader, volumes)].append(use)
    return plan


def _volume_of(mask: FoundMask, reader: MaskReader, volumes: Sequence[FoundVolume]) -> int:
    fitting = [
        index
        for index, volume in enumerate(volumes)
        if not (mask.frame_uid and volume.frame_uid and mask.frame_uid != volume.frame_uid)
        and reader.fits(volume.geometry)
    ]
    if len(fitting) > 1:
        near = [index for index in fitting if volumes[index].folder == mask.folder]
        fitting = near or fitting
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise LibraryError(
            f"{mask.name}: it fits {len(fitting)} of the volumes; import them one at a time."
        )
    if len(volumes) > 1:
        raise LibraryError(
            f"{mask.name}: it lies on the grid of none of the {len(volumes)} volumes."
        )
    return 0  # reading it says exactly how it differs from the only volume


def _check_one_patient(findings: Findings, code: str) -> None:
    patients = {volume.patient_key for volume in findings.volumes if volume.patient_key}
    if code and len(patients) > 1:
        raise LibraryError(
            f"These files are of {len(patients)} patients, so one patient code cannot fit; "
            "import them one at a time, or give none."
        )


def nothing_found(findings: Findings) -> str:
    """One sentence why there is no volume to import."""
    left = left_aside(findings)
    if findings.masks and not left:
        names = _some([mask.name for mask in findings.masks])
        return f"No CT volume was found, only what looks like masks ({names})."
    if not left:
        return "No CT volume was found: there is no file."
    if len(left) == 1:
        return f"Nothing can be imported: {left[0]['sentence']}"
    serious = [item for item in left if item["serious"]]
    if len(serious) == 1 or (serious and serious[-1]["reason"].startswith("its series would")):
        return f"Nothing can be imported: {serious[0]['sentence']}"
    reasons = "; ".join(f"{item['reason']} ({item['count']})" for item in left[:5])
    return f"Nothing can be imported: {reasons}."


def _progress_of(
    progress: Progress | None, before: int, total: int, index: int, count: int
) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    tell = progress
    words = f"Volume {index + 1} of {count}" if count > 1 else "Reading slices"
    return lambda done, _: tell(before + done, total, words)


def _some(names: Iterable[str]) -> str:
    """A few names, short: ``IM3 and 4 more``."""
    short = [PurePosixPath(name).name for name in names]
    if len(short) <= 2:
        return " and ".join(short)
    return f"{short[0]} and {len(short) - 1} more"


def _prefixed(name: str, sentence: str) -> str:
    return sentence if sentence.startswith(f"{name}: ") else f"{name}: {sentence}"


def plain(text: str) -> str:
    """Without control characters, which a header may hold and a database or terminal may not."""
    return "".join(character if character.isprintable() else " " for character in text)


def _sentence(text: str) -> str:
    text = plain(text)
    return text if text.endswith((".", ")")) else f"{text}."


def parse_spec(text: str) -> tuple[str, str | None]:
    """``FILE`` or ``FILE#PARTS`` from the command line; a file whose name holds ``#`` wins."""
    with suppress(OSError):
        if Path(text).exists():
            return text, None
    name, mark, parts = text.rpartition("#")
    return (name, parts) if mark and name else (text, None)
