"""Synthesis runs: asked for by a person, made lesion by lesion in a worker."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from django.db import transaction

from readerstudy.audit.services import record
from readerstudy.cases.errors import CasesError
from readerstudy.cases.measures import from_json
from readerstudy.cases.models import Candidate, SynthesisRun
from readerstudy.cases.patches import Patch, save_patch
from readerstudy.errors import Conflict
from readerstudy.jobs.registry import JobContext
from readerstudy.jobs.services import enqueue
from readerstudy.library import selectors as library
from readerstudy.library.models import Mask, Volume

if TYPE_CHECKING:
    from synthesis.engine.organs import OrganPrior
    from synthesis.engine.pipeline import Prepared
    from synthesis.engine.records import Accepted, Lesion, Rejected

REAL, SYNTHESIZE = "cases.real", "cases.synthesize"
GENERATORS = ("textural",)
LARGEST_RUN = 2000
SMALLEST_MM, LARGEST_MM = 3.0, 120.0
_PACKAGES = ("numpy", "scipy")


@dataclass(frozen=True)
class Item:
    """One wanted lesion of a run."""

    index: int
    volume: Volume
    organ: str


def start_run(
    *,
    volumes: Sequence[Volume],
    organs: Sequence[str],
    per_volume: int,
    diameter_mm: tuple[float, float],
    seed: int,
    mass_effect: float = 0.0,
    generator: str = "textural",
    max_attempts: int = 12,
    actor: Any = None,
) -> SynthesisRun:
    """Store a run and enqueue its job.

    Args:
        volumes: hosts; in each, `per_volume` lesions are made per organ that it has a mask of.
        organs: labels of organ masks.
        diameter_mm: range of equivalent diameters in mm, log-uniform.
        seed: 0 to 2**62; every lesion has its own stream derived from it.
        mass_effect: 0 to 1.

    Raises:
        CasesError: nothing chosen, a range that is empty or reversed, no organ mask at all.
    """
    _check(volumes, organs, per_volume, diameter_mm, mass_effect, generator, seed)
    items = _items(volumes, organs, per_volume)
    missing = [organ for organ in organs if not any(item.organ == organ for item in items)]
    if missing:
        raise CasesError(
            f"None of the chosen volumes has a mask of the {missing[0]}; import one or choose "
            "another organ."
        )
    if len(items) > LARGEST_RUN:
        raise CasesError(
            f"This run would make {len(items)} lesions; choose fewer volumes or lesions, at most "
            f"{LARGEST_RUN} at a time."
        )
    parameters = {
        "organs": list(organs),
        "diameter_mm": [float(diameter_mm[0]), float(diameter_mm[1])],
        "per_volume": per_volume,
        "mass_effect": float(mass_effect),
        "max_attempts": max_attempts,
    }
    with transaction.atomic():
        run = SynthesisRun.objects.create(
            generator=generator,
            parameters=parameters,
            seed=seed,
            requested=len(items),
            created_by=actor if getattr(actor, "pk", None) else None,
        )
        run.volumes.set(volumes)
        run.job = enqueue(SYNTHESIZE, {"run_id": str(run.pk)}, actor=actor, subject=str(run.pk))
        run.save(update_fields=["job"])
        data = {**parameters, "seed": seed, "requested": len(items), "generator": generator}
        record(actor, "cases.run_started", run, data=data)
    return run


def delete_run(run: SynthesisRun, *, actor: Any) -> None:
    """Delete a run that made nothing. Raises Conflict when it is at work or has candidates."""
    with transaction.atomic():
        if run.job is not None and run.job.is_active:
            raise Conflict("This run is still at work; cancel it first.")
        if run.candidates.exists():
            raise Conflict("This run has candidates, which are kept; reject them instead.")
        record(actor, "cases.run_deleted", run)
        run.delete()


def _check(
    volumes: Sequence[Volume],
    organs: Sequence[str],
    per_volume: int,
    diameter_mm: tuple[float, float],
    mass_effect: float,
    generator: str,
    seed: int,
) -> None:
    low, high = diameter_mm
    faults = (
        (not volumes, "No volume is chosen; tick at least one."),
        (not organs, "No organ is chosen; tick at least one."),
        (per_volume < 1, "Ask for at least one lesion per volume."),
        (
            low > high,
            f"The diameter range is reversed: {low:g} mm is more than {high:g} mm; "
            "put the smaller number first.",
        ),
        (
            not SMALLEST_MM <= low <= high <= LARGEST_MM,
            f"Diameters must lie between {SMALLEST_MM:g} and {LARGEST_MM:g} mm.",
        ),
        (not 0 <= mass_effect <= 1, "The mass effect goes from 0 (none) to 1 (strong)."),
        (
            generator not in GENERATORS,
            f"There is no generator {generator!r}; choose one of: {', '.join(GENERATORS)}.",
        ),
        (not 0 <= seed < 2**62, "The seed must be a whole number from 0 to 2^62."),
    )
    for wrong, text in faults:
        if wrong:
            raise CasesError(text)


def _items(volumes: Iterable[Volume], organs: Sequence[str], per_volume: int) -> list[Item]:
    """The lesions to make, in an order that only depends on what was asked for."""
    ordered = sorted(volumes, key=lambda volume: volume.sha256)
    wanted = [
        (volume, organ)
        for volume in ordered
        for organ in organs
        if any(m.kind == Mask.Kind.ORGAN and m.label == organ for m in volume.masks.all())
    ]
    pairs = [pair for pair in wanted for _ in range(per_volume)]
    return [Item(index, volume, organ) for index, (volume, organ) in enumerate(pairs)]


# -- in the worker -------------------------------------------------------------------------------


def run_synthesis(ctx: JobContext, run: SynthesisRun) -> dict[str, Any]:
    """Make the lesions of a run that are not made yet.

    Each lesion is one transaction: its candidates (accepted and rejected), the run's counters
    and the fence of the job. A worker killed in between leaves at most a patch file that the
    next attempt writes again under the same name.
    """
    from synthesis.engine.generators import get_generator

    generator = get_generator(run.generator)
    parameters = run.parameters
    volumes = list(run.volumes.prefetch_related("masks"))
    items = _items(volumes, parameters["organs"], parameters["per_volume"])
    priors = _priors(run)

    @lru_cache(maxsize=1)
    def prepared(volume_id: uuid.UUID, organ: str) -> Prepared:
        volume = next(v for v in volumes if v.pk == volume_id)
        return _prepare(volume, organ, priors[organ])

    for item in items[run.finished :]:
        ctx.progress(item.index, len(items), f"{item.organ} in {item.volume.name}")
        made, rejected, note = _make(run, item, prepared, generator)
        with transaction.atomic():
            ctx.save_checkpoint({"finished": item.index + 1})
            Candidate.objects.bulk_create([*rejected, *made])
            run.finished = item.index + 1
            run.made += len(made)
            if note:
                run.notes = [*run.notes, note]
            run.save(update_fields=["finished", "made", "notes"])
    ctx.progress(len(items), len(items))
    with transaction.atomic():
        data = {"requested": run.requested, "made": run.made}
        record(ctx.actor, "cases.run_finished", run, data=data)
    return data


def _prepare(volume: Volume, organ: str, prior: OrganPrior) -> Prepared:
    import numpy as np

    from synthesis.engine.pipeline import prepare
    from synthesis.engine.records import Scan

    masks = list(volume.masks.all())
    organ_masks = [
        library.load_mask(m) for m in masks if m.kind == Mask.Kind.ORGAN and m.label == organ
    ]
    tumor_masks = [library.load_mask(m) for m in masks if m.kind == Mask.Kind.TUMOR]
    scan = Scan(
        hu=library.load_ct(volume),
        spacing=library.geometry(volume).spacing,
        organ=organ,
        organ_mask=np.logical_or.reduce(organ_masks),
        tumor_mask=np.logical_or.reduce(tumor_masks) if tumor_masks else None,
    )
    return prepare(scan, prior)


def _priors(run: SynthesisRun) -> dict[str, OrganPrior]:
    """Priors per organ, fitted once to the real lesions of the library and kept with the run.

    Kept, so that a resumed run goes on with the numbers it began with.
    """
    from synthesis.engine.organs import OrganPrior, fit_prior, prior_for

    stored = run.parameters.get("priors")
    if stored is None:
        fitted = {
            organ: fit_prior(prior_for(organ), _real_measures(organ))
            for organ in run.parameters["organs"]
        }
        stored = {organ: asdict(prior) for organ, prior in fitted.items()}
        run.parameters = {**run.parameters, "priors": stored}
        run.save(update_fields=["parameters"])
    return {
        organ: OrganPrior(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
        for organ, values in stored.items()
    }


def _real_measures(organ: str) -> list[Any]:
    rows = Candidate.objects.filter(kind=Candidate.Kind.REAL, organ=organ).exclude(
        state=Candidate.State.REJECTED
    )
    found = [from_json(row.verdict.get("measures", {})) for row in rows]
    return [measure for measure in found if measure is not None]


def item_seed(run: SynthesisRun, index: int) -> int:
    """The seed of one lesion, derived from the run's."""
    import numpy as np

    state = np.random.SeedSequence([run.seed, index]).generate_state(1, np.uint64)
    return int(state[0] >> 2)


def _make(
    run: SynthesisRun, item: Item, prepared: Any, generator: Any
) -> tuple[list[Candidate], list[Candidate], dict[str, Any] | None]:
    """One lesion: accepted candidate (or none), rejected ones, and a note when none was made."""
    from synthesis.engine.pipeline import synthesize
    from synthesis.engine.records import Accepted, LesionSpec

    parameters = run.parameters
    low, high = parameters["diameter_mm"]
    spec = LesionSpec((low, high), parameters["mass_effect"], parameters["max_attempts"])
    seed = item_seed(run, item.index)
    outcome = synthesize(prepared(item.volume.pk, item.organ), spec, generator, seed)
    rejected = [_candidate(run, item, seed, verdict) for verdict in outcome.rejected]
    if isinstance(outcome.verdict, Accepted):
        return [_candidate(run, item, seed, outcome.verdict)], rejected, None
    note = {
        "lesion": item.index,
        "volume": item.volume.name,
        "organ": item.organ,
        "reason": outcome.verdict.reason,
    }
    return [], rejected, note


def _candidate(run: SynthesisRun, item: Item, seed: int, verdict: Accepted | Rejected) -> Candidate:
    """Write the patch and fill the row (not saved) of one attempt."""
    from synthesis.engine.records import Rejected

    lesion: Lesion = verdict.lesion
    rejected = isinstance(verdict, Rejected)
    attempt = verdict.attempt if isinstance(verdict, Rejected) else verdict.attempts
    identity = uuid.uuid5(run.pk, f"{item.index} {attempt}")
    patch = Patch(lesion.offset, lesion.mask, lesion.feather, lesion.residual)
    sha256 = save_patch(identity, patch)
    spans = [
        (int(where.min()) + start, int(where.max()) + 1 + start)
        for where, start in zip(lesion.mask.nonzero(), lesion.offset, strict=True)
    ]
    z, y, x = (
        float(w.mean()) + o for w, o in zip(lesion.mask.nonzero(), lesion.offset, strict=True)
    )
    voxel_ml = item.volume.spacing_x * item.volume.spacing_y * item.volume.spacing_z / 1000.0
    return Candidate(
        id=identity,
        volume=item.volume,
        kind=Candidate.Kind.SYNTHETIC,
        organ=item.organ,
        lesion_index=item.index,
        run=run,
        attempt=attempt,
        seed=seed,
        center=[round(x, 1), round(y, 1), round(z, 1)],
        bbox=[list(span) for span in spans[::-1]],
        diameter_mm=round(float(verdict.scores["diameter_mm"]), 2),
        volume_ml=round(float(lesion.mask.sum()) * voxel_ml, 4),
        contrast_hu=round(float(verdict.scores.get("contrast_hu", 0.0)), 1),
        state=Candidate.State.REJECTED if rejected else Candidate.State.PENDING,
        by_gate=rejected,
        reason=verdict.reason[:300] if isinstance(verdict, Rejected) else "",
        provenance={
            "generator": run.generator,
            "parameters": lesion.parameters,
            "seed": seed,
            "attempt": attempt,
            "volume_sha256": item.volume.sha256,
            "packages": package_versions(),
        },
        verdict={
            "accepted": not rejected,
            "scores": verdict.scores,
            **({"failed": verdict.code} if isinstance(verdict, Rejected) else {}),
        },
        patch_sha256=sha256,
    )


def package_versions() -> dict[str, str]:
    """Versions that the bytes of a lesion may depend on."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
