"""Bringing in a volume that another generator made, as a synthetic candidate beside our own."""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from readerstudy.audit.services import record
from readerstudy.cases.errors import AlreadyDecided, CasesError
from readerstudy.cases.measures import as_json
from readerstudy.cases.models import Candidate, SynthesisRun
from readerstudy.cases.patches import encode, save_patch
from readerstudy.cases.paths import foreign_folder
from readerstudy.errors import UserError
from readerstudy.jobs.models import Job
from readerstudy.jobs.services import enqueue
from readerstudy.library import selectors as library
from readerstudy.library import services as library_services
from readerstudy.library.models import Mask, Volume

from .making import package_versions

if TYPE_CHECKING:
    from readerstudy.cases.delivery.hosts import Host
    from readerstudy.cases.foreign import Change
    from readerstudy.cases.patches import Patch

IMPORT = "cases.import_synthetic"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+-]{0,39}")
_WHICH_ORGAN = "Name the organ that the lesion is in (--organ): no organ mask tells it."
_LEFT_BEHIND = timedelta(days=1)
Tell = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Imported:
    """What came of it: the candidate, and what the generator had changed."""

    candidate: Candidate
    change: Change
    lesions: int


def _quiet(done: int, total: int, message: str = "") -> None:
    """For callers that show no progress."""


def generator_name(text: str) -> str:
    """The name of a foreign generator as it is stored.

    Raises:
        CasesError: it cannot be one, or a generator of this platform has it.
    """
    name = " ".join(text.split())
    if not NAME.fullmatch(name):
        raise CasesError(
            "The name of the generator may hold letters, digits, spaces and . _ + -, at most 40 "
            "characters."
        )
    from synthesis.engine.generators import generator_names

    if name.lower() in generator_names():
        raise CasesError(
            f"{name} is a generator of this platform; give what was made elsewhere another name."
        )
    return name


def import_synthetic(
    *,
    original: Path | Volume,
    synthetic: Path,
    mask: str,
    generator: str,
    organ: str = "",
    clean_outside: bool = False,
    original_synthetic: bool = False,
    actor: Any = None,
    tell: Tell = _quiet,
    known_ok: bool = False,
) -> Imported:
    """Store what ``synthetic`` adds to ``original`` as a pending candidate of its own run.

    Args:
        original: a CT file, folder or zip, stored in the library if it is not there yet; or a
            volume of the library.
        synthetic: the same CT with a lesion, on the same grid, in whole HU.
        mask: file of the lesion's mask, ``FILE`` or ``FILE#PART``.
        generator: name by which trials and results tell it from others.
        organ: label; found from the organ masks of the volume when empty.
        clean_outside: keep only the change inside the feathered mask.
        original_synthetic: the original is no scan either; its own lesions never become real
            candidates. Files that say so of themselves need no such word.
        known_ok: take a change that was imported before as done, for a job that was killed.

    Raises:
        UserError: a file that cannot be used or does not fit; nothing is stored then.
        AlreadyDecided: the same change was imported for this generator before.
    """
    from readerstudy.cases import foreign
    from readerstudy.cases.delivery.hosts import read_host, read_mask

    name = generator_name(generator)
    label = library_services.organ_label(organ) if organ.strip() else ""
    tell(0, 4, "Reading the original")
    host = None if isinstance(original, Volume) else read_host(original)
    if host is not None:
        hu, grid = host.data.hu, host.data.geometry
    else:
        hu, grid = library.load_ct(original), library.geometry(original)
    tell(1, 4, "Reading the synthetic volume")
    made_host = read_host(synthetic, made=True)
    made = foreign.on_grid(made_host.data, grid, synthetic.name)
    lesion = read_mask(mask, grid)
    tell(2, 4, "Comparing")
    change = foreign.compare(hu, made, lesion)
    if not clean_outside:
        foreign.refuse_clipped(hu, made, synthetic.name)
    patch = foreign.as_patch(hu, made, lesion, grid, clean_outside=clean_outside)
    tell(3, 4, "Storing")
    facts = {
        "synthetic_sha256": made_host.data.content_hash(),
        "inside_voxels": change.inside,
        "outside_voxels": change.outside,
        "outside_max_hu": change.max_outside_hu,
        "mask_voxels": change.mask_voxels,
        "clean_outside": clean_outside,
        **({"feather_mm": foreign.FEATHER_MM} if clean_outside else {}),
    }
    with transaction.atomic():
        mark = host.synthetic if host is not None else ""
        mark = mark or (library_services.BY_PERSON if original_synthetic else "")
        volume = _volume(original, host, bool(label), mark, actor)
        patch = _turned(patch, host, volume)
        candidate = _store(volume, patch, name, label, facts, actor, known_ok)
    return Imported(candidate, change, _pieces(patch))


def _volume(
    original: Path | Volume, host: Host | None, named: bool, mark: str, actor: Any
) -> Volume:
    """The original in the library, stored now if it was not there.

    A new volume has no organ mask, so the organ must be `named` before it is stored.
    """
    if isinstance(original, Volume):
        library_services.mark_synthetic(original, mark, actor)
        return original
    assert host is not None  # noqa: S101 - read by the caller
    if not named and not Volume.objects.filter(sha256=host.data.content_hash()).exists():
        raise CasesError(_WHICH_ORGAN)
    stored = library_services.store_volume(
        host.data,
        patient=library_services.pseudonym(host.patient_key, host.data),
        origin_format=host.format,
        frame=library_services.frame_code(host.frame_uid),
        synthetic=mark,
        actor=actor,
    )
    return stored.volume


def _turned(patch: Patch, host: Host | None, volume: Volume) -> Patch:
    """The patch in the axis order in which the library holds the equal volume."""
    import numpy as np

    from readerstudy.cases.patches import Patch
    from readerstudy.library.imaging.geometry import conform

    grid = library.geometry(volume)
    if host is None or host.data.geometry.same_grid(grid):
        return patch
    turned = []
    for array in (patch.mask, patch.feather, patch.residual):
        whole = np.zeros(host.data.geometry.shape, array.dtype)
        whole[patch.slices] = array
        turned.append(conform(whole, host.data.geometry, grid))
    support = (turned[1] > 0) | turned[0]
    z, y, x = (slice(int(where.min()), int(where.max()) + 1) for where in np.nonzero(support))
    mask, feather, residual = (np.ascontiguousarray(array[z, y, x]) for array in turned)
    return Patch((z.start, y.start, x.start), mask, feather, residual)


def _store(
    volume: Volume,
    patch: Patch,
    name: str,
    organ: str,
    facts: dict[str, Any],
    actor: Any,
    known_ok: bool,
) -> Candidate:
    """The run, the candidate and its patch, with one audit event."""
    import numpy as np

    from synthesis.engine.measure import measure_lesion

    from .real import components, organ_of

    hu = patch.apply(library.load_ct(volume))
    mask = np.zeros(hu.shape, np.bool_)
    mask[patch.slices] = patch.mask
    spacing = library.geometry(volume).spacing
    rows = list(volume.masks.all())
    organs = {m.label: library.load_mask(m) for m in rows if m.kind == Mask.Kind.ORGAN}
    tumors = [library.load_mask(m) for m in rows if m.kind == Mask.Kind.TUMOR]
    found = organ or organ_of(components(mask)[0], organs, spacing, "")
    if not found:
        raise CasesError(_WHICH_ORGAN)
    measured = measure_lesion(
        hu,
        mask,
        spacing,
        organ=organs.get(found),
        other_tumors=np.logical_or.reduce(tumors) if tumors else None,
    )
    _, digest = encode(patch)
    identity = uuid.uuid5(volume.pk, f"imported {name} {digest}")
    known = Candidate.objects.filter(pk=identity).first()
    if known is not None and known_ok:
        return known
    if known is not None:
        raise AlreadyDecided(
            f"This lesion of {name} in {volume.name} is here already; nothing was added."
        )
    run = SynthesisRun.objects.create(
        generator=name,
        parameters={
            "imported": facts,
            "organs": [found],
            "diameter_mm": [round(measured.diameter_mm, 2)] * 2,
            "per_volume": 1,
        },
        seed=0,
        requested=1,
        finished=1,
        made=1,
        created_by=actor if getattr(actor, "pk", None) else None,
    )
    run.volumes.set([volume])
    contrast = measured.contrast_hu
    candidate = Candidate.objects.create(
        id=identity,
        volume=volume,
        kind=Candidate.Kind.SYNTHETIC,
        organ=found,
        run=run,
        attempt=1,
        center=[round(value, 1) for value in measured.center],
        bbox=[list(span) for span in measured.bbox],
        diameter_mm=round(measured.diameter_mm, 2),
        volume_ml=round(measured.volume_ml, 4),
        contrast_hu=round(contrast, 1) if np.isfinite(contrast) else 0.0,
        provenance={
            "generator": name,
            "imported": facts,
            "volume_sha256": volume.sha256,
            "packages": package_versions(),
        },
        verdict={"measures": as_json(measured)},
        patch_sha256=save_patch(identity, patch),
    )
    record(actor, "cases.synthetic_imported", candidate, data={"generator": name, **facts})
    return candidate


def _pieces(patch: Patch) -> int:
    from .real import components

    return len(components(patch.mask))


# -- from the page: files are kept, a job reads them -----------------------------------------------


def request_import(
    *,
    files: dict[str, Any],
    volume: Volume | None,
    generator: str,
    organ: str,
    clean_outside: bool,
    original_synthetic: bool = False,
    actor: Any,
) -> Job:
    """Keep the sent files and enqueue the import.

    Args:
        files: uploaded files by part: ``synthetic``, ``mask``, and ``original`` unless `volume`.

    Raises:
        CasesError: the name of the generator or of the organ cannot be one, or a file is missing.
    """
    name = generator_name(generator)
    label = library_services.organ_label(organ) if organ.strip() else ""
    needed = {"synthetic", "mask"} | (set() if volume is not None else {"original"})
    if missing := sorted(needed - set(files)):
        raise CasesError(f"The file of the {missing[0]} is missing; choose it.")
    _sweep()
    ticket = uuid.uuid4()
    folder = foreign_folder(ticket)
    try:
        for part in sorted(needed):
            _keep(files[part], folder / part)
        with transaction.atomic():
            return enqueue(
                IMPORT,
                {
                    "ticket": str(ticket),
                    "volume": str(volume.pk) if volume is not None else "",
                    "generator": name,
                    "organ": label,
                    "clean_outside": clean_outside,
                    "original_synthetic": original_synthetic,
                },
                actor=actor,
                subject=name,
            )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def run_import(params: dict[str, Any], actor: Any, tell: Tell) -> dict[str, Any]:
    """What the job does: import the kept files, then delete them unless it may be tried again.

    Raises:
        UserError: as `import_synthetic`.
    """
    folder = foreign_folder(uuid.UUID(params["ticket"]))
    try:
        original: Path | Volume | None
        if params["volume"]:
            original = Volume.objects.filter(pk=params["volume"]).first()
            if original is None:
                raise CasesError("The chosen volume is gone from the library; choose another.")
        else:
            original = _kept(folder, "original")
        done = import_synthetic(
            original=original,
            synthetic=_kept(folder, "synthetic"),
            mask=str(_kept(folder, "mask")),
            generator=params["generator"],
            organ=params["organ"],
            clean_outside=params["clean_outside"],
            original_synthetic=params.get("original_synthetic", False),
            actor=actor,
            tell=tell,
            known_ok=True,
        )
    except UserError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    sentence = done.change.sentence()
    if done.change.outside:
        word = "removed" if params["clean_outside"] else "kept"
        sentence += f" The change outside was {word}."
    return {"candidate": str(done.candidate.pk), "change": sentence}


def _keep(upload: Any, folder: Path) -> None:
    """Write an uploaded file under the last part of its own name, made harmless."""
    folder.mkdir(parents=True)
    name = re.sub(r"[^A-Za-z0-9._-]", "_", Path(upload.name).name).lstrip(".")[-80:] or "file"
    with (folder / name).open("xb") as file:
        for chunk in upload.chunks():
            file.write(chunk)


def _kept(folder: Path, part: str) -> Path:
    files: Iterable[Path] = (folder / part).iterdir() if (folder / part).is_dir() else ()
    found = next(iter(files), None)
    if found is None:
        raise CasesError("The files are no longer here; send them again.")
    return found


def _sweep() -> None:
    """Delete files that nobody came back for within a day."""
    before = (timezone.now() - _LEFT_BEHIND).timestamp()
    for folder in foreign_folder(uuid.UUID(int=0)).parent.iterdir():
        if folder.is_dir() and folder.stat().st_mtime < before:
            shutil.rmtree(folder, ignore_errors=True)
