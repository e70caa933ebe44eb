"""Making the lesions of a run in a worker, one by one, with every attempt kept."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import transaction

from readerstudy.audit.services import record
from readerstudy.cases import engines
from readerstudy.cases.errors import CasesError
from readerstudy.cases.models import Candidate, SynthesisRun
from readerstudy.cases.patches import Patch, save_patch
from readerstudy.cases.priors import Appearance, library_priors
from readerstudy.jobs.registry import JobContext
from readerstudy.library import selectors as library
from readerstudy.library.models import Mask, Volume

from .runs import Item, wanted_lesions

if TYPE_CHECKING:
    from synthesis.engine.generators import Generator
    from synthesis.engine.organs import OrganPrior
    from synthesis.engine.pipeline import Prepared
    from synthesis.engine.quality import Fault, Gate
    from synthesis.engine.records import Accepted, HostCrop, Lesion, Outcome, Rejected, Scores

_PACKAGES = ("numpy", "scipy")
#: Of runs with a network: their versions decide on the bytes as well.
_NETWORK_PACKAGES = ("torch", "monai", "safetensors")
#: Why a lesion was not made: it fits nowhere, or none of the drawn ones passed the gate.
NO_ROOM, NONE_PASSED = "no_room", "none_passed"


@dataclass(frozen=True)
class Watched:
    """A gate that reports before each verdict: a run can be cancelled between two attempts."""

    gate: Gate
    report: Callable[[], None]

    @property
    def context_mm(self) -> float:
        from synthesis.engine.generators import context_of

        return context_of(self.gate)

    def __call__(
        self, host: HostCrop, lesion: Lesion, prior: OrganPrior
    ) -> tuple[Fault | None, Scores]:
        self.report()
        return self.gate(host, lesion, prior)


class Tools(NamedTuple):
    """What a run works with: loaded once, used for every lesion."""

    generator: Generator
    gate: Gate
    priors: dict[str, Appearance]


def run_synthesis(ctx: JobContext, run: SynthesisRun) -> dict[str, Any]:
    """Make the lesions of a run that are not made yet.

    Each lesion is one transaction: its candidates (accepted and rejected), the run's counters
    and the fence of the job. A worker killed in between leaves at most a patch file that the
    next attempt writes again under the same name.

    Raises:
        CasesError: a network of the run cannot be used, or a volume of it.
    """
    parameters = run.parameters
    volumes = list(run.volumes.prefetch_related("masks"))
    items = wanted_lesions(volumes, parameters["organs"], parameters["per_volume"])
    ctx.progress(run.finished, len(items), "Getting ready")
    generator, gate = engines.load(run.generator, parameters)
    tools = Tools(generator, gate, _priors(run))

    @lru_cache(maxsize=1)
    def prepared(volume_id: uuid.UUID, organ: str) -> Prepared:
        volume = next(v for v in volumes if v.pk == volume_id)
        return _prepare(volume, organ, tools.priors[organ].prior)

    for item in items[run.finished :]:
        working = partial(
            ctx.progress, item.index, len(items), f"{item.organ} in {item.volume.name}"
        )
        working()
        tools = tools._replace(gate=Watched(gate, working))
        made, rejected, note = _make(run, item, prepared, tools)
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


def _priors(run: SynthesisRun) -> dict[str, Appearance]:
    """Priors per organ, fitted once to the real lesions of the library and kept with the run.

    Kept, so that a resumed run goes on with the numbers it began with.
    """
    stored = run.parameters.get("priors")
    if stored is None:
        fitted = library_priors(run.parameters["organs"])
        stored = {organ: found.as_json() for organ, found in fitted.items()}
        run.parameters = {**run.parameters, "priors": stored}
        run.save(update_fields=["parameters"])
    return {organ: Appearance.from_json(values) for organ, values in stored.items()}


def item_seed(run: SynthesisRun, index: int) -> int:
    """The seed of one lesion, derived from the run's."""
    import numpy as np

    state = np.random.SeedSequence([run.seed, index]).generate_state(1, np.uint64)
    return int(state[0] >> 2)


def _make(
    run: SynthesisRun, item: Item, prepared: Any, tools: Tools
) -> tuple[list[Candidate], list[Candidate], dict[str, Any] | None]:
    """One lesion: accepted candidate (or none), rejected ones, and a note when none was made."""
    from synthesis.engine.records import Accepted

    seed = item_seed(run, item.index)
    outcome = _outcome(run, item, prepared, tools, seed)
    origin = _origin(run, item, tools.priors[item.organ])
    rejected = [_candidate(run, item, seed, verdict, origin) for verdict in outcome.rejected]
    if isinstance(outcome.verdict, Accepted):
        drawn = {verdict.attempt for verdict in outcome.rejected}
        # An attempt that changed no voxel leaves nothing to keep but its number.
        if blank := [k for k in range(1, outcome.verdict.attempts) if k not in drawn]:
            origin["unchanged_attempts"] = blank
        return [_candidate(run, item, seed, outcome.verdict, origin)], rejected, None
    note = {
        "lesion": item.index,
        "volume": item.volume.name,
        "organ": item.organ,
        "reason": outcome.verdict.reason,
        "code": NONE_PASSED if outcome.verdict.attempts else NO_ROOM,
    }
    return [], rejected, note


def _outcome(run: SynthesisRun, item: Item, prepared: Any, tools: Tools, seed: int) -> Outcome:
    from synthesis.engine.errors import SynthesisError
    from synthesis.engine.pipeline import synthesize
    from synthesis.engine.records import LesionSpec

    parameters = run.parameters
    low, high = parameters["diameter_mm"]
    spec = LesionSpec((low, high), parameters["mass_effect"], parameters["max_attempts"])
    try:
        host = prepared(item.volume.pk, item.organ)
        return synthesize(host, spec, tools.generator, seed, tools.gate)
    except (ValueError, SynthesisError) as error:
        raise CasesError(f"{item.volume.name}, {item.organ}: {error}") from error


def _origin(run: SynthesisRun, item: Item, appearance: Appearance) -> dict[str, Any]:
    """What all attempts at one lesion have in common, for their record."""
    checkpoint = run.parameters.get("checkpoint") or {}
    gate = run.parameters.get("gate") or {"policy": engines.MEASURES}
    return {
        "generator": run.generator,
        "checkpoint": checkpoint.get("name", ""),
        "checkpoint_sha256": checkpoint.get("sha256", ""),
        "gate": gate,
        "prior": appearance.as_json(),
        "run_seed": run.seed,
        "max_attempts": run.parameters["max_attempts"],
        "volume_sha256": item.volume.sha256,
        "packages": package_versions(network=bool(checkpoint or gate.get("segmentor"))),
    }


def _candidate(
    run: SynthesisRun,
    item: Item,
    seed: int,
    verdict: Accepted | Rejected,
    origin: dict[str, Any],
) -> Candidate:
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
        provenance={**origin, "parameters": lesion.parameters, "seed": seed, "attempt": attempt},
        verdict={
            "accepted": not rejected,
            "scores": verdict.scores,
            **({"failed": verdict.code} if isinstance(verdict, Rejected) else {}),
        },
        patch_sha256=sha256,
    )


def package_versions(*, network: bool = False) -> dict[str, str]:
    """Versions that the bytes of a lesion may depend on; those of a network where one is used."""
    found = {}
    for name in (*_PACKAGES, *(_NETWORK_PACKAGES if network else ())):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
